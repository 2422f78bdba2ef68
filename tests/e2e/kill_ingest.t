#!/usr/bin/env python3
"""SIGKILL while documents are written: whatever was acknowledged is found after the restart, in its
last version; whatever was deleted is not; the one request in flight is done or not done at all."""
import json
import os
import random
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

tap = Tap()
KILLS = int(os.environ.get("CROFT_TEST_KILLS", "50"))
SEED = int(os.environ.get("CROFT_TEST_SEED", str(time.time_ns() % 100000)))
rnd = random.Random(SEED)
WORDS = ("the harvest of this year was stored in the barn near the river while the old miller "
         "counted every sack of grain and wrote the number into a small book of accounts").split()


def token():
    return "q" + "".join(rnd.choice("bcdfghjklmnpqrtvwxz") for _ in range(11))


def text_of(mark):
    body = " ".join(rnd.choice(WORDS) for _ in range(rnd.randrange(20, 60)))
    return f"The mark of this document is {mark}. {body.capitalize()}."


def put(c, path, text):
    q = urllib.parse.urlencode({"path": path})
    status, d = c.json("PUT", "/api/v1/documents/by-path?" + q, text.encode())
    if status != 200 or d["outcome"] == "failed":
        raise RuntimeError(f"PUT {path}: {status} {d}")
    return d


def found(c, mark, method="bm25"):
    """The paths of the documents that have the mark."""
    status, d = c.json("POST", "/api/v1/search", {"query": mark, "k": 3, "method": method})
    if status != 200:
        raise RuntimeError(f"search: {status} {d}")
    return [h["path"] for h in d["hits"] if mark in h["text"]]


class World:
    """What was acknowledged: path -> (mark, id); and the request in flight."""

    def __init__(self):
        self.docs, self.gone, self.flight, self.n, self.acks = {}, [], None, 0, 0

    def step(self, c):
        roll = rnd.random()
        if self.docs and roll < 0.15:
            path = rnd.choice(list(self.docs))
            self.flight = (path, self.docs[path][0], None)
            status, _ = c.json("DELETE", "/api/v1/documents/" + self.docs[path][1])
            if status != 200:
                raise RuntimeError(f"DELETE: {status}")
            self.gone.append(self.docs.pop(path)[0])
        else:
            if self.docs and roll < 0.4:
                path = rnd.choice(list(self.docs))
            else:
                self.n += 1
                path = f"doc{self.n:05}.txt"
            old, mark = self.docs.get(path), token()
            self.flight = (path, old and old[0], mark)
            d = put(c, path, text_of(mark))
            if old:
                self.gone.append(old[0])
            self.docs[path] = (mark, d["id"])
        self.flight = None
        self.acks += 1

    def settle(self, c):
        """After a restart: which way did the request in flight go? Either is right, half is not."""
        if not self.flight:
            return True
        path, old, new = self.flight
        self.flight = None
        has_old, has_new = bool(old and found(c, old)), bool(new and found(c, new))
        if has_old and has_new:
            return tap.ok(False, f"{path} is there in two versions")
        if old and new and not has_old and not has_new:
            return tap.ok(False, f"{path} vanished: neither its old nor its new version is there")
        status, d = c.json("GET", "/api/v1/documents?" + urllib.parse.urlencode({"q": path}))
        rows = {x["path"]: x["id"] for x in d["documents"]}
        if has_new or has_old:
            if old and has_new:
                self.gone.append(old)
            self.docs[path] = (new if has_new else old, rows.get(path))
        else:
            self.docs.pop(path, None)
            if old:
                self.gone.append(old)
        return (path in rows) == (has_old or has_new) or \
            tap.ok(False, f"{path}: the row and the index disagree")

    def verify(self, c, paths, gone):
        lost = [p for p in paths if found(c, self.docs[p][0]) != [p]]
        back = [m for m in gone if found(c, m)]
        total = c.json("GET", "/api/v1/documents?limit=1")[1]["total"]
        if lost or back or total != len(self.docs):
            tap.ok(False, f"after a kill: {len(lost)} lost, {len(back)} came back, "
                   f"{total} rows for {len(self.docs)} documents", f"{lost[:5]} {back[:5]}")
            return False
        return True


