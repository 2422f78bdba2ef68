#!/usr/bin/env python3
"""Versions of collections against a dictionary that remembers everything: as of any version there is
what was there, searches of it are those of a loop over all vectors, and restoring brings it back."""
import copy
import json
import math
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
DIM, ROOT = 8, "/api/v1/collections"


def vector():
    return [round(random.gauss(0, 1), 3) for _ in range(DIM)]


def item_id(n):
    return n if n % 3 else (f"doc-{n}" if n % 2 else f"00000000-0000-4000-8000-{n:012d}")


class Faq:
    """A collection and what must be in it: id -> (vector, payload)."""

    def __init__(self, c, name):
        self.c, self.name, self.now, self.versions = c, name, {}, {}

    def call(self, method, tail="", body=None):
        status, reply = self.c.json(method, f"{ROOT}/{self.name}{tail}", body)
        if status != 200:
            raise RuntimeError(f"{method} {tail}: {status} {reply}")
        return reply

    def put(self, numbers):
        for n in numbers:
            self.now[item_id(n)] = (vector(), {"n": n, "group": random.choice("abc")})
        ids = [item_id(n) for n in numbers]
        for at in range(0, len(ids), 1000):
            self.call("PUT", "/items", {"items": [
                {"id": i, "vector": self.now[i][0], "payload": self.now[i][1]} for i in ids[at:at + 1000]]})

    def remove(self, numbers):
        ids = [item_id(n) for n in numbers]
        self.call("POST", "/items/delete", {"ids": ids})
        for i in ids:
            self.now.pop(i, None)

    def commit(self, **body):
        v = self.call("POST", "/versions", body)
        self.versions[v["version"]] = copy.deepcopy(self.now)
        return v

    def listed(self, as_of=None):
        out, tail = {}, ""
        while True:
            q = f"/items?limit=1000&vectors=true{tail}" + (f"&as_of={as_of}" if as_of else "")
            page = self.call("GET", q)
            for i in page["items"]:
                out[i["id"]] = (i["vector"], i["payload"])
            if page["next"] is None:
                return out
            tail = f"&from={page['next']}"

    def nearest(self, q, k=10, keep=lambda p: True, **more):
        reply = self.call("POST", "/search", {"vector": q, "k": k, **more})
        return reply, [h["id"] for h in reply["hits"]]


def close(a, b):
    return a.keys() == b.keys() and all(
        a[i][1] == b[i][1] and all(abs(x - y) < 1e-6 for x, y in zip(a[i][0], b[i][0])) for i in a)


def truth(items, q, k, keep=lambda p: True):
    def cosine(v):
        return sum(x * y for x, y in zip(v, q)) / math.sqrt(sum(x * x for x in v) * sum(x * x for x in q))
    return sorted((i for i in items if keep(items[i][1])), key=lambda i: -cosine(items[i][0]))[:k]


def history(c):
    f = Faq(c, "faq")
    f.call("PUT", "", {"vectors": {"size": DIM, "distance": "Cosine"}})
    tap.same(f.call("GET", "/versions")["versions"], [], "a new collection has no versions")
    f.put(range(3000))
    v = f.commit(message="first", tag="start")
    tap.same((v["version"], v["made"], v["items"], v["added"], v["message"], v["tags"]), (1, True, 3000, 3000, "first", ["start"]), "the first version")
    tap.same(f.call("POST", "/versions", {})["made"], False, "nothing has changed: no second one")
    time.sleep(0.05)
    between = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() % 1 * 1000):03d}Z"
    time.sleep(0.05)
    f.put(random.sample(range(3000), 30))
    f.remove(random.sample(range(3000), 20))
    f.put(range(3000, 3050))
    state = f.call("GET", "/versions")["state"]
    tap.ok(state["changed"] and state["head"] == "faq:1", "the items have changed since", state)
    v = f.commit(message="second")
    tap.ok(v["version"] == 2 and v["added"] == 50 and v["changed"] + v["removed"] >= 45 and v["parents"] == ["faq:1"], "the second says how many", v)
    for _ in range(4):
        f.put(random.sample(range(4000), 300))
        f.remove(random.sample(range(4000), 200))
        f.commit()
    for n, want in f.versions.items():
        tap.ok(close(f.listed(n), want), f"as of {n} there is what was there")
    tap.ok(close(f.listed("start"), f.versions[1]) and close(f.listed(between), f.versions[1]), "by its tag and by a time too")
    tap.ok(close(f.listed(), f.now), "the live items are the last")
    tap.same(c.json("GET", f"{ROOT}/faq/items?as_of=99")[0], 404, "a version that is not there")
    tap.same(c.json("GET", f"{ROOT}/faq/items?as_of=2001-01-01")[0], 404, "a time before the first")
    return f


