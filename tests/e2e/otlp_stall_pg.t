#!/usr/bin/env python3
"""PostgreSQL stalls under load in three ways: all its processes are stopped (SIGSTOP), somebody holds
a lock, it has gone. Clients are told to come back with Retry-After, the rest of the server answers,
memory stays bounded; afterwards everything is accepted, and what was acknowledged is there after
kill -9."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg as postgres
from croft_server import Croft, Tap, skip_all
from otlp_load import Client, watch

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()
CLIENTS, EACH = 24, 2


def processes(pg):
    """The server and its children."""
    with open(os.path.join(pg.data, "postmaster.pid")) as f:
        main = int(f.readline())
    pids = [main]
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == main:
                    pids.append(int(name))
        except (OSError, ValueError, IndexError):
            pass
    return pids


class Stopped:
    """SIGSTOP, as a machine that hangs: connections stay open and nothing answers."""

    def begin(self, pg):
        self.pids = processes(pg)
        for p in self.pids:
            os.kill(p, signal.SIGSTOP)

    def end(self, pg):
        for p in self.pids:
            os.kill(p, signal.SIGCONT)


class Locked:
    """A session of somebody else's holds the table of spans."""

    def begin(self, pg):
        self.psql = subprocess.Popen(
            [*pg.prefix, os.path.join(postgres.bindir(), "psql"), "-X", "-q", "-h", pg.dir, "-U", "postgres"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", env={"HOME": pg.dir})
        self.psql.stdin.write("BEGIN; LOCK TABLE stall.span IN ACCESS EXCLUSIVE MODE;\n\\echo held\n")
        self.psql.stdin.flush()
        assert self.psql.stdout.readline().strip() == "held"

    def end(self, pg):
        self.psql.stdin.write("ROLLBACK;\n\\q\n")
        self.psql.stdin.close()
        self.psql.wait()


class Gone:
    """Stopped as by a crash, and away."""

    def begin(self, pg):
        pg.stop("immediate")

    def end(self, pg):
        pg.start()


def run(pg, c, way, first):
    name, how = type(way).__name__.lower(), way.__doc__.splitlines()[0]
    tap.note(f"{name}: {how}")
    warm = Client(c.address, [first])
    warm.start()
    warm.join()
    tap.same(warm.acked, [first], f"{name}: before it, all is well")
    before = c.metric("process_resident_memory_bytes")
    way.begin(pg)
    clients = [Client(c.address, range(first + 1 + k * EACH, first + 1 + (k + 1) * EACH)) for k in range(CLIENTS)]
    for k in clients:
        k.start()
    slowest, more = watch(c, 4, before)
    acked = sum(len(k.acked) for k in clients)
    waits = sum(k.waits for k in clients)
    way.end(pg)
    back = time.time()
    tap.same(acked, 0, f"{name}: nothing is acknowledged meanwhile")
    tap.ok(waits >= 20, f"{name}: clients are told to wait ({waits} times)")
    tap.ok(slowest < 1, f"{name}: other requests are answered meanwhile (longest {slowest:.2f} s)")
    tap.ok(more < 64 << 20, f"{name}: memory is bounded ({more / 1e6:.0f} MB more)")
    for k in clients:
        k.join()
    tap.note(f"{name}: all accepted {time.time() - back:.1f} s after it was over")
    tap.same([k.others for k in clients if k.others], [], f"{name}: no other failure")
    tap.same(sum(k.no_hint for k in clients), 0, f"{name}: each refusal with Retry-After")
    tap.same(sum(len(k.acked) for k in clients), CLIENTS * EACH, f"{name}: afterwards everything is accepted")
    c.kill()
    c.start()
    have = set(pg.sql("SELECT encode(run, 'hex') FROM span", "stall").splitlines())
    lost = [i for k in clients for i in k.acked if f"{i + 1:032x}" not in have]
    tap.same(lost, [], f"{name}: and is there after kill -9")


with postgres.Pg() as pg:
    with Croft(settings={"db.url": pg.url("stall"), "traces.pending_max": "2m", "http.workers": 16,
                         "traces.keep_days": 0}) as c:
        for i, way in enumerate((Stopped(), Locked(), Gone())):
            run(pg, c, way, 1000 * (i + 1))
tap.done()
