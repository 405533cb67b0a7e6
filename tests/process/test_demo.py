"""The demo on smaller cuts of Debian's packages: its verdict is exact for homes, mentions and topics, and is not
when an edge is withheld."""
import glob
import os
import re
import subprocess
import tempfile
import unittest

import fabric


class Demo(unittest.TestCase):
    def run_demo(self, *options, status=0):
        left = set(glob.glob(os.path.join(tempfile.gettempdir(), "canopy-demo-*")))
        run = subprocess.run([os.path.join(fabric.root, "tools/demo"), "--build-dir", os.path.dirname(os.path.dirname(os.path.dirname(fabric.canopyd))),
                              *options], capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
        self.assertEqual(run.returncode, status, run.stdout[-6000:] + run.stderr[-3000:])
        self.assertEqual(set(glob.glob(os.path.join(tempfile.gettempdir(), "canopy-demo-*"))) - left, set())
        return run.stdout

    def numbers(self, out):
        match = re.search(r"timelines compared ([\d,]+), entries ([\d,]+) of ([\d,]+) .*, edges ([\d,]+) of ([\d,]+)", out)
        return [int(number.replace(",", "")) for number in match.groups()]

    def check_lists(self, out, packages):
        """Each description is in its maintainer's mentions and in its section's list, whatever the homes have room for."""
        for timeline, least in (("mentions", 100), ("topic", 30)):
            match = re.search(timeline + r" compared ([\d,]+), entries ([\d,]+):", out)
            lists, entries = (int(number.replace(",", "")) for number in match.groups())
            self.assertGreater(lists, least)
            self.assertEqual(entries, packages)
        seen, follows, alone, either = (int(number.replace(",", "")) for number in re.search(
            r"topics followed ([\d,]+) of ([\d,]+): ([\d,]+) entries .*; ([\d,]+) by the topic or their author, once", out).groups())
        self.assertEqual(seen, follows)
        self.assertGreater(alone, packages)
        self.assertGreater(either, 10)

    def test_a_cut_with_fanout_4(self):
        out = self.run_demo("--packages", "2000", "--set", "tree.fanout=4")
        self.assertIn("verdict: every timeline exact", out)
        timelines, entries, reached, seen, edges = self.numbers(out)
        self.assertEqual((timelines, seen), (2000, edges))
        self.assertGreater(entries, 0.97 * reached)  # few homes are full
        self.assertGreater(reached, 3 * edges)
        self.assertGreater(edges, 2000)
        self.check_lists(out, 2000)

    def test_a_cut_with_capacity_100(self):
        out = self.run_demo("--packages", "2000", "--set", "timeline.capacity=100")
        self.assertIn("verdict: every timeline exact", out)
        timelines, entries, reached, _, _ = self.numbers(out)
        self.assertEqual(timelines, 2000)
        self.assertLess(entries, reached)  # some homes are fuller than that
        self.check_lists(out, 2000)

    def test_a_withheld_edge_is_told(self):
        out = self.run_demo("--packages", "500", "--withhold-edge", status=1)
        self.assertIn("verdict: NOT exact", out)
        self.assertRegex(out, r"wrong: the home of \S+: \d+ entries, not \d+")


if __name__ == "__main__":
    unittest.main()
