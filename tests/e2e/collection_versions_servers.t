#!/usr/bin/env python3
"""Two servers on one PostgreSQL database: a version made through one is read through the other, what one
restores or merges is found through the other, a copy that both open at the same time is filled once, and
of two that make versions at the same time each is whole."""
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()
ROOT = "/api/v1/collections"


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def call(c, method, tail, body=None):
    status, reply = c.json(method, ROOT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def put(c, name, numbers, mark):
    call(c, "PUT", f"/{name}/items", {"items": [{"id": n, "vector": [n, mark], "payload": {"mark": mark}} for n in numbers]})


def search(c, name, **more):
    r = call(c, "POST", f"/{name}/search", {"vector": [1, 0], "k": 3, **more})
    return [h["id"] for h in r["hits"]], r["version"]


def together(*work):
    out, threads = [None] * len(work), []
    for n, w in enumerate(work):
        def run(n=n, w=w):
            try:
                out[n] = w()
            except Exception as e:  # noqa: BLE001
                out[n] = e
        threads.append(threading.Thread(target=run))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def run(a, b):
    call(a, "PUT", "/s", {"vectors": {"size": 2, "distance": "Dot"}})
    put(a, "s", range(2000), 0)
    tap.same(call(a, "POST", "/s/versions", {"tag": "one"})["version"], 1, "a version is made through A")
    tap.ok(until(10, lambda: search(b, "s") == ([1999, 1998, 1997], 1)), "B's searches say that they saw it", search(b, "s"))
    put(b, "s", range(2000, 2010), 1)
    tap.same(search(b, "s", as_of="one"), ([1999, 1998, 1997], 1), "B reads it, whatever has changed")
    tap.ok(until(10, lambda: search(a, "s") == ([2009, 2008, 2007], None)), "A's searches say that things have changed")
    call(a, "POST", "/s/restore", {"version": "one"})
    tap.ok(until(10, lambda: search(b, "s") == ([1999, 1998, 1997], 3)), "what A restores B finds, with its version", search(b, "s"))
    call(b, "POST", "/s/branch", {"to": "t"})
    put(a, "t", [5000], 2)
    tap.ok(call(b, "POST", "/s/merge", {"from": "t"})["merged"] and until(10, lambda: search(a, "s")[0][0] == 5000), "what B merges A finds")
    call(a, "POST", "/s/copy", {"to": "u"})
    got = together(*[lambda c=c, n=n: put(c, "u", [9000 + n], 1) for n, c in enumerate((a, b, a, b))])
    tap.same(got, [None] * 4, "both put into a copy that neither has opened before")
    for c, name in (a, "A"), (b, "B"):
        tap.ok(until(10, lambda: call(c, "POST", "/u/count")["count"] == 2001 + 4),
               f"it is filled once and has what both put, through {name}", call(c, "POST", "/u/count"))
    got = together(*[lambda c=c: call(c, "POST", "/u/versions", {}) for c in (a, b, a, b)])
    made = {g["version"] for g in got if not isinstance(g, Exception)}
    tap.ok(made == {1} and sum(g["made"] for g in got) == 1, "four that make a version at once make one", got)

    def write(c, lane):
        for k in range(25):
            put(c, "s", range(10000 + 100 * lane, 10010 + 100 * lane), k)

    stop = threading.Event()

    def versions(c):
        made = []
        while not stop.is_set():
            status, v = c.json("POST", ROOT + "/s/versions", {})
            if status == 200:
                made.append(v["version"])
            elif status not in (409, 429, 503):
                raise RuntimeError(v)
        return made

    def writers():
        together(lambda: write(a, 0), lambda: write(b, 1))
        stop.set()
    got = together(lambda: versions(a), lambda: versions(b), writers)
    bad = [g for g in got if isinstance(g, Exception)]
    torn = []
    for v in sorted(set(got[0] or []) | set(got[1] or [])) if not bad else []:
        marks = {}
        for i in call(b, "GET", f"/s/items?as_of={v}&limit=100&from=10000")["items"]:
            marks.setdefault(i["id"] // 100, []).append(i["payload"]["mark"])
        torn += [(v, m) for m in marks.values() if len(set(m)) > 1 or len(m) != 10]
    tap.ok(not bad and not torn, "versions made through both while both write hold whole changes", (bad, torn))


blobs = tempfile.mkdtemp(prefix="croft-blobs-")
with postgres.Pg() as pg:
    both = [Croft(settings={"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}) for _ in range(2)]
    try:
        for c in both:
            c.start()
        run(*both)
    finally:
        for c in both:
            c.remove()
tap.done()
