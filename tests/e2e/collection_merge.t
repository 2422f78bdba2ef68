#!/usr/bin/env python3
"""Merges by field against a merge written down plainly: random changes of payloads (objects within objects)
and of vectors by name on both sides; each conflict is named to the field and decided by itself. And texts:
who has changed one has changed its vector and the member that says it."""
import copy
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import EMBED, MODELS, Croft, Tap

SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
ROOT, DIM, NONE = "/api/v1/collections", 3, object()
KEYS = ["a", "b", "a/b", "m~n", "", "ü"]
SPACES = ["one", "two", "x~y"]


def call(c, method, tail, body=None):
    status, reply = c.json(method, ROOT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def value(depth):
    if depth and random.random() < 0.5:
        return {k: value(depth - 1) for k in random.sample(KEYS, random.randint(0, 4))}
    return random.choice([1, 2.5, "x", "y", True, None, [1, 2], [{"a": 1}], "ünï"])


def vector():
    return [random.randint(1, 9) for _ in range(DIM)]


def item():
    return {"vector": {s: vector() for s in SPACES if random.random() < 0.9},
            "payload": {k: value(3) for k in random.sample(KEYS, random.randint(0, 5))}}


def edit(o, depth=0):
    for _ in range(random.randint(1, 3)):
        k = random.choice(KEYS)
        if isinstance(o.get(k), dict) and random.random() < 0.7:
            edit(o[k], depth + 1)
        elif random.random() < 0.3:
            o.pop(k, None)
        else:
            o[k] = value(2)


def changed(i):
    i = copy.deepcopy(i)
    if random.random() < 0.8:
        edit(i["payload"])
    for s in SPACES:
        if random.random() < 0.3:
            i["vector"][s] = vector()
        elif random.random() < 0.1:
            i["vector"].pop(s, None)
    return i


def step(key):
    return "/" + key.replace("~", "~0").replace("/", "~1")


def plain(x):
    """As JSON has it: True is not 1."""
    return NONE if x is NONE else json.dumps(x, sort_keys=True)


class Merge:
    """The rule, written down; decide: field -> 'ours', 'theirs' or None."""

    def __init__(self, decide):
        self.decide, self.conflicts, self.resolved = decide, {}, 0

    def pick(self, field, ours, theirs, base):
        side = self.decide(field)
        if side is None:
            self.conflicts[field] = (base, ours, theirs)
            return ours
        self.resolved += 1
        return ours if side == "ours" else theirs

    def value(self, field, base, ours, theirs, depth=True):
        if plain(ours) == plain(theirs) or plain(base) == plain(theirs):
            return ours
        if plain(base) == plain(ours):
            return theirs
        if depth and isinstance(ours, dict) and isinstance(theirs, dict) and (base is NONE or isinstance(base, dict)):
            return self.object(field, {} if base is NONE else base, ours, theirs)
        return self.pick(field, ours, theirs, base)

    def object(self, field, base, ours, theirs):
        out = {}
        for k in [*ours, *(k for k in theirs if k not in ours)]:
            v = self.value(field + step(k), base.get(k, NONE), ours.get(k, NONE), theirs.get(k, NONE))
            if v is not NONE:
                out[k] = v
        return out

    def item(self, base, ours, theirs):
        if plain(ours) == plain(theirs) or plain(base) == plain(theirs):
            return ours
        if plain(base) == plain(ours):
            return theirs
        if ours is None or theirs is None:
            return self.pick("", ours, theirs, base)
        b = base or {"vector": {}, "payload": {}}
        vectors = {}
        for s in SPACES:
            v = self.value("/vector" + step(s), b["vector"].get(s, NONE), ours["vector"].get(s, NONE), theirs["vector"].get(s, NONE), False)
            if v is not NONE:
                vectors[s] = v
        return {"vector": vectors, "payload": self.object("/payload", b["payload"], ours["payload"], theirs["payload"])}


def put(c, name, items):
    call(c, "PUT", f"/{name}/items", {"items": [{"id": i, **x} for i, x in items.items()]})


def listed(c, name):
    page = call(c, "GET", f"/{name}/items?limit=1000&vectors=true")
    return {i["id"]: {"vector": i.get("vector") or {}, "payload": i["payload"]} for i in page["items"]}


def equal(a, b):
    return a.keys() == b.keys() and all(
        plain(a[i]["payload"]) == plain(b[i]["payload"]) and a[i]["vector"] == b[i]["vector"] for i in a)


def side(c, name, base):
    now = {i: changed(x) if random.random() < 0.7 else x for i, x in base.items()}
    for i in random.sample(sorted(now), 8):
        del now[i]
    for i in random.sample(range(150, 170), 10):
        now[i] = item()
    put(c, name, {i: x for i, x in now.items() if plain(base.get(i)) != plain(x)})  # Python: True == 1
    call(c, "POST", f"/{name}/items/delete", {"ids": [i for i in base if i not in now]})
    return now


def one_round(c, n):
    main, topic = f"main-{n}", f"topic-{n}"
    call(c, "PUT", f"/{main}", {"vectors": {s: {"size": DIM, "distance": "Dot"} for s in SPACES}})
    base = {i: item() for i in range(150)}
    put(c, main, base)
    call(c, "POST", f"/{main}/versions", {})
    call(c, "POST", f"/{main}/branch", {"to": topic})
    ours, theirs = side(c, main, base), side(c, topic, base)

    def merged(decide):
        m, out, conflicts = {}, {}, {}
        resolved = 0
        for i in sorted(base.keys() | ours.keys() | theirs.keys()):
            m = Merge(lambda field, i=i: decide(i, field))
            x = m.item(base.get(i), ours.get(i), theirs.get(i))
            if x is not None:
                out[i] = x
            conflicts.update({(i, f): v for f, v in m.conflicts.items()})
            resolved += m.resolved
        return out, conflicts, resolved

    _, conflicts, _ = merged(lambda i, field: None)
    look = call(c, "POST", f"/{main}/merge", {"from": topic, "dry_run": True, "limit": 1000})
    got = {(x["id"], x["field"]): x for x in look["conflicts"]["items"]}
    tap.ok(got.keys() == conflicts.keys() and len(got) == look["conflicts"]["count"] and len(got) > 20, f"{len(got)} conflicts are named to the field",
           (sorted(got.keys() ^ conflicts.keys(), key=str)[:5], len(conflicts)))
    bad = [k for k, (b, o, t) in conflicts.items() if k[1].startswith("/payload") and k in got
           and [plain(got[k]["values"][s]) for s in ("base", "ours", "theirs")] != [plain(None if v is NONE else v) for v in (b, o, t)]]
    tap.same(bad, [], "with what either side has there")
    r = call(c, "POST", f"/{main}/merge", {"from": topic})
    tap.ok(not r["merged"] and equal(listed(c, main), ours), "with conflicts nothing is merged")
    decided, resolve = {}, {}
    for i, field in sorted(conflicts, key=str):
        if random.random() < 0.5:
            decided[i, field] = random.choice(("ours", "theirs"))
            resolve.setdefault(str(i), {})[field] = decided[i, field]
    some = sorted({i for i, _ in conflicts} - {int(i) for i in resolve})[:3]
    for i in some:
        resolve[str(i)] = "ours"
    want, left, resolved = merged(lambda i, field: decided.get((i, field)) or ("ours" if i in some else "theirs"))
    r = call(c, "POST", f"/{main}/merge", {"from": topic, "prefer": "theirs", "resolve": resolve})
    tap.ok(r["merged"] and equal(listed(c, main), want) and not left and r["conflicts"]["resolved"] == resolved and r["combined"] > 0,
           f"{resolved} are decided field by field, by item, and by what is preferred",
           (r, [(i, want.get(i), listed(c, main).get(i)) for i in want if want[i] != listed(c, main).get(i)][:2]))
    tap.same(call(c, "POST", f"/{main}/merge", {"from": topic})["nothing"], True, "again there is nothing")


def texts(c):
    call(c, "PUT", "/t", {"vectors": {"model": EMBED}})

    def write(name, i, text, **payload):
        call(c, "PUT", f"/{name}/items", {"items": [{"id": i, "text": text, "payload": payload}]})

    def near(name, text):
        return call(c, "POST", f"/{name}/search", {"text": text, "k": 1})["hits"][0]

    for i in range(6):
        write("t", i, f"text number {i}", price=i)
    call(c, "POST", "/t/versions", {})
    call(c, "POST", "/t/branch", {"to": "u"})
    write("t", 1, "text number 1", price=100)
    write("u", 1, "a cat on the roof", price=1)
    write("t", 2, "how to bake bread", price=2)
    write("u", 2, "the price of gold", price=2, tag="x")
    r = call(c, "POST", "/t/merge", {"from": "u"})
    tap.same([(x["id"], x["field"]) for x in r["conflicts"]["items"]], [(2, "/text")], "two texts for one item are one conflict, with vector and payload")
    r = call(c, "POST", "/t/merge", {"from": "u", "resolve": {"2": {"/text": "theirs"}}})
    tap.ok(r["merged"] and r["combined"] == 1, "decided", r)
    hit = near("t", "a cat on the roof")
    tap.ok(hit["id"] == 1 and hit["score"] > 0.99 and hit["payload"] == {"text": "a cat on the roof", "price": 100}, "a text of one side and a price of the other", hit)
    hit = near("t", "the price of gold")
    tap.ok(hit["id"] == 2 and hit["score"] > 0.99 and hit["payload"] == {"text": "the price of gold", "price": 2, "tag": "x"}, "the text that was chosen, with its vector", hit)
    status, reply = c.json("POST", f"{ROOT}/t/merge", {"from": "u", "resolve": {"2": {"price": "ours"}}})
    tap.ok(status == 400 and "/payload/price" in str(reply), "what is no field is refused", (status, reply))
    write("t", 3, "text number 3", price=7)
    write("u", 3, "text number 3", price=8)
    code, out, err = c.cli("collections", "merge", "t", "u")
    tap.ok(code == 5 and "/payload/price" in out and " 7 " in out and "8" in out and all(len(x) <= 80 for x in out.splitlines()), "the command shows what either side has", out + err)
    code, out, err = c.cli("collections", "merge", "t", "u", "--take", '{"3": {"/payload": "theirs"}}')
    tap.ok(code == 0 and call(c, "GET", "/t/items?limit=1&from=3")["items"][0]["payload"]["price"] == 8, "and takes one field, or all that are in it", out + err)


with Croft(models=os.path.exists(MODELS)) as c:
    for n in range(3):
        one_round(c, n)
    if os.path.exists(MODELS):
        texts(c)
tap.done()
