#!/usr/bin/env python3
"""The store stalls under load: clients are told to come back, the rest of the server lives, memory
stays bounded, and nothing that was acknowledged is lost."""
import http.client
import json
import os
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap, on_postgres, skip_all

if on_postgres():
    skip_all("it stalls SQLite's file; tests/e2e/servers.t stops PostgreSQL")
tap = Tap()
BIG = "x" * 200_000


def request(i):
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": f"{i + 1:032x}", "spanId": "0" * 15 + "1", "name": f"t{i}", "startTimeUnixNano": "1",
        "endTimeUnixNano": "2", "attributes": [{"key": "pad", "value": {"stringValue": BIG}}]}]}]}]}).encode()


class Client(threading.Thread):
    def __init__(self, address, numbers):
        super().__init__()
        self.address, self.numbers = address, numbers
        self.acked, self.waits, self.others, self.no_hint = [], 0, [], 0

    def run(self):
        for i in self.numbers:
            body = request(i)
            while True:
                try:
                    h = http.client.HTTPConnection(self.address, timeout=60)
                    h.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
                    r = h.getresponse()
                    r.read()
                except OSError as e:
                    self.others.append(repr(e))
                    time.sleep(0.5)
                    continue
                if r.status == 200:
                    self.acked.append(i)
                    break
                if r.status in (429, 503):
                    self.waits += 1
                    self.no_hint += r.getheader("retry-after") is None
                    time.sleep(float(r.getheader("retry-after") or 1))
                else:
                    self.others.append(r.status)
                    break


with Croft(settings={"traces.pending_max": "2m", "http.workers": 16}) as c:
    before = c.metric("process_resident_memory_bytes")
    lock = sqlite3.connect(os.path.join(c.home, "croft.db"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    clients = [Client(c.address, range(k * 5, k * 5 + 5)) for k in range(30)]
    for k in clients:
        k.start()
    slowest = peak = 0
    end = time.time() + 4
    while time.time() < end:
        t = time.time()
        ok = c.get("/healthz")[0] == 200
        slowest = max(slowest, time.time() - t if ok else 99)
        peak = max(peak, c.metric("process_resident_memory_bytes") or 0)
        time.sleep(0.2)
    waits = sum(k.waits for k in clients)
    tap.ok(waits >= 20, f"while the store stalls clients are told to wait ({waits} times)")
    tap.same(sum(k.no_hint for k in clients), 0, "each time with Retry-After")
    tap.ok(slowest < 1, f"other requests are answered meanwhile (longest {slowest:.2f} s)")
    tap.ok(peak - before < 64 << 20, f"memory is bounded ({(peak - before) / 1e6:.0f} MB more)")
    lock.execute("ROLLBACK")
    for k in clients:
        k.join()
    tap.same([k.others for k in clients if k.others], [], "no other failure")
    tap.same(sum(len(k.acked) for k in clients), 150, "afterwards everything is accepted")
    c.kill()
    c.start()
    have = lock.execute("SELECT COUNT(*) FROM span").fetchone()[0]
    tap.same(have, 150, "and is there after kill -9")
    lock.close()
tap.done()
