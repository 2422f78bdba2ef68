#!/usr/bin/env python3
"""More streams than workers, a server whose workers are all taken, and the load benchmark for a few seconds:
idle streams, active clients and hostile ones at once."""
import http.client
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import BUILD, ROOT, Croft, Tap  # noqa: E402

tap = Tap()


def follow(c):
    """A stream that has begun, or its refusal."""
    conn = http.client.HTTPConnection(c.address, timeout=30)
    conn.request("GET", "/api/v1/traces/live")
    rs = conn.getresponse()
    if rs.status == 200:
        rs.fp.readline()
    return conn, rs


with Croft(settings={"http.workers": 2, "http.queue_max": 2}) as c:
    streams = [follow(c) for _ in range(60)]
    tap.same({rs.status for _, rs in streams}, {200}, "sixty streams with two workers")
    tap.same(c.get("/api/v1/models")[0], 200, "and others are answered")
    for conn, _ in streams:
        conn.close()
    tap.same(c.get("/api/v1/models")[0], 200, "also when they are gone")

with Croft(settings={"http.workers": 2, "http.queue_max": 2, "http.waiting_max": 3}) as c:
    streams = [follow(c) for _ in range(5)]
    tap.same({rs.status for _, rs in streams}, {200}, "as many as may wait, and the workers themselves")
    waiting = []
    for _ in range(2):
        conn = http.client.HTTPConnection(c.address, timeout=30)
        conn.request("GET", "/readyz")
        waiting.append(conn)
    conn, rs = follow(c)
    tap.ok(rs.status == 503 and rs.getheader("retry-after"), "then the queue is full, and says when to come again", rs.status)
    tap.same(c.get("/healthz")[0], 200, "the process is alive all the same")
    for conn, _ in streams:
        conn.close()
    tap.ok(all(w.getresponse().status in (200, 503) for w in waiting), "what waited is answered")

env = {**os.environ, "SECONDS": "8", "IDLE": "150", "ACTIVE": "40", "HOSTILE": "40"}
with Croft(models=True, ready=False):
    pass  # skipped here without models
p = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "load.py"), BUILD], env=env, text=True, capture_output=True,
                   timeout=120)
for line in p.stdout.splitlines():
    tap.note(line)
tap.ok(p.returncode == 0, "idle streams, active and hostile clients at once: all is whole or announced", p.stderr[-2000:])
tap.done()
