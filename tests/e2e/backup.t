#!/usr/bin/env python3
"""croft backup, restore and migrate on a living instance; the database of v0.1.0 opens.

A backup is made while documents are being written: what was acknowledged before it began is in it,
whole, and what it holds can be searched and read after a restore, on SQLite and on PostgreSQL."""
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg as postgres
from croft_server import BINARY, ROOT, Croft, Tap

tap = Tap()
random.seed(3)
tmp = tempfile.mkdtemp(prefix="croft-backup-")


@contextlib.contextmanager
def running(c):
    c.start()
    try:
        yield
    finally:
        c.stop()


def put(c, path, text):
    return c.request("PUT", "/api/v1/documents/by-path?path=" + path, text.encode(),
                     headers={"Content-Type": "text/plain"})[0]


def paths(c):
    rc, out, err = c.cli("docs", "--json")
    assert rc == 0, err
    return {d["path"]: d["id"] for d in json.loads(out)["documents"]}


def holds(c, acked, name):
    """Every acknowledged document is there, with its bytes, and is found."""
    with running(c):
        _, body = c.json("GET", "/api/v1/documents?limit=200")
        there = {d["path"]: d["id"] for d in body["documents"]}
        missing = [p for p in acked if p not in there]
        wrong = [p for p in random.sample(sorted(acked), 20)
                 if c.get(f"/api/v1/documents/{there[p]}/content")[1].decode() != acked[p]]
        tap.ok(not missing and not wrong, f"{name}: what was acknowledged is there", (missing, wrong))
        word = acked["doc-7.txt"].split()[-1]
        _, hits = c.json("POST", "/api/v1/search", {"query": word, "k": 1, "method": "bm25"})
        tap.ok(hits["hits"] and hits["hits"][0]["path"] == "doc-7.txt", f"{name}: and is found", hits)


def upgrade():
    c = Croft(models=True, settings={})
    for end in ("", "-wal", "-shm"):
        if os.path.exists(c.home + "/croft.db" + end):
            os.unlink(c.home + "/croft.db" + end)
    with open(os.path.join(ROOT, "tests/golden/store/v0.1.0.sql"), encoding="utf-8") as f:
        old = sqlite3.connect(c.home + "/croft.db")
        old.executescript(f.read())
        old.close()
    c.settings["db.url"] = f"sqlite:{c.home}/croft.db"
    found = paths(c)
    tap.same(sorted(found), ["broken.pdf", "ferry.md", "käse.txt", "rates.csv"],
             "the database of v0.1.0 opens: its documents")
    rc, out, err = c.cli("search", "ferry", "--json")
    tap.ok(rc == 0 and json.loads(out)["hits"][0]["path"] == "ferry.md", "its index", err)
    rc, out, err = c.cli("runs", "--json")
    kinds = [r["kind"] for r in json.loads(out)["runs"]] if rc == 0 else err
    tap.ok("ingest" in kinds and "ask" in kinds, "its runs", kinds)
    tap.ok(c.cli("backup", tmp + "/old.tar")[0] == 0, "it can be backed up")
    c.remove()


def online():
    acked, stop = {}, threading.Event()
    c = Croft(models=True, settings={})
    c.settings["db.url"] = f"sqlite:{c.home}/croft.db"

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            put(c, f"more-{n % 40}.txt", f"Something else {n} zebra{n}.")

    with running(c):
        for n in range(60):
            text = f"Document {n} speaks of w{n * 7919}x"
            if put(c, f"doc-{n}.txt", text) == 200:
                acked[f"doc-{n}.txt"] = text
        tap.same(len(acked), 60, "documents were stored")
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.2)
        rc, out, err = c.cli("backup", tmp + "/a.tar")
        tap.ok(rc == 0, "a backup beside a running server that writes", err)
        tap.note(out.strip())
        tap.ok(c.cli("backup", tmp + "/a.tar")[0] == 5, "it does not replace a file")
        rc, _, err = c.cli("restore", tmp + "/a.tar")
        tap.ok(rc == 9 and "stop the server" in err, "no restore under a running server", err)
        # killed while it writes: the name appears with the whole content or not at all
        bad = 0
        for n in range(8):
            p = subprocess.Popen([BINARY, "backup", f"{tmp}/k{n}.tar"], env=c.env(),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0.005, 0.06))
            p.send_signal(signal.SIGKILL)
            p.wait()
            if os.path.exists(f"{tmp}/k{n}.tar"):
                with tarfile.open(f"{tmp}/k{n}.tar") as t:
                    bad += t.getnames()[-1] != "manifest.json"
        tap.same(bad, 0, "no half-written backup has its name")
        stop.set()
        writer.join()
    with tarfile.open(tmp + "/a.tar") as t:
        names = t.getnames()
        parts = json.load(t.extractfile("manifest.json"))["parts"]
    tap.ok(len(names) == len(parts) + 1 and names[-1] == "manifest.json", "any tar reads it")

    fresh = Croft(models=True)
    for end in ("", "-wal", "-shm"):
        if os.path.exists(fresh.home + "/croft.db" + end):
            os.unlink(fresh.home + "/croft.db" + end)
    fresh.settings["db.url"] = f"sqlite:{fresh.home}/croft.db"
    tap.ok(fresh.cli("restore", tmp + "/a.tar")[0] == 0, "restored into an empty directory")
    tap.ok(fresh.cli("restore", tmp + "/a.tar")[0] == 5, "not into one that is in use")
    holds(fresh, acked, "SQLite")
    with open(tmp + "/a.tar", "r+b") as f:
        f.seek(os.path.getsize(tmp + "/a.tar") // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    other = Croft()
    rc, _, err = other.cli("restore", tmp + "/a.tar")
    tap.ok(rc == 8, "a damaged one is refused", err)
    with open(tmp + "/a.tar", "r+b") as f:
        f.seek(os.path.getsize(tmp + "/a.tar") // 2)
        f.write(byte)
    other.remove()

    if postgres.missing():
        tap.note(postgres.missing())
    else:
        with postgres.Pg() as pg:
            p = Croft(models=True, settings={"db.url": pg.url("restored")})
            rc, _, err = p.cli("restore", tmp + "/a.tar")
            tap.ok(rc == 0, "the same file onto PostgreSQL", err)
            holds(p, acked, "PostgreSQL")
            rc, out, err = p.cli("migrate", "--from", f"sqlite:{c.home}/croft.db", "--to",
                                 pg.url("moved"))
            tap.ok(rc == 0 and "rag_document" in out, "migrated from SQLite to PostgreSQL", err)
            p.settings.update({"db.url": pg.url("moved"), "blobs.url": f"file:{c.home}/blobs"})
            holds(p, acked, "migrated")
            p.remove()
    fresh.remove()
    c.remove()


upgrade()
online()
subprocess.run(["rm", "-rf", tmp])
tap.done()
