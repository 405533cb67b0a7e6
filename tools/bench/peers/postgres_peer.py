"""PostgreSQL: a message and its deliveries in one statement, INSERT … SELECT of the followers into a table with an index by
follower; committed with fsync. The load is pgbench, four connections."""
import os
import re
import subprocess
import time

import graph
from result import result
from server import Directory, Failed, Server, free_ports, own_cpu

package, program = "postgresql-15", "postgres"
clients = 4

schema = """
CREATE TABLE follows (author int, follower int);
CREATE TABLE message (id bigserial PRIMARY KEY, author int, body bytea);
CREATE TABLE timeline (follower int, message bigint, PRIMARY KEY (follower, message));
"""
statement = """\\set author random(0, {last})
WITH m AS (INSERT INTO message (author, body) VALUES (:author, decode(repeat('78', {body}), 'hex')) RETURNING id)
  INSERT INTO timeline SELECT f.follower, m.id FROM follows f, m WHERE f.author = :author;
"""


def beside(name):
    return os.path.join(os.path.dirname(program), name)


def run(command, **how):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:2])}: {done.stdout[-1500:]}")
    return done.stdout


class Database:
    def __init__(self, port):
        self.at = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]

    def ask(self, text):
        return run([beside("psql"), *self.at, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"], input=text).strip()

    def count(self):
        return int(self.ask("SELECT count(*) FROM timeline;"))

    def bench(self, script, *how):
        text = run([beside("pgbench"), *self.at, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-f", script, *how, "postgres"])
        return int(re.search(r"transactions actually processed: (\d+)", text)[1])


def measure(options):
    owner = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    authors = graph.uniform(options.users, options.followers, options.follows)
    with Directory(options.directory, owner) as directory:
        data = os.path.join(directory, "data")
        how = {"user": owner, "group": owner, "extra_groups": []} if owner else {}
        run([beside("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"], cwd=directory, **how)
        port, = free_ports(1)
        settings = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}",
                    "-c", "shared_buffers=2GB", "-c", "max_wal_size=16GB", "-c", "autovacuum=off"]
        with Server([program, "-D", data, *settings], directory, owner) as server:
            server.wait_port(port).close()
            return run_load(options, server, Database(port), authors, directory)


def run_load(options, server, database, authors, directory):
    for _ in range(100):
        try:
            database.ask("SELECT 1;")
            break
        except Failed:
            time.sleep(0.1)
    rows = "".join(f"{author}\t{user}\n" for author, followers in enumerate(authors) for user in followers)
    database.ask(schema + "COPY follows FROM STDIN;\n" + rows + "\\.\nCREATE INDEX ON follows (author, follower); ANALYZE follows;")
    script = os.path.join(directory, "publish.sql")
    with open(script, "w") as file:
        file.write(statement.format(last=len(authors) - 1, body=options.body))
    database.bench(script, "-t", str(max(1, len(authors) // clients)))
    entries = database.count()
    before, cpu_before, begin = server.usage(), own_cpu(), time.monotonic()
    limit = ["-t", str(max(1, options.messages // clients))] if options.messages else ["-T", str(max(1, round(options.seconds)))]
    messages = database.bench(script, *limit)
    seconds = time.monotonic() - begin
    after, client_cpu = server.usage(), own_cpu() - cpu_before
    if database.count() - entries != messages * options.followers:
        raise Failed("PostgreSQL's timelines do not have what was published")
    return result(messages * options.followers, messages, seconds, before, after, client_cpu)
