#!/usr/bin/env python3
"""The store stalls under load: clients are told to come back, the rest of the server lives, memory
stays bounded, and nothing that was acknowledged is lost."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap, on_postgres, skip_all
from otlp_load import Client, watch

if on_postgres():
    skip_all("it stalls SQLite's file; tests/e2e/otlp_stall_pg.t does PostgreSQL")
tap = Tap()
with Croft(settings={"traces.pending_max": "2m", "http.workers": 16, "traces.keep_days": 0}) as c:
    before = c.metric("process_resident_memory_bytes")
    lock = sqlite3.connect(os.path.join(c.home, "croft.db"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    clients = [Client(c.address, range(k * 5, k * 5 + 5)) for k in range(30)]
    for k in clients:
        k.start()
    slowest, more = watch(c, 4, before)
    waits = sum(k.waits for k in clients)
    tap.ok(waits >= 20, f"while the store stalls clients are told to wait ({waits} times)")
    tap.same(sum(k.no_hint for k in clients), 0, "each time with Retry-After")
    tap.ok(slowest < 1, f"other requests are answered meanwhile (longest {slowest:.2f} s)")
    tap.ok(more < 64 << 20, f"memory is bounded ({more / 1e6:.0f} MB more)")
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