def kill_cycles():
    w, good, slowest = World(), 0, 0.0
    c = Croft(models=True, settings={"log.level": "warn"})
    try:
        c.start()
        for i in range(KILLS):
            before = w.acks
            killer = threading.Timer(rnd.uniform(0.005, 0.6), c.process.kill)
            killer.start()
            try:
                while True:
                    w.step(c)
            except OSError:
                pass
            killer.join()
            c.kill()
            recent = list(w.docs)[-(w.acks - before + 1):]
            started = time.time()
            c.start()
            slowest = max(slowest, time.time() - started)
            some = set(recent) | set(rnd.sample(list(w.docs), min(5, len(w.docs))))
            good += w.settle(c) and w.verify(c, [p for p in some if p in w.docs], w.gone[-8:])
        tap.same(good, KILLS, f"{KILLS} kills while documents were written (seed {SEED})")
        tap.ok(w.verify(c, list(w.docs), w.gone), f"all {len(w.docs)} documents are found at the "
               f"end, none of {len(w.gone)} former versions and deleted ones")
        marks = rnd.sample(list(w.docs), min(20, len(w.docs)))
        tap.ok(all(p in found(c, w.docs[p][0], "hybrid") for p in marks), "hybrid finds them too")
        c.json("POST", "/api/v1/ingest/commit")
        ref = c.json("POST", "/api/v1/search", {"query": "grain"})[1]
        digest = c.json("GET", "/api/v1/artifacts/resolve?ref=" + ref["document_set"])[1]["digest"]
        lines = c.get(f"/api/v1/trees/{digest}/files/documents.jsonl")[1].decode().splitlines()
        tap.same(sorted(json.loads(x)["path"] for x in lines), sorted(w.docs),
                 "the version of the document set has these documents and no other")
        tap.same(ref["document_changes"], 0, "and nothing has changed since")
        tap.note(f"{w.acks} acknowledged writes, slowest restart {slowest:.2f} s")
    finally:
        c.remove()


def cli_resumes():
    """croft ingest of a folder, the server killed under it; the next call finishes the work."""
    c = Croft(models=True, settings={"log.level": "warn"})
    try:
        folder, marks = os.path.join(c.home, "files"), {}
        os.makedirs(folder)
        for i in range(60):
            marks[f"f{i:02}.txt"] = mark = token()
            with open(os.path.join(folder, f"f{i:02}.txt"), "w") as f:
                f.write(text_of(mark))
        c.start()
        threading.Timer(0.4, c.process.kill).start()
        code, _, err = c.cli("ingest", folder)
        c.kill()
        c.start()
        code, out, err = c.cli("ingest", folder)
        tap.same(code, 0, "ingest after the kill ends well")
        lost = [n for n, m in marks.items()
                if [os.path.basename(p) for p in found(c, m)] != [n]]
        tap.same(lost, [], "every file of the folder is found once")
        code, out, err = c.cli("ingest", folder)
        tap.ok(code == 0 and "0 indexed, 60 unchanged" in out + err, "a third call has nothing to do",
               out + err)
        tap.ok("document-set/default:" in out and "as before" in out, "and makes no version", out)
    finally:
        c.remove()


def edits():
    """Only what changed is embedded again; a text that is known is never embedded twice."""
    with Croft(models=True, settings={"log.level": "warn"}) as c:
        parts = [f"## Part {i}\n\n" + " ".join(
            f"{rnd.choice(WORDS).capitalize()} {token()} " + " ".join(rnd.choice(WORDS)
                                                                    for _ in range(12)) + "."
            for _ in range(9)) + "\n" for i in range(8)]
        first = put(c, "book.md", "# The book\n\n" + "\n".join(parts))
        tap.ok(first["embedded"] >= 8 and first["reused"] == 0, "all chunks are embedded at first",
               first)
        same = put(c, "book.md", "# The book\n\n" + "\n".join(parts))
        tap.ok(same["outcome"] == "unchanged" and same["embedded"] == 0, "the same bytes: nothing",
               same)
        mark = token()
        parts[3] = parts[3].replace("## Part 3\n\n", f"## Part 3\n\nA new beginning, {mark}. ")
        edited = put(c, "book.md", "# The book\n\n" + "\n".join(parts))
        tap.ok(1 <= edited["embedded"] <= 3 and edited["embedded"] + edited["reused"] ==
               edited["chunks"], "an edited paragraph embeds its own chunks only", edited)
        tap.same(found(c, mark), ["book.md"], "and is found")
        copy = put(c, "copy.md", "# The book\n\n" + "\n".join(parts))
        tap.ok(copy["embedded"] == 0 and copy["reused"] == copy["chunks"],
               "a copy embeds nothing", copy)


edits()
cli_resumes()
kill_cycles()
tap.done()
