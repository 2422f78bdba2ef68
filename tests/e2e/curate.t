#!/usr/bin/env python3
"""Curation of collections: duplicates against all pairs, who stays, tags in whole batches through kill -9, datasets whose
bytes are the same each time; other kinds, projects, permissions, refusals."""
import json
import math
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
random.seed(11)
DIM = 24
ROOT = "/api/v1/collections"


def unit(v):
    n = math.sqrt(sum(x * x for x in v)) or 1
    return [x / n for x in v]


def vector():
    return unit([random.gauss(0, 1) for _ in range(DIM)])


def near(v, by):
    return unit([x + random.gauss(0, by) for x in v])


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def wait(c, url, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        r = c.json("GET", url + "?limit=1000")[1]
        if r["state"] != "running":
            return r
        time.sleep(0.02)
    return r


def curate(c, name, kind, **o):
    url = f"{ROOT}/{name}/curate/{kind}"
    status, r = c.json("POST", url, o)
    if status != 200:
        return status, r
    r = wait(c, url)
    return status, r["result"] if r["state"] == "idle" else r


def act(c, url, body, **more):
    """Apply it, make a dataset: the job that this begins, when it has ended."""
    status, r = c.json("POST", url, body, **more)
    end = time.time() + 60
    while status == 200 and r["state"] in ("waiting", "running") and time.time() < end:
        time.sleep(0.01)
        status, r = c.json("GET", url.split("/curate/")[0].split("/bulk/")[0] + "/bulk/" + r["id"], **more)
    return status, r


def put(c, name, items):
    for at in range(0, len(items), 1000):
        status, r = c.json("PUT", f"{ROOT}/{name}/items", {"items": items[at:at + 1000]})
        assert status == 200, r


def components(vectors, least):
    """Groups of items that chains of near pairs join: all pairs, one by one."""
    ids = list(vectors)
    up = {i: i for i in ids}

    def root(i):
        while up[i] != i:
            i = up[i]
        return i
    for x, i in enumerate(ids):
        for j in ids[x + 1:]:
            if cosine(vectors[i], vectors[j]) >= least:
                up[root(j)] = root(i)
    groups = {}
    for i in ids:
        groups.setdefault(root(i), set()).add(i)
    return {frozenset(g) for g in groups.values() if len(g) > 1}


def duplicates(c):
    name = "twins"
    url = f"{ROOT}/{name}/curate/duplicates"
    tap.same(c.json("GET", url)[0], 404, "no collection, no curation")
    c.json("PUT", f"{ROOT}/{name}", {"vectors": {"size": DIM, "distance": "Cosine"}})
    tap.same(c.json("GET", url)[1], {"state": "idle", "error": None, "progress": None, "result": None}, "nothing yet")
    tap.same(c.json("GET", f"{ROOT}/{name}/curate/twins")[0], 404, "a kind that there is not")
    tap.ok("at least two items" in curate(c, name, "duplicates")[1]["error"], "an empty collection fails with a reason")
    for bad in ({"keep": "none"}, {"threshold": "x"}, {"space": "other"}, {"neighbours": 0}, {"seed": -1}):
        tap.same(curate(c, name, "duplicates", **bad)[0], 400, f"refused: {bad}")
    vectors, items = {}, []
    for i in range(500):
        v = vector()
        copies = [v] + [near(v, 0.03) for _ in range(i % 4 if i % 5 == 0 else 0)]
        for n, w in enumerate(copies):
            ident = f"item {i}.{n}" if n else i
            w = [round(x, 5) for x in w]
            vectors[ident] = unit(w)
            items.append({"id": ident, "vector": w, "payload": {"text": f"text {i}" + " more" * n, "rank": n}})
    random.shuffle(items)
    put(c, name, items)
    for least in (0.9, 0.97, 0.99):
        status, r = curate(c, name, "duplicates", threshold=least)
        groups = {}
        for k in r["cases"]:
            groups.setdefault(k["group"], set()).add(k["id"])
        want = components(vectors, least)
        tap.same({frozenset(g) for g in groups.values()}, want, f"groups at {least} are those of all pairs")
        s = r["summary"]
        tap.same((s["groups"], s["grouped"], s["exact"]), (len(want), sum(map(len, want)), True), "and are counted")
        tap.same(s["remaining"] + s["duplicates"], len(items), "the rest too")
        by_id = {k["id"]: k for k in r["cases"]}
        bad = [k["id"] for k in r["cases"] if not k["kept"] and (
            not by_id[k["of"]]["kept"] or cosine(vectors[k["id"]], vectors[k["of"]]) < least - 1e-5
            or abs(cosine(vectors[k["id"]], vectors[k["of"]]) - k["score"]) > 1e-4)]
        tap.same(bad, [], "each that goes is near to one that stays, by the cosine that is said")
        sizes = [len(groups[g]) for g in sorted(groups)]
        tap.same(sizes, sorted(sizes, reverse=True), "the largest group first")
    page = c.json("GET", url + "?from=3&limit=2")[1]["result"]
    tap.same(({k["group"] for k in page["cases"]}, page["total"]), ({3, 4}, s["groups"]), "pages are of groups")
    order = {i["id"]: n for n, i in enumerate(items)}
    for keep, best in (("first", lambda i: -order[i["id"]]), ("last", lambda i: order[i["id"]]),
                       ("longest", lambda i: len(i["payload"]["text"])), ("highest", lambda i: i["payload"]["rank"])):
        r = curate(c, name, "duplicates", threshold=0.97, keep=keep, keep_field="rank" if keep == "highest" else "text")[1]
        payload = {i["id"]: i for i in items}
        wrong = [k["id"] for k in r["cases"] if not k["kept"] and best(payload[k["id"]]) > best(payload[k["of"]])]
        tap.same(wrong, [], f"the {keep} stays")
    tap.ok(curate(c, name, "duplicates", threshold=0.97, keep="centre")[1]["summary"]["groups"] > 50, "or the central one")
    r = curate(c, name, "duplicates", threshold=0.97)[1]
    return r, items


def datasets(c, r, items):
    url = f"{ROOT}/twins/curate/duplicates"
    gone = {k["id"]: k["of"] for k in r["cases"] if not k["kept"]}
    status, d = act(c, url + "/dataset", {"dataset": "clean"})
    d = d["dataset"]
    tap.same((status, d["version"], d["rows"]), (200, 1, len(items) - len(gone)), "a dataset without them")
    curate(c, "twins", "duplicates", threshold=0.97)
    again = act(c, url + "/dataset", {"dataset": "clean"})[1]["dataset"]
    tap.same((again["version"], again["digest"]), (1, d["digest"]), "the same input, the same bytes, the same version")
    out = os.path.join(c.home, "clean")
    rc, said, *_ = c.cli("artifact", "pull", "dataset/clean", out)
    tap.ok(rc == 0, "it is pulled", said)
    folder = next((f for f, _, files in os.walk(out) if "data.jsonl" in files), out)
    rows = [json.loads(line) for line in open(os.path.join(folder, "data.jsonl"))]
    tap.same({x["id"] for x in rows}, {i["id"] for i in items} - set(gone), "has the items that stay")
    about = json.load(open(os.path.join(folder, "curation.json")))
    tap.same((about["collection"], about["parameters"]["threshold"], about["rows"]), ("twins", 0.97, len(rows)), "and says why")
    line = c.cli("artifact", "lineage", "dataset/clean")[1]
    tap.ok("urn:croft:collection:twins" in line, "its lineage leads to the collection", line)
    all_of = act(c, url + "/dataset", {"dataset": "marked", "items": "all", "vectors": True})[1]["dataset"]
    tap.same(all_of["rows"], len(items), "all of them, marked")
    out = os.path.join(c.home, "marked")
    c.cli("artifact", "pull", "dataset/marked", out)
    rows = [json.loads(line) for line in open(os.path.join(out, "data.jsonl"))]
    tap.same({x["id"]: x["payload"].get("duplicate_of") for x in rows if "duplicate_of" in x["payload"]}, gone, "by a field")
    tap.ok(all(len(x["vector"]) == DIM for x in rows), "with vectors")
    c.cli("collections", "import", "copy", os.path.join(out, "data.jsonl"), "--create")
    tap.same(c.json("GET", ROOT + "/copy")[1]["items"], len(items), "which an import reads")
    for bad in ({}, {"dataset": "a/b"}, {"dataset": "x", "items": "some"}):
        tap.same(c.json("POST", url + "/dataset", bad)[0], 400, f"refused: {bad}")


def tags(c, r):
    url = f"{ROOT}/twins/curate/duplicates"
    gone = {k["id"]: k["of"] for k in r["cases"] if not k["kept"]}
    some = list(gone)[:3]
    done = act(c, url + "/apply", {"ids": some, "field": "twin"})[1]
    tap.same(done["items"], 3, "three of them are tagged")
    done = act(c, url + "/apply", {})[1]
    tap.same((done["items"], done["gone"]), (len(gone), 0), "all of them are")
    found = {}
    at = ""
    while at is not None:
        page = c.json("GET", f"{ROOT}/twins/items?limit=1000" + (f"&from={at}" if at else ""))[1]
        found.update({i["id"]: i["payload"] for i in page["items"]})
        at = page["next"]
    tap.same({i: p["duplicate_of"] for i, p in found.items() if "duplicate_of" in p}, gone, "with what they are copies of")
    tap.same({i for i, p in found.items() if "twin" in p}, set(some), "and the field that was named")
    audit = [a for a in c.json("GET", "/api/v1/audit?limit=200")[1].get("records", []) if a["action"] == "collection.curate.set"]
    tap.ok(len(audit) >= 2 and audit[0]["subject"] == "twins", "the audit log knows of it", audit)
    tap.same(c.json("POST", url + "/apply", {"action": "label"})[0], 400, "duplicates offer no labels")
    done = act(c, url + "/apply", {"action": "delete", "ids": some})[1]
    tap.same(done["items"], 3, "three are deleted")
    again = act(c, url + "/apply", {"action": "delete"})[1]
    tap.same((again["items"], again["gone"]), (len(gone) - 3, 3), "and the others; those that had gone are passed over")
    left = c.json("GET", f"{ROOT}/twins")[1]["items"]
    r = curate(c, "twins", "duplicates", threshold=0.97)[1]
    tap.same((r["summary"]["duplicates"], r["summary"]["remaining"]), (0, left), "nothing is left to find")


def jobs(c, name):
    return c.json("GET", f"{ROOT}/{name}/bulk")[1]["jobs"]


def count(c, name, field):
    body = {"filter": {"must_not": [{"is_empty": {"key": field}}]}, "exact": True}
    return c.json("POST", f"/collections/{name}/points/count", body)[1]["result"]["count"]


def until(said, true):
    end = time.time() + 60
    while not true() and time.time() < end:
        time.sleep(0.005)
    tap.ok(true(), said)


def killed(c):
    """kill -9 in the middle of a bulk tagging: batches of 500 are whole or not there, and the job goes on by itself. Each batch
    has one record in the audit log: none was done twice."""
    name, n = "many", 12000
    c.json("PUT", f"{ROOT}/{name}", {"vectors": {"size": 4, "distance": "Euclid"}})
    put(c, name, [{"id": i, "vector": [i // 2, 0, 0, i % 2 * 0.001]} for i in range(n)])
    url = f"{ROOT}/{name}/curate/duplicates"
    tap.same(curate(c, name, "duplicates")[0], 400, "a distance has no threshold of its own")
    r = curate(c, name, "duplicates", threshold=0.01)[1]
    tap.same(r["summary"]["duplicates"], n // 2, "pairs by distance")
    seq = c.json("GET", f"{ROOT}/{name}")[1]["seq"]
    status, job = c.json("POST", url + "/apply", {})
    tap.same((status, job["state"], job["what"]), (200, "waiting", "tag"), "a job is begun")
    c.json("DELETE", url)  # what it works on is its own
    for kills in range(1, 4):
        end = time.time() + 30
        while c.json("GET", f"{ROOT}/{name}")[1]["seq"] < seq + 2 * kills and time.time() < end:
            pass
        c.kill()
        c.start()
        got, now = count(c, name, "duplicate_of"), jobs(c, name)[0]
        tap.ok(got % 500 == 0 and 500 <= got <= n // 2, f"after kill -9 {got} are tagged: whole batches")
    until("it goes on by itself to the end", lambda: jobs(c, name)[0]["state"] == "done")
    now = jobs(c, name)[0]
    tap.same((now["id"], now["items"], now["gone"], count(c, name, "duplicate_of")), (job["id"], n // 2, 0, n // 2), "all are tagged")
    log = [a for a in c.json("GET", "/api/v1/audit?limit=100")[1]["records"]
           if a["action"] == "collection.curate.set" and a["subject"] == name]
    tap.same((len(log), c.json("GET", f"{ROOT}/{name}")[1]["seq"] - seq), (n // 2 // 500, n // 2 // 500), "each batch once")


def killed_dataset(c):
    """kill -9 while a dataset is made: there is no half version; the job makes it after the restart, with the same bytes."""
    name = "many"
    c.cli("collections", "curate", name, "duplicates", "--threshold", "0.01")
    url = f"{ROOT}/{name}/curate/duplicates"
    want = act(c, url + "/dataset", {"dataset": "whole"})[1]["dataset"]
    for i in range(2):
        job = c.json("POST", url + "/dataset", {"dataset": f"cut-{i}"})[1]
        time.sleep(0.05 * i)
        c.kill()
        c.start()
        until("is made after the restart", lambda: next(j for j in jobs(c, name) if j["id"] == job["id"])["state"] == "done")
        made = next(j for j in jobs(c, name) if j["id"] == job["id"])["dataset"]
        tap.same((made["version"], made["digest"], made["rows"]), (1, want["digest"], 6000), "one version, the same bytes")


def cancelled(c):
    name = "many"
    url = f"{ROOT}/{name}/bulk"
    seq = c.json("GET", f"{ROOT}/{name}")[1]["seq"]
    job = c.json("POST", url + "/set", {"field": "state", "value": {"open": True}, "filter": {}})[1]
    end = time.time() + 30
    while c.json("GET", f"{ROOT}/{name}")[1]["seq"] < seq + 3 and time.time() < end:
        pass
    r = c.json("DELETE", f"{url}/{job['id']}")[1]
    tap.same((r["state"], r["progress"]), ("cancelled", None), "a job is cancelled")
    time.sleep(0.3)
    got = count(c, name, "state.open")
    tap.ok(got == r["items"] and got % 500 == 0 and 1000 <= got < 12000, "what it had done is what it says", (got, r))
    tap.same(c.json("DELETE", f"{url}/{job['id']}")[0], 409, "once")
    tap.same(c.json("GET", url + "/00")[0], 404, "a job that there is not")
    tap.same(c.json("GET", f"{ROOT}/twins/bulk/{job['id']}")[0], 404, "nor by another collection")


def selected(c):
    """Items by ids or by a filter: set, made a dataset."""
    name, url = "many", f"{ROOT}/many/bulk"
    for bad in ({"field": "x", "value": 1}, {"field": "x", "value": 1, "ids": [1], "filter": {}}, {"value": 1, "ids": [1]},
                {"field": "x", "ids": [1]}, {"field": "x", "value": 1, "ids": "1"}, {"field": "x", "value": 1, "filter": {"must": 1}},
                {"field": "x", "value": 1, "ids": [{}]}):
        tap.ok(act(c, url + "/set", bad)[0] == 400 or act(c, url + "/set", bad)[1]["state"] == "failed", f"refused: {bad}")
    ids = list(range(0, 12000, 5)) + [999999, 5]
    r = act(c, url + "/set", {"field": "tag", "value": "seen", "ids": ids})[1]
    tap.ok("state" in r, "a job", r)
    tap.same((r["state"], r["items"], r["gone"], count(c, name, "tag")), ("done", 2400, 1, 2400), "a field of those that were named")
    where = {"must": [{"key": "tag", "match": {"value": "seen"}}]}
    r = act(c, url + "/dataset", {"dataset": "picked", "filter": where, "vectors": True, "description": "by hand"})[1]["dataset"]
    tap.same(r["rows"], 2400, "a dataset of those that match")
    by_id = act(c, url + "/dataset", {"dataset": "picked", "ids": ids, "vectors": True})[1]["dataset"]
    tap.same((by_id["rows"], by_id["version"]), (2400, 2), "or of those that are named")
    out = os.path.join(c.home, "picked")
    c.cli("artifact", "pull", "dataset/picked:2", out)
    rows = [json.loads(line) for line in open(os.path.join(out, "data.jsonl"))]
    tap.ok({x["id"] for x in rows} == set(ids) - {999999} and all(x["payload"]["tag"] == "seen" and "selected" not in x["payload"]
                                                                  for x in rows), "as they are")
    about = json.load(open(os.path.join(out, "curation.json")))
    tap.same((about["kind"], about["rows"], about["parameters"]), ("selection", 2400, {"ids": 2402}), "and says why")
    rc, said, err = c.cli("collections", "set-field", name, "level", "3", "--filter", json.dumps(where))
    tap.ok(rc == 0 and "2400 items were set" in said, "the command", said + err)
    hit = c.json("POST", f"/collections/{name}/points", {"ids": [5], "with_payload": True})[1]["result"][0]["payload"]
    tap.same(hit["level"], 3, "a number stays one")
    rc, said, err = c.cli("collections", "make-dataset", name, "by-cli", "--filter", json.dumps(where))
    tap.ok(rc == 0 and "dataset/by-cli:1" in said and "2400 rows" in said, "makes a dataset", said + err)
    rc, said, err = c.cli("collections", "jobs", name)
    tap.ok(rc == 0 and "dataset" in said and "done" in said and "cancelled" in said, "and lists jobs", said + err)
    tap.ok(len(jobs(c, name)) <= 40, "old ones go")


def stopped(c):
    c.json("PUT", f"{ROOT}/big", {"vectors": {"size": 64, "distance": "Cosine"}})
    put(c, "big", [{"id": i, "vector": [round(random.gauss(0, 1), 3) for _ in range(64)]} for i in range(9000)])
    url = f"{ROOT}/big/curate/duplicates"
    tap.same(c.json("POST", url, {"threshold": 0.5})[1]["state"], "running", "a larger one is begun")
    tap.same(c.json("POST", url, {})[0], 409, "once at a time")
    tap.same(c.json("DELETE", url)[1]["stopped"], True, "it is stopped")
    r = wait(c, url)
    tap.ok(r["state"] == "failed" and r["result"] is None and "cancelled" in r["error"], "and leaves nothing", r)
    c.json("POST", url, {})
    tap.same(c.json("DELETE", f"{ROOT}/big")[0], 200, "a collection goes while it is curated")
    tap.same(c.json("GET", url)[0], 404, "and so does that")


def command(c):
    rc, said, *_ = c.cli("collections", "curate", "copy", "duplicates", "--threshold", "0.97", "--dataset", "from-cli", "--tag")
    tap.ok(rc == 0 and "stays" in said and "dataset/from-cli:1" in said and "items were tagged" in said, "the command", said)
    rc, said, *_ = c.cli("collections", "curate", "copy", "duplicates", "--json")
    tap.ok(rc == 0 and json.loads(said)["result"]["cases"], "as JSON", said)
    tap.same(c.cli("collections", "curate", "copy", "twins")[0], 2, "a kind that there is not")
    tap.same(c.json("DELETE", f"{ROOT}/copy/curate/duplicates")[1]["deleted"], True, "a result is deleted")
    tap.same(c.json("GET", f"{ROOT}/copy/curate/duplicates")[1]["result"], None, "it is gone")


def allowed(c):
    """Who reads sees what was found; who writes looks for it and applies it; a dataset needs artifact.write; another project
    sees nothing."""
    with open(os.path.join(c.home, "server.json")) as f:
        owner = {"authorization": "Bearer " + json.load(f)["key"]}
    c.json("PUT", f"{ROOT}/own", {"vectors": {"size": 2, "distance": "Cosine"}})
    put(c, "own", [{"id": i, "vector": [1, i // 2]} for i in range(6)])
    url = f"{ROOT}/own/curate/duplicates"
    curate(c, "own", "duplicates")
    c.json("POST", "/api/v1/users", {"name": "ada", "role": "admin", "password": "correct horse"}, headers=owner)
    c.json("PUT", "/api/v1/roles/labeller", {"permissions": ["document.read", "document.write"]}, headers=owner)
    keys = {}
    for name, role in (("vera", "viewer"), ("lars", "labeller")):
        c.json("POST", "/api/v1/users", {"name": name, "kind": "service", "role": role}, headers=owner)
        keys[name] = {"x-api-key": c.json("POST", "/api/v1/keys", {"user": name}, headers=owner)[1]["key"]}
    tap.same(c.json("GET", url, headers=keys["vera"])[1]["result"]["summary"]["groups"], 3, "a viewer sees what was found")
    for path, body in ((url, {}), (url + "/apply", {}), (url + "/dataset", {"dataset": "x"})):
        tap.same(c.json("POST", path, body, headers=keys["vera"])[0], 403, f"but may not: {path.rsplit('/', 1)[1]}")
    tap.same(c.json("DELETE", url, headers=keys["vera"])[0], 403, "nor delete it")
    tap.same(act(c, url + "/apply", {"ids": [1]}, headers=keys["lars"])[0], 200, "who writes documents applies it")
    tap.same(c.json("POST", url + "/dataset", {"dataset": "x"}, headers=keys["lars"])[0], 403, "and makes no dataset")
    who = [a["who"] if "who" in a else a for a in c.json("GET", "/api/v1/audit?limit=5", headers=owner)[1]["records"]
           if a["action"] == "collection.curate.set"]
    tap.ok("lars" in json.dumps(who), "the audit log says who", who)
    c.json("POST", "/api/v1/projects", {"name": "other"}, headers=owner)
    other = {**owner, "x-croft-project": "other"}
    tap.same((c.json("GET", url, headers=other)[0], c.json("POST", url, {}, headers=other)[0],
              c.json("POST", url + "/apply", {}, headers=other)[0]), (404, 404, 404), "another project sees nothing")


def copies(c):
    """A copy that is not filled yet is curated as what it shows; a dataset of a version leads to the version."""
    c.json("PUT", f"{ROOT}/first", {"vectors": {"size": 3, "distance": "Cosine"}})
    put(c, "first", [{"id": i, "vector": [1, i // 2, 0]} for i in range(10)])
    c.cli("collections", "commit", "first")
    rc, said, err = c.cli("collections", "copy", "first", "second")
    tap.ok(rc == 0, "a copy", said + err)
    r = curate(c, "second", "duplicates", threshold=0.99999)[1]
    tap.same(r.get("summary", r).get("groups"), 5, "has its items")
    r = curate(c, "first", "duplicates", threshold=0.99999)
    act(c, f"{ROOT}/first/curate/duplicates/dataset", {"dataset": "of-version"})
    line = c.cli("artifact", "lineage", "dataset/of-version")[1]
    tap.ok("vector-collection/first:1" in line, "the dataset comes from the version", line)


def bounded():
    """Memory is bounded by a setting: what needs more is refused before it takes it."""
    with Croft(settings={"collection.curate_bytes": 1 << 20}) as c:
        c.json("PUT", f"{ROOT}/much", {"vectors": {"size": 16, "distance": "Cosine"}})
        put(c, "much", [{"id": i, "vector": vector()[:16], "payload": {"kind": i % 300}} for i in range(3000)])
        r = curate(c, "much", "duplicates")[1]
        tap.ok(r["state"] == "failed" and "curate_bytes" in r["error"] and r["result"] is None, "too many items are refused", r)
        c.json("POST", f"{ROOT}/much/items/delete", {"ids": list(range(1000, 3000))})
        tap.ok("summary" in curate(c, "much", "duplicates")[1], "fewer are not")
        r = curate(c, "much", "propagate", label="kind")[1]
        tap.ok(r["state"] == "failed" and "300 classes" in r["error"], "but too many classes of them are", r)


with Croft() as c:
    r, items = duplicates(c)
    datasets(c, r, items)
    tags(c, r)
    command(c)
    killed(c)
    killed_dataset(c)
    cancelled(c)
    selected(c)
    stopped(c)
    copies(c)
    allowed(c)
bounded()
tap.done()