def searches(f):
    bad = []
    for n, items in f.versions.items():
        q = vector()
        reply, got = f.nearest(q, 20, as_of=n)
        if got != truth(items, q, 20) or not reply["exact"] or reply["version"] != n:
            bad.append(n)
        flt = {"must": [{"key": "group", "match": {"value": "a"}}]}
        if f.nearest(q, 20, as_of=n, filter=flt)[1] != truth(items, q, 20, lambda p: p["group"] == "a"):
            bad.append((n, "filter"))
        if f.call("POST", "/count", {"as_of": n, "filter": flt})["count"] != sum(p["group"] == "a" for _, p in items.values()):
            bad.append((n, "count"))
    tap.same(bad, [], "searches and counts as of a version are exact, with filters too")
    reply, _ = f.nearest(vector())
    tap.ok(reply["version"] == max(f.versions) and reply["artifact"] == f"vector-collection/faq:{max(f.versions)}", "a live search says which version it saw", reply["version"])
    f.put([1])
    tap.same(f.nearest(vector())[0]["version"], None, "and none when items have changed since")
    some = next(iter(f.versions[1]))
    reply = f.call("POST", "/search", {"id": some, "k": 5, "as_of": 1})
    tap.same([h["id"] for h in reply["hits"]], truth({i: x for i, x in f.versions[1].items() if i != some}, f.versions[1][some][0], 5), "near to an item of a version")


def restoring(f):
    last = max(f.versions)
    r = f.call("POST", "/restore", {"version": 2})
    tap.ok(r["kept"] == last + 1 and r["version"] == last + 2 and r["from"] == "2", "restoring keeps what had changed, and is a version", r)
    f.versions[r["kept"]] = f.now
    f.now = copy.deepcopy(f.versions[2])
    f.versions[r["version"]] = f.now
    tap.ok(close(f.listed(), f.versions[2]), "the items are back")
    q = vector()
    tap.same(f.nearest(q, 20)[1], truth(f.now, q, 20), "and are found")
    tap.ok(close(f.listed(r["kept"]), f.versions[r["kept"]]), "what had changed is there as of its version")
    f.put([5, 6])
    r = f.call("POST", "/restore", {"version": "start", "discard": True})
    f.now = copy.deepcopy(f.versions[1])
    tap.ok(r["kept"] is None and close(f.listed(), f.versions[1]), "restoring by a tag, without keeping", r)
    tap.same(f.call("POST", "/restore", {"version": "start"})["made"], False, "again does nothing")


def copies(c, f):
    made = f.call("POST", "/copy", {"to": "faq-copy", "from": 2})
    k = Faq(c, "faq-copy")
    tap.ok(made["items"] == len(f.versions[2]) and made["origin"] == "faq:2", "a copy of a version", made)
    tap.ok(k.call("GET", "")["lazy"], "has no rows yet")
    q = vector()
    tap.same(k.nearest(q, 20)[1], truth(f.versions[2], q, 20), "is searched all the same")
    tap.ok(close(k.listed(), f.versions[2]) and k.call("GET", "")["lazy"], "and listed")
    k.now = copy.deepcopy(f.versions[2])
    k.put([7, 9000])
    tap.ok(not k.call("GET", "")["lazy"] and close(k.listed(), k.now), "has rows when it is written to")
    tap.same(k.nearest(q, 20)[1], truth(k.now, q, 20), "and is found by its index")
    tap.ok(close(f.listed(), f.now), "the first one does not see it")
    v = k.commit(message="of the copy")
    tap.ok(v["version"] == 1 and v["added"] + v["changed"] == 2 and v["parents"] == [], "its history begins anew", v)
    tap.same(c.json("POST", f"{ROOT}/faq/copy", {"to": "faq-copy"})[0], 409, "a name that is taken")


def map_of_copy(c, f):
    f.call("POST", "/copy", {"to": "faq-mapped", "from": 2})
    k = Faq(c, "faq-mapped")
    k.call("POST", "/map", {})
    for _ in range(600):
        if k.call("GET", "/map?data=false")["state"] != "running":
            break
        time.sleep(0.05)
    shown = k.call("GET", "/map")["map"]["data"]["ids"]
    tap.same(len(shown), len(f.versions[2]), "a map of a copy shows its items")


