"""Canopy in the same run: canopy-bench fanout with active timelines."""
import json
import os
import subprocess
import tempfile

from server import Failed


def measure(options, extra=()):
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "found.json")
        command = [options.bench, "fanout", "--active-only", "--quiet", "--json", file, "--dir", options.directory,
                   "--users", str(options.users), "--followers", str(options.followers), "--follows", str(options.follows),
                   "--body", str(options.body), *extra]
        command += ["--messages", str(options.messages)] if options.messages else ["--seconds", str(options.seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"canopy-bench ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        with open(file) as found:
            rows = {row["what"]: row.get("value") for part in json.load(found)["parts"] for row in part["rows"]}
    return {"deliveries_per_s": rows["deliveries/s"], "deliveries_per_cpu_s": rows["deliveries per CPU-second of the nodes"],
            "server_cores": rows["cores that the nodes used"], "load_cores": rows["cores that this load used"],
            "written_per_delivery": rows["... after the nodes came to rest"], "ram_per_entry": rows["RAM per entry"]}


def ceilings(options):
    """Returns what the machine can do at best, as a table."""
    done = subprocess.run([options.bench, "ceilings", "--quiet", "--dir", options.directory], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failed(f"canopy-bench ceilings: {done.stdout}")
    return done.stdout
