"""canopy-bench measures, proves and leaves nothing behind; how fast is not asked here."""
import json
import os
import subprocess
import tempfile
import unittest

import fabric

bench = os.environ.get("CANOPY_BENCH", os.path.join(os.path.dirname(fabric.canopyd), "../../tools/bench/canopy-bench"))


class Bench(unittest.TestCase):
    def run_bench(self, *args, status=0):
        with tempfile.TemporaryDirectory() as directory:
            file = os.path.join(directory, "found.json")
            data = os.path.join(directory, "data")
            os.mkdir(data)
            done = subprocess.run([bench, *args, "--canopyd", fabric.canopyd, "--dir", data, "--json", file, "--quiet"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            self.assertEqual(os.listdir(data), [], "its data must be gone")
            if status != 0:
                return done.stderr
            with open(file) as found:
                return json.load(found)

    def rows(self, found):
        return {(part["part"], row["what"]): row for part in found["parts"] for row in part["rows"]}

    def test_fanout_counts_and_compares_what_it_delivered(self):
        found = self.run_bench("fanout", "--users", "400", "--followers", "40", "--messages", "200", "--batch", "10", "--bucket-count", "32")
        self.assertTrue(found["good"])
        rows = self.rows(found)
        self.assertIn("200 messages, 8,000 deliveries", rows["active timelines", "deliveries/s"]["remark"])
        self.assertIn("9,600 of 9,600 entries, 400 of 400 timelines", rows["active timelines", "appended in RAM = delivered"]["remark"])
        self.assertTrue(rows["inactive timelines", "timelines are exact"]["good"])

    def test_latency_waits_for_every_follower(self):
        found = self.run_bench("latency", "--users", "80", "--followers", "20", "--messages", "5", "--bucket-count", "16")
        self.assertTrue(found["good"])
        rows = self.rows(found)
        self.assertEqual(rows["", "publish -> visible to all followers"]["count"], 5)
        self.assertGreaterEqual(rows["", "publish -> visible to all followers"]["p50"], rows["", "publish -> acknowledged"]["p50"])

    def test_modes_does_the_same_in_each_mode_and_compares(self):
        found = self.run_bench("modes", "--workload", "publish-heavy", "--mode", "append,merge,lazy,auto", "--rounds", "1",
                               "--scale", "0.005", "--warm-up", "0")
        self.assertTrue(found["good"])
        rows = {what: row for (part, what), row in self.rows(found).items() if part.startswith("publish-heavy: 300 messages, 5 reads;")}
        for mode in ("append", "merge", "lazy", "auto"):
            row = rows[mode + ": CPU time of the nodes"]
            self.assertEqual(row["unit"], "s")
            if mode != "auto":
                self.assertIn("leaves at the end: 64 " + mode, row["remark"])
        self.assertIn("auto ÷ the better of the others", rows)
        self.assertTrue(rows["timelines are exact"]["good"])
        self.assertIn("in each mode", rows["timelines are exact"]["remark"])

    def test_a_node_that_does_not_start_is_said(self):
        said = self.run_bench("fanout", "--set", "timeline.capacity=none", status=2)
        self.assertIn("timeline.capacity", said)


if __name__ == "__main__":
    unittest.main()
