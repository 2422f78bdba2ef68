#!/usr/bin/env python3
"""Restores and merges that change much: the collection begins anew with the version in one short
transaction, is read from it at once, and gets its rows afterwards. What it is set to stays, others go on
writing, kill -9 leaves what was before or what comes after, and another server sees the same.

CROFT_TEST_KILLS: how often (5; `make fault` takes 200). CROFT_TEST_SEED: of the moments."""
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import Croft, Tap

KILLS = int(os.environ.get("CROFT_TEST_KILLS", "5"))
SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
ROOT, N = "/api/v1/collections", 4000
SETTINGS = {"collection.restore_at_once": "500"}


def call(c, method, tail, body=None):
    status, reply = c.json(method, ROOT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def put(c, name, numbers, mark):
    numbers = list(numbers)
    for at in range(0, len(numbers), 2000):
        call(c, "PUT", f"/{name}/items", {"items": [
            {"id": n, "vector": [mark, n % 97, n % 89, 1], "payload": {"mark": mark, "text": f"{'cat' if n % 2 else 'dog'} {n}"}}
            for n in numbers[at:at + 2000]]})


def listed(c, name, as_of=None):
    out, tail = {}, ""
    while True:
        page = call(c, "GET", f"/{name}/items?limit=1000&vectors=true{tail}" + (f"&as_of={as_of}" if as_of else ""))
        for i in page["items"]:
            if i["vector"][0] != i["payload"]["mark"]:
                raise RuntimeError(f"a torn item {i}")
            out[i["id"]] = i["payload"]["mark"]
        if page["next"] is None:
            return out
        tail = f"&from={page['next']}"


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def live(c, name):
    return not call(c, "GET", f"/{name}")["lazy"]


def settled(c, name):
    """A write goes through again."""
    def tries():
        status, reply = c.json("PUT", f"{ROOT}/{name}/items", {"items": []})
        if status not in (200, 503):
            raise RuntimeError(reply)
        return status == 200
    return until(60, tries)


def make(c, name, **more):
    call(c, "PUT", f"/{name}", {"vectors": {"size": 4, "distance": "Dot"}, **more})


def restoring(c):
    make(c, "k", keyword={"fields": {"text": 1}, "language": "en"})
    c.json("PATCH", f"{ROOT}/k", {"recall_target": 0.97})
    put(c, "k", range(N), 1)
    call(c, "POST", "/k/versions", {"tag": "one"})
    put(c, "k", range(N // 2, N + N // 2), 2)
    call(c, "POST", "/k/items/delete", {"ids": list(range(0, N // 2, 3))})
    before = call(c, "GET", "/k")
    seen, stop = [], threading.Event()
    make(c, "other")

    def others():
        while not stop.is_set():
            t = time.time()
            put(c, "other", [1], 1)
            seen.append(time.time() - t)

    t = threading.Thread(target=others)
    t.start()
    r = call(c, "POST", "/k/restore", {"version": "one"})
    tap.ok(r["filling"] and r["made"] and r["kept"] == 2 and r["version"] == 3 and r["items"] == N, "a restore of much is answered before the rows are there", r)
    one = {n: 1 for n in range(N)}
    at = call(c, "POST", "/k/search", {"vector": [1, 1, 0, 0], "k": 3})
    tap.ok(at["version"] == 3 and {h["payload"]["mark"] for h in at["hits"]} == {1}, "a search finds what was restored at once, and says so", at)
    words = call(c, "POST", "/k/search", {"text": "cat", "mode": "keyword", "k": 5})
    tap.ok(all("cat" in h["payload"]["text"] for h in words["hits"]) and len(words["hits"]) == 5, "by words too")
    both = call(c, "POST", "/k/count", {"filter": {"must": [{"key": "mark", "match": {"value": 1}}]}})
    tap.ok(both["count"] == N and listed(c, "k") == one, "lists and counts are those of the version")
    refused, reply = c.json("PUT", f"{ROOT}/k/items", {"items": [{"id": 9999999, "vector": [7, 1, 1, 1], "payload": {"mark": 7}}]})
    tap.ok(refused == 200 or (refused == 503 and "version" in str(reply)), "a write is told to come again, or is late enough", (refused, reply))
    tap.ok(settled(c, "k") and live(c, "k"), "a moment later it has rows of its own")
    stop.set()
    t.join()
    tap.ok(len(seen) > 3 and max(seen) < 5, f"others went on writing, {max(seen):.2f} s at most", max(seen))
    after = call(c, "GET", "/k")
    tap.ok(after["keyword"] == before["keyword"] and after["seq"] > before["seq"], "words are searched as before, changes go on counting", (before, after))
    tap.same(call(c, "GET", "/k/recall")["recall_target"], 0.97, "what it is held to is what it was")
    s = call(c, "GET", "/k/diff?from=one&limit=0")["summary"]
    tap.ok(s["added"] <= 1 and s["removed"] + s["moved"] + s["changed"] == 0, "nothing differs from the version", s)
    call(c, "POST", "/k/items/delete", {"ids": [9999999]})
    q = call(c, "POST", "/k/search", {"vector": [0, 1, 0, 0], "k": 10, "exact": True})
    tap.same({h["score"] for h in q["hits"]}, {96.0}, "it is found by its own index")
    put(c, "k", [5], 9)
    tap.ok(listed(c, "k") == one | {5: 9} and listed(c, "k", 2) != one, "it can be written to, versions are what they were")


def aliases(c):
    status, _ = c.json("POST", "/collections/aliases", {"actions": [{"create_alias": {"alias_name": "prod", "collection_name": "k"}}]})
    if status != 200:
        return
    call(c, "POST", "/k/restore", {"version": 2, "discard": True})
    tap.ok(settled(c, "k") and call(c, "GET", "/prod")["name"] == "k", "an alias stands for it as before")


def merging(c):
    call(c, "POST", "/k/versions", {})
    call(c, "POST", "/k/branch", {"to": "side"})
    put(c, "side", range(2000, 4000), 5)
    want = listed(c, "k") | {n: 5 for n in range(2000, 4000)}
    r = call(c, "POST", "/k/merge", {"from": "side"})
    tap.ok(r["merged"] and r["filling"] and listed(c, "k") == want, "a merge of much too", r)
    tap.ok(settled(c, "k") and listed(c, "k") == want, "and its rows")
    call(c, "POST", "/k/restore", {"version": 1})
    status, reply = c.json("POST", f"{ROOT}/k/restore", {"version": 2})
    tap.ok(status in (200, 503), "another restore meanwhile waits for its turn", (status, reply))
    tap.ok(settled(c, "k"), "and both come to an end")
    code, out, err = c.cli("collections", "restore", "k", "one")
    tap.ok(code == 0 and "version" in out, "croft collections restore", out + err)
    settled(c, "k")
    call(c, "POST", "/k/restore", {"version": 2})
    call(c, "DELETE", "/k")
    tap.same(c.json("GET", f"{ROOT}/k")[0], 404, "it can be deleted while it is filled")


def kills(c):
    make(c, "z")
    put(c, "z", range(N), 1)
    call(c, "POST", "/z/versions", {})
    put(c, "z", range(N), 2)
    call(c, "POST", "/z/versions", {})
    one, two = {n: 1 for n in range(N)}, {n: 2 for n in range(N)}
    problems, halves = [], 0
    for n in range(KILLS):
        to, before, after = (1, two, one) if n % 2 == 0 else (2, one, two)
        reply = []

        def strike():
            try:
                reply.append(call(c, "POST", "/z/restore", {"version": to}))
            except Exception:  # noqa: BLE001
                pass
        t = threading.Thread(target=strike)
        t.start()
        time.sleep(random.uniform(0, 0.5))
        c.kill()
        t.join()
        c.start()
        now = listed(c, "z")
        halves += not live(c, "z")
        if now not in (before, after) or (reply and now != after):
            problems.append((n, len(now), set(now.values()), bool(reply)))
        if not settled(c, "z") or listed(c, "z") != now:
            problems.append((n, "it is something else when it is filled"))
        if now == before:
            call(c, "POST", "/z/restore", {"version": to})
            settled(c, "z")
        left = [s for s in call(c, "POST", "/z/search", {"vector": [1, 0, 0, 0], "k": 20})["hits"] if s["payload"]["mark"] != to]
        if left:
            problems.append((n, "found", left[:2]))
    tap.same(problems, [], f"{KILLS} kills, {halves} of them while it was filled: what was before or what comes after")


def servers():
    blobs = tempfile.mkdtemp(prefix="croft-blobs-")
    with postgres.Pg() as pg:
        both = [Croft(settings={**SETTINGS, "db.url": pg.url("shared"), "blobs.url": "file:" + blobs}) for _ in range(2)]
        try:
            a, b = both
            for c in both:
                c.start()
            make(a, "s")
            put(a, "s", range(N), 1)
            call(a, "POST", "/s/versions", {"tag": "one"})
            put(b, "s", range(N), 2)
            one = {n: 1 for n in range(N)}
            until(10, lambda: call(a, "POST", "/s/search", {"vector": [1, 0, 0, 0], "k": 1})["hits"][0]["payload"]["mark"] == 2)
            call(a, "POST", "/s/restore", {"version": "one"})
            tap.ok(listed(b, "s") == one, "what A restores B reads at once")
            tap.ok(until(10, lambda: call(b, "POST", "/s/search", {"vector": [1, 0, 0, 0], "k": 1})["hits"][0]["payload"]["mark"] == 1), "and finds")
            put(b, "s", [3], 8)
            tap.ok(listed(b, "s") == one | {3: 8} and settled(a, "s") and listed(a, "s") == one | {3: 8}, "what B writes comes after it, whoever fills")
            call(a, "POST", "/s/restore", {"version": "one"})
            a.kill()
            tap.ok(listed(b, "s") == one, "A is killed while it fills: B reads the version")
            put(b, "s", [4], 9)
            tap.ok(listed(b, "s") == one | {4: 9} and live(b, "s"), "and fills it when it is written to")
        finally:
            for c in both:
                c.remove()


with Croft(settings=SETTINGS) as c:
    restoring(c)
    aliases(c)
    merging(c)
    kills(c)
if not postgres.missing():
    servers()
tap.done()
