#!/usr/bin/env python3
"""Three servers on one PostgreSQL database and one blob folder.

What one server stores the others find within a second. Under load any one of them is killed
(kill -9) and started again, and PostgreSQL is restarted, gently and as if it had crashed: nothing
that was acknowledged is lost, and all servers agree. CROFT_TEST_KILLS (4) says how often."""
import json
import os
import random
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg as postgres
from croft_server import Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
KILLS = int(os.environ.get("CROFT_TEST_KILLS", "4"))
tap = Tap()
random.seed(11)


def put(c, path, text):
    q = urllib.parse.urlencode({"path": path})
    return c.request("PUT", "/api/v1/documents/by-path?" + q, text.encode(),
                     headers={"Content-Type": "text/plain"}, timeout=30)


def finds(c, word):
    status, body = c.json("POST", "/api/v1/search", {"query": word, "method": "bm25", "k": 3})
    return status == 200 and any(word in h["text"] for h in body["hits"])


def within(seconds, condition):
    start = time.time()
    while time.time() - start < seconds:
        if condition():
            return time.time() - start
        time.sleep(0.01)
    return None


def documents(c):
    """path -> id of all of them."""
    found, after = {}, ""
    while True:
        status, body = c.json("GET", "/api/v1/documents?limit=200" + (f"&after={after}" if after else ""))
        assert status == 200, body
        found.update((d["path"], d["id"]) for d in body["documents"])
        after = body["next"]
        if not after:
            return found


class Load:
    """Threads that store documents on any server; what was acknowledged is remembered."""

    def __init__(self, servers, threads=4):
        self.servers, self.acked, self.failed, self.lock = servers, {}, 0, threading.Lock()
        self.stop = threading.Event()
        self.last_ok = 0
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, me):
        n = 0
        while not self.stop.is_set():
            n += 1
            name = f"load-{id(self) % 9999}-{me}-{n}.txt"
            text = f"Entry {n} of writer {me} says w{id(self) % 9999}x{me}x{n}x."
            try:
                status, body = put(random.choice(self.servers), name, text)
            except (OSError, ValueError):
                status, body = 0, b""
            with self.lock:
                if status == 200:
                    self.acked[name] = text
                    self.last_ok = time.time()
                else:
                    self.failed += 1
                    self.note = (status, body[:300])
            if status != 200:
                time.sleep(0.05)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()

    def check(self, what):
        listed = [documents(c) for c in self.servers]
        tap.note(f"{what}: {len(self.acked)} acknowledged, {self.failed} refused or cut off")
        lost = [n for n in self.acked if n not in listed[0]]
        tap.ok(len(self.acked) > 20 and not lost, f"{what}: nothing acknowledged is lost", lost[:5])
        tap.ok(listed[0] == listed[1] == listed[2], f"{what}: all servers list the same")
        sample = random.sample(sorted(self.acked), min(30, len(self.acked)))
        wrong = []
        for name in sample:
            c = random.choice(self.servers)
            status, data = c.get(f"/api/v1/documents/{listed[0][name]}/content")
            if status != 200 or data.decode() != self.acked[name]:
                wrong.append((name, status))
        tap.ok(not wrong, f"{what}: the bytes are the ones sent", wrong[:5])
        missing = []
        for name in sample:
            word = self.acked[name].split()[-1].rstrip(".")
            for c in self.servers:
                if within(5, lambda: finds(c, word)) is None:
                    missing.append((name, self.servers.index(c)))
        tap.ok(not missing, f"{what}: every server finds them", missing[:5])


def kill_one(servers):
    c = random.choice(servers)
    c.kill()
    time.sleep(random.uniform(0, 0.3))
    c.start()


def main():
    blobs = tempfile.mkdtemp(prefix="croft-blobs-")
    with postgres.Pg() as pg:
        settings = {"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}
        servers = [Croft(models=True, settings=settings) for _ in range(3)]
        try:
            for c in servers:
                c.start()
            run(pg, servers)
        finally:
            for c in servers:
                c.remove()
    tap.done()


def run(pg, servers):
    a, b, c = servers
    slowest = 0
    for i in range(5):
        word = f"quokka{i}"
        tap.ok(put(a, f"animal-{i}.txt", f"The {word} lives on an island.")[0] == 200, "stored through A") \
            if i == 0 else put(a, f"animal-{i}.txt", f"The {word} lives on an island.")
        for other in (b, c):
            took = within(5, lambda: finds(other, word))
            slowest = max(slowest, took if took is not None else 99)
    tap.note(f"slowest way from one server's answer to another's index: {slowest * 1000:.0f} ms")
    tap.ok(slowest < 1, "found through B and C within a second")
    put(b, "animal-0.txt", "The wombat digs.")
    tap.ok(within(1, lambda: finds(a, "wombat") and not finds(a, "quokka0")) is not None,
           "a new version through B replaces the old one in A")
    doomed = documents(c)["animal-1.txt"]
    tap.ok(c.request("DELETE", f"/api/v1/documents/{doomed}")[0] == 200, "deleted through C")
    tap.ok(within(1, lambda: not finds(a, "quokka1") and not finds(b, "quokka1")) is not None,
           "gone from A and B within a second")

    def url_of(server):
        status, e = server.json("GET", "/api/v1/endpoints/far")
        return e["url"] if status == 200 else None

    far = {"name": "far", "url": "http://127.0.0.1:1/v1", "model": "m"}
    tap.ok(a.json("POST", "/api/v1/endpoints", far)[0] == 201 and
           within(1, lambda: url_of(b) == url_of(c) == far["url"]) is not None,
           "a provider that was added through A is known to B and C within a second")
    moved = dict(far, url="http://127.0.0.1:2/v1")
    tap.ok(b.json("PUT", "/api/v1/endpoints/far", moved)[0] == 200 and
           within(1, lambda: url_of(a) == url_of(c) == moved["url"]) is not None, "so is where it has moved to")
    tap.ok(c.request("DELETE", "/api/v1/endpoints/far")[0] == 204 and
           within(1, lambda: url_of(a) is None and url_of(b) is None) is not None, "and that it is gone")

    load = Load(servers)
    time.sleep(1)
    for _ in range(KILLS):
        kill_one(servers)
        time.sleep(random.uniform(0.2, 0.8))
    load.end()
    load.check(f"{KILLS} servers killed")

    load = Load(servers)
    for mode, away in (("fast", 0.5), ("immediate", 0), ("immediate", 3)):
        time.sleep(1)
        pg.restart(mode, away)
        back = time.time()
        took = within(15, lambda: load.last_ok > back)
        tap.ok(took is not None, f"PostgreSQL restarted ({mode}, away {away} s): writing again by itself",
               getattr(load, "note", None))
        tap.note(f"first acknowledged write {took or 0:.2f} s after it was back")
    time.sleep(1)
    load.end()
    load.check("PostgreSQL restarted")
    tap.ok(all(s.process.poll() is None for s in servers), "no server ended")
    bad = [json.loads(d)["error"] for st, d in (s.get("/api/v1/status") for s in servers) if st != 200]
    tap.ok(not bad, "all are well", bad)


main()
