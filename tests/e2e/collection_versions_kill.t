#!/usr/bin/env python3
"""kill -9 in the middle of commit, restore, merge and of a copy that fills: after the next start the
items are all those of before or all those of after, every version holds what it held, and what says
that nothing has changed since a version is right.

CROFT_TEST_KILLS: how often (6; `make fault` takes 200). CROFT_TEST_SEED: of the moments."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

KILLS = int(os.environ.get("CROFT_TEST_KILLS", "6"))
SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
ROOT, N, DIM = "/api/v1/collections", 4000, 4


def call(c, method, tail, body=None):
    status, reply = c.json(method, ROOT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def put(c, name, numbers, mark):
    numbers = list(numbers)
    for at in range(0, len(numbers), 2000):
        call(c, "PUT", f"/{name}/items", {"items": [
            {"id": n, "vector": [mark, n % 97, n % 89, 1], "payload": {"mark": mark}} for n in numbers[at:at + 2000]]})


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


def versions(c, name):
    return {v["version"]: v for v in call(c, "GET", f"/{name}/versions?limit=1000")["versions"]}


class Strike(threading.Thread):
    """A call that the server may not live to answer."""

    def __init__(self, c, tail, body):
        super().__init__()
        self.c, self.tail, self.body, self.reply = c, tail, body, None

    def run(self):
        try:
            self.reply = call(self.c, "POST", self.tail, self.body)
        except Exception:  # noqa: BLE001 the connection ends anyhow
            pass


def strike(c, tail, body, took):
    s = Strike(c, tail, body)
    s.start()
    time.sleep(random.uniform(0, took))
    c.kill()
    s.join()
    c.start()
    return s.reply


def honest(c, name):
    """What says that nothing has changed since the head is what a comparison says."""
    state = call(c, "GET", f"/{name}/versions")["state"]
    s = call(c, "GET", f"/{name}/diff?limit=0")["summary"]
    differs = s["added"] + s["removed"] + s["moved"] + s["changed"] > 0
    return state["changed"] or not differs


def one_round(c, n, known, problems):
    """known: version -> what it holds."""
    what = random.choice(("commit", "restore", "merge", "fill"))
    mark = n + 1
    put(c, "k", random.sample(range(N), N // 3), mark)
    call(c, "POST", "/k/items/delete", {"ids": random.sample(range(N), 200)})
    before, at = listed(c, "k"), versions(c, "k")
    after = before
    if what == "commit":
        reply = strike(c, "/k/versions", {}, 0.25)
    elif what == "restore":
        target = random.choice(sorted(known))
        after = known[target]
        reply = strike(c, "/k/restore", {"version": target, "discard": True}, 0.4)
    elif what == "merge":
        side = f"side-{n}"
        call(c, "POST", "/k/branch", {"to": side})
        for v, x in versions(c, "k").items():
            known.setdefault(v, before if v not in at else known.get(v))
        at = versions(c, "k")
        put(c, side, range(N, N + 1500), mark)
        after = before | {i: mark for i in range(N, N + 1500)}
        reply = strike(c, "/k/merge", {"from": side}, 0.4)
    else:
        name = f"copy-{n}"
        call(c, "POST", "/k/copy", {"to": name})
        for v in versions(c, "k"):
            known.setdefault(v, before)
        at = versions(c, "k")
        strike(c, f"/{name}/search", {"vector": [1, 1, 1, 1]}, 0.02)
        strike(c, f"/{name}/map", {}, 0.3)  # opens it, so that it fills
        put(c, name, [0], mark)
        if listed(c, name) != before | {0: mark}:
            problems.append((n, what, "the copy is not whole"))
        call(c, "DELETE", f"/{name}")
        reply = None
    now, there = listed(c, "k"), versions(c, "k")
    if now not in (before, after):
        problems.append((n, what, "half", len(now), len(before), len(after)))
    if reply and now != after:
        problems.append((n, what, "acknowledged and not there"))
    for v in there.keys() - at.keys():  # a commit's, or what a merge kept, or the thing itself
        holds = listed(c, "k", v)
        if holds not in (before, after):
            problems.append((n, what, f"version {v} is neither"))
        known[v] = holds
    if what == "restore" and after != before and (now == after) != bool(there.keys() - at.keys()):
        problems.append((n, what, "items and version do not agree"))
    if not honest(c, "k"):
        problems.append((n, what, "it says that nothing has changed, and something has"))
    return what


with Croft() as c:
    call(c, "PUT", "/k", {"vectors": {"size": DIM, "distance": "Cosine"}})
    put(c, "k", range(N), 0)
    first = call(c, "POST", "/k/versions", {})["version"]
    known, problems, kinds = {first: {n: 0 for n in range(N)}}, [], []
    for n in range(KILLS):
        kinds.append(one_round(c, n, known, problems))
    lost = [v for v, holds in known.items() if listed(c, "k", v) != holds]
    tap.same(problems, [], f"{KILLS} kills in {', '.join(sorted(set(kinds)))}: all or nothing")
    tap.same(lost, [], f"{len(known)} versions hold what they held")
tap.done()