def distance(a, b):
    return 1 - sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def differing(a, b):
    """id -> (change, distance)"""
    out = {}
    for i in a.keys() | b.keys():
        if i not in a or i not in b:
            out[i] = ("added" if i in b else "removed", None)
        elif a[i][0] != b[i][0]:
            out[i] = ("moved", distance(a[i][0], b[i][0]))
        elif a[i][1] != b[i][1]:
            out[i] = ("changed", None)
    return out


def same_diff(got, want):
    return {g["id"] for g in got} == want.keys() and all(
        g["change"] == want[g["id"]][0] and (g["distance"] is None) == (want[g["id"]][1] is None)
        and abs((g["distance"] or 0) - (want[g["id"]][1] or 0)) < 1e-5 for g in got)


def pages(f, query):
    out, after = [], ""
    while True:
        page = f.call("GET", f"/diff?{query}&limit=70{after}")
        out += page["items"]
        if page["next"] is None:
            return out
        after = f"&after={page['next']}"


def diffs(c):
    f = Faq(c, "diffed")
    f.call("PUT", "", {"vectors": {"size": DIM, "distance": "Cosine"}})
    f.put(range(500))
    f.commit()
    f.put(random.sample(range(500), 60))
    f.remove(random.sample(range(500), 40))
    f.put(range(500, 530))
    for i in random.sample(sorted(f.now, key=str), 50):  # the payload alone
        f.now[i] = (f.now[i][0], {"n": -1, "text": "changed"})
        f.call("PUT", "/items", {"items": [{"id": i, "vector": f.now[i][0], "payload": f.now[i][1]}]})
    want = differing(f.versions[1], f.now)
    d = f.call("GET", "/diff?limit=1000")
    tap.ok(d["from"]["version"] == "diffed:1" and d["to"]["version"] == "now" and same_diff(d["items"], want), "what has changed since the last version", d["summary"])
    f.commit()
    d = f.call("GET", "/diff?from=1&to=2&limit=1000&payloads=true")
    tap.ok(same_diff(d["items"], want), "the same between two versions")
    tap.ok(all((x["before"] or {}) == f.versions[1].get(x["id"], (0, {}))[1] and (x["after"] or {}) == f.versions[2].get(x["id"], (0, {}))[1] for x in d["items"]), "with payloads before and after")
    s, far = d["summary"], sorted(x for _, x in want.values() if x is not None)
    tap.same([s[k] for k in ("added", "removed", "moved", "changed")], [sum(x[0] == k for x in want.values()) for k in ("added", "removed", "moved", "changed")], "counted")
    tap.ok(abs(s["distance"]["max"] - far[-1]) < 1e-5 and abs(s["distance"]["mean"] - sum(far) / len(far)) < 1e-5 and s["distance"]["measured"] == len(far), "distances summed up", s)
    edges = s["distance"]["edges"]
    near_edge = any(abs(x - e) < 1e-6 for x in far for e in edges)
    tap.ok(near_edge or s["distance"]["items"] == [sum(a <= x < b for x in far) for a, b in zip(edges, edges[1:])], "and in a histogram", s)
    tap.ok(same_diff(pages(f, "from=1&to=2"), want), "page by page")
    tap.same([x["id"] for x in f.call("GET", "/diff?from=1&to=2&sort=distance&change=moved&limit=5")["items"]],
             sorted((i for i in want if want[i][0] == "moved"), key=lambda i: -want[i][1])[:5], "the farthest first")
    back = f.call("GET", "/diff?from=2&to=1&limit=0")["summary"]
    tap.ok(back["added"] == s["removed"] and back["moved"] == s["moved"], "the other way round")
    tap.same(f.call("GET", "/diff?from=2&to=2")["summary"]["same"], len(f.now), "a version and itself")
    f.call("POST", "/copy", {"to": "diffed-2", "from": 1})
    g = Faq(c, "diffed-2")
    tap.ok(same_diff(g.call("GET", "/diff?from=diffed:2&limit=1000")["items"], differing(f.versions[2], f.versions[1])), "against a version of another collection")
    _, out, err = c.cli("collections", "diff", "diffed", "1", "2", "--farthest")
    tap.ok(f"{s['moved']} moved" in out and "0.5" in out and all(len(line) <= 80 for line in out.splitlines()), "croft collections diff", out + err)
    tap.same(c.json("GET", f"{ROOT}/diffed/diff?from=7")[0], 404, "a version that is not there")


def three_way(base, ours, theirs):
    """The merged items and the ids in conflict, by the definition."""
    out, bad = {}, set()
    for i in base.keys() | ours.keys() | theirs.keys():
        b, o, t = base.get(i), ours.get(i), theirs.get(i)
        x = o if o == t or t == b else t if o == b else None
        if o != t and t != b and o != b:
            bad.add(i)
        elif x is not None:
            out[i] = x
    return out, bad


def merges(c):
    f = Faq(c, "main")
    f.call("PUT", "", {"vectors": {"size": DIM, "distance": "Cosine"}})
    f.put(range(400))
    f.commit()
    f.call("POST", "/branch", {"to": "topic"})
    g = Faq(c, "topic")
    g.now = copy.deepcopy(f.now)
    tap.same(f.call("POST", "/merge", {"from": "topic"})["nothing"], True, "a branch without changes has nothing to merge")
    for x in (f, g):
        x.put(random.sample(range(500), 50))
        x.remove(random.sample(range(400), 30))
    base = f.versions[1]
    want, conflicts = three_way(base, f.now, g.now)
    before = copy.deepcopy(f.now)
    look = f.call("POST", "/merge", {"from": "topic", "dry_run": True, "limit": 1000})
    tap.ok(conflicts and {x["id"] for x in look["conflicts"]["items"]} == conflicts and look["base"] == "main:1", "a dry run lists the conflicts", (look, conflicts))
    tap.same(len(f.call("GET", "/versions")["versions"]), 1, "and makes no version")
    r = f.call("POST", "/merge", {"from": "topic", "limit": 1000})
    tap.ok(not r["merged"] and {x["id"] for x in r["conflicts"]["items"]} == conflicts and close(f.listed(), before), "with conflicts nothing is merged")
    some = sorted(conflicts, key=str)[0]
    r = f.call("POST", "/merge", {"from": "topic", "prefer": "ours", "resolve": {str(some): "theirs"}, "message": "topic is done"})
    fields = 0
    for i in conflicts:
        side = g.now if i == some else before
        if i not in before or i not in g.now:
            fields += 1
            if i in side:
                want[i] = side[i]
            continue
        was, ours, theirs = base.get(i, (None, {}))[1], before[i][1], g.now[i][1]
        merged = {}
        for k in ("n", "group"):
            if ours[k] != theirs[k] and was.get(k) not in (ours[k], theirs[k]):
                fields += 1
                merged[k] = side[i][1][k]
            else:
                merged[k] = theirs[k] if ours[k] == was.get(k) else ours[k]
        fields += 1
        want[i] = (side[i][0], merged)
    f.now = want
    tap.ok(r["merged"] and r["conflicts"]["resolved"] == fields and close(f.listed(), want), "resolved: ours, and theirs for one item; fields that only one side has changed are taken from it", (r, fields))
    v = r["version"]
    tap.ok(v["made_by"] == "merge" and v["parents"] == ["main:2", "topic:1"] and v["message"] == "topic is done", "the version has both parents", v)
    q = vector()
    tap.same(f.nearest(q, 20)[1], truth(want, q, 20), "what was merged is found")
    tap.same(f.call("POST", "/merge", {"from": "topic"})["nothing"], True, "again there is nothing")
    g.put([600, 601])
    r = f.call("POST", "/merge", {"from": "topic"})
    tap.ok(r["merged"] and r["base"] == "topic:1" and r["added"] == 2 and r["conflicts"]["count"] == 0, "the next merge starts from the last", r)
    # and back: the branch takes what the other has
    r = g.call("POST", "/merge", {"from": "main"})
    tap.ok(r["merged"] and close(g.listed(), f.listed()), "merged the other way both are equal", r)
    g.put([700])
    f.put([700])
    code, out, err = c.cli("collections", "merge", "main", "topic")
    tap.ok(code == 5 and "700" in out and "--theirs" in err, "croft collections merge refuses with conflicts", out + err)
    code, out, err = c.cli("collections", "merge", "main", "topic", "--theirs")
    tap.ok(code == 0 and close(f.listed(), g.listed()), "and takes theirs", out + err)
    k = Faq(c, "other")
    k.call("PUT", "", {"vectors": {"size": DIM + 1, "distance": "Cosine"}})
    tap.same(c.json("POST", f"{ROOT}/main/merge", {"from": "other"})[0], 409, "other kinds of vectors cannot be merged")
    actions = [x["action"] for x in c.json("GET", "/api/v1/audit?limit=200")[1]["records"]]
    tap.ok("collection.merge" in actions and "collection.restore" in actions and "collection.branch" in actions, "merges, restores and branches are in the audit log", sorted(set(actions)))


def gone_and_hidden(c):
    f = Faq(c, "kept")
    f.call("PUT", "", {"vectors": {"size": DIM, "distance": "Cosine"}})
    for n in range(3):
        f.put(range(100 * n, 100 * n + 100))
        f.commit(tag=f"t{n}")
    f.call("POST", "/copy", {"to": "kept-2", "from": 2})
    tap.same([c.json("POST", f"{ROOT}/kept/versions", {"tag": t})[0] for t in ("head", "now", "2026-01-01", "7", "a b")], [400] * 5, "tags that mean something else")
    f.remove(range(5))
    f.commit()
    v = f.commit(compact=True)
    tap.ok(v["made"] and close(f.listed(v["version"]), f.now) and not f.commit(compact=True)["made"], "a compact version has the same items, and is made once", v)
    f.call("DELETE", "/versions/t1")
    tap.same([c.json("GET", f"{ROOT}/kept/{p}")[0] for p in ("versions/2", "versions/t1", "items?as_of=2", "diff?from=2")], [404] * 4, "a version that was deleted is not found")
    tap.ok(close(f.listed(3), f.versions[3]) and close(f.listed(1), f.versions[1]), "the others are as they were")
    tap.ok(close(Faq(c, "kept-2").listed(), f.versions[2]), "and the copy that began with it")
    tap.ok(any(x["action"].startswith("artifact.") and "kept" in x["subject"] for x in c.json("GET", "/api/v1/audit?limit=50")[1]["records"]), "the deletion is in the audit log")
    f.call("DELETE")
    tap.same(f.call("GET", "/versions")["state"], None, "versions of a deleted collection are there")
    f.call("POST", "/copy", {"to": "again", "from": 1})
    tap.ok(close(Faq(c, "again").listed(), f.versions[1]), "and can be copied back")
    c.json("POST", "/api/v1/projects", {"name": "other"})
    there = [c.json(m, "/p/other" + ROOT + p, b)[0] for m, p, b in (
        ("GET", "/kept/versions", None), ("GET", "/kept/items?as_of=1", None), ("GET", "/faq/versions/1", None),
        ("POST", "/faq/copy", {"to": "mine", "from": 1}), ("POST", "/faq/restore", {"version": 1}), ("GET", "/faq/diff?from=1", None))]
    c.json("PUT", "/p/other" + ROOT + "/mine", {"vectors": {"size": DIM, "distance": "Cosine"}})
    there += [c.json(m, "/p/other" + ROOT + p, b)[0] for m, p, b in (
        ("GET", "/mine/items?as_of=faq:1", None), ("POST", "/mine/merge", {"from": "faq:1"}), ("POST", "/mine/merge", {"from": "faq"}), ("GET", "/mine/diff?to=faq:1", None))]
    tap.same(there, [404] * 10, "another project sees nothing of them")


def other_kinds(c):
    f = Faq(c, "kinds")
    f.call("PUT", "", {"vectors": {"d": {"size": 2, "distance": "Cosine"}, "m": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
                       "sparse_vectors": {"s": {}}})

    def put(turn):
        f.call("PUT", "/items", {"items": [{"id": n, "vector": {"d": [n + turn, 1], "m": [[n, turn], [1, n]], "s": {"indices": [n, 50], "values": [1, turn]}}}
                                           for n in range(20)]})
    put(1)
    f.commit()
    one = f.call("GET", "/items?limit=100&vectors=true")["items"]
    put(2)
    tap.same(f.call("GET", "/diff?limit=0")["summary"]["moved"], 20, "sparse vectors and lists of vectors are compared")
    tap.ok(len(one) == 20 and "s" in one[0]["vector"] and f.call("GET", "/items?limit=100&vectors=true&as_of=1")["items"] == one, "and are as of a version what they were", one[0])
    ask = {"vector": {"indices": [7], "values": [1]}, "space": "s", "k": 1}
    tap.same([h["id"] for h in f.call("POST", "/search", {**ask, "as_of": 1})["hits"]], [7], "a version is searched by sparse vectors too")
    tap.same([h["id"] for h in f.call("POST", "/search", {"vector": [19, 1], "space": "d", "k": 1, "as_of": 1})["hits"]], [18], "by those it is")
    f.call("POST", "/copy", {"to": "kinds-2", "from": 1})
    tap.same([h["id"] for h in Faq(c, "kinds-2").call("POST", "/search", ask)["hits"]], [7], "a copy by others too")
    f.call("POST", "/restore", {"version": 1})
    tap.ok(f.call("GET", "/items?limit=100&vectors=true")["items"] == one, "restored")


def at_the_same_time(c):
    """Each batch sets ten items to one number: any version must hold whole batches."""
    f = Faq(c, "busy")
    f.call("PUT", "", {"vectors": {"size": 2, "distance": "Dot"}})

    def write(lane):
        for n in range(60):
            f.call("PUT", "/items", {"items": [{"id": f"{lane}-{k}", "vector": [n, 1], "payload": {"n": n}} for k in range(10)]})

    lanes = [threading.Thread(target=write, args=(lane,)) for lane in range(3)]
    for t in lanes:
        t.start()
    versions, torn = [], []
    while any(t.is_alive() for t in lanes):
        versions.append(f.call("POST", "/versions", {})["version"])
    for t in lanes:
        t.join()
    for v in set(versions):
        seen = {}
        for i, (vec, p) in f.listed(v).items():
            seen.setdefault(i.split("-")[0], set()).add((vec[0], p["n"]))
        if any(len(x) != 1 or any(a != b for a, b in x) for x in seen.values()):
            torn.append(v)
    tap.ok(len(set(versions)) > 1 and not torn, f"{len(set(versions))} versions made while others write hold whole changes", torn)


def said_versions(c):
    """A reply that says a version has seen that version and nothing else."""
    f = Faq(c, "turns")
    f.call("PUT", "", {"vectors": {"size": 2, "distance": "Dot"}})
    for mark in (1, 2):
        f.call("PUT", "/items", {"items": [{"id": n, "vector": [n, mark], "payload": {"mark": mark}} for n in range(600)]})
        f.call("POST", "/versions", {})
    stop, wrong, said = threading.Event(), [], [0]
    marks = {1: 1, 2: 2}

    def ask():
        while not stop.is_set():
            for tail, body in (("/search", {"vector": [0, 1], "k": 600}), ("/items?limit=600", None)):
                r = f.call("POST" if body else "GET", tail, body)
                seen = {x["payload"]["mark"] for x in r.get("hits") or r.get("items")}
                if r["version"]:
                    said[0] += 1
                    if len(seen) > 1:
                        wrong.append((tail, r["version"], seen))
                    elif marks.setdefault(r["version"], min(seen)) != min(seen):
                        wrong.append((tail, r["version"], seen, marks[r["version"]]))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for t in askers:
        t.start()
    for n in range(10):
        v = f.call("POST", "/restore", {"version": 1 + n % 2})
        if marks.setdefault(v["version"], 1 + n % 2) != 1 + n % 2:
            wrong.append(("restored", v["version"]))
        time.sleep(0.05)
    stop.set()
    for t in askers:
        t.join()
    tap.ok(said[0] and not wrong, f"{said[0]} replies that say a version, while it is restored, have seen that one", wrong[:5])


def command_line(c):
    _, out, err = c.cli("collections", "versions", "faq")
    tap.ok("[start]" in out and "restore of 2" in out and all(len(line) <= 80 for line in out.splitlines()),
           "croft collections versions", out + err)
    _, out, err = c.cli("collections", "commit", "faq", "-m", "by hand")
    tap.ok("nothing has changed since" in out, "croft collections commit", out + err)
    _, out, err = c.cli("collections", "restore", "faq", "2", "--json")
    tap.ok(json.loads(out)["made"], "croft collections restore", out + err)


with Croft() as c:
    f = history(c)
    searches(f)
    restoring(f)
    copies(c, f)
    map_of_copy(c, f)
    command_line(c)
    diffs(c)
    merges(c)
    gone_and_hidden(c)
    other_kinds(c)
    at_the_same_time(c)
    said_versions(c)
tap.done()
