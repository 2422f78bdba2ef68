#!/usr/bin/env python3
"""Maps and curation of a part of a collection: the filter of searches decides which items are looked at, and which a dataset
has; lists of vectors are looked at by their mean."""
import base64
import json
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
random.seed(3)
ROOT = "/api/v1/collections"
GREEN = {"must": [{"key": "colour", "match": {"value": "green"}}]}


def wait(c, url, query):
    end = time.time() + 60
    while time.time() < end:
        r = c.json("GET", url + query)[1]
        if r["state"] != "running":
            break
        time.sleep(0.02)
    return r


def curate(c, name, kind, **o):
    url = f"{ROOT}/{name}/curate/{kind}"
    status, r = c.json("POST", url, o)
    return r if status != 200 else wait(c, url, "?limit=1000")


def draw(c, name, **o):
    url = f"{ROOT}/{name}/map"
    status, r = c.json("POST", url, o)
    return r if status != 200 else wait(c, url, "")


def act(c, url, body):
    r = c.json("POST", url, body)[1]
    end = time.time() + 60
    while r["state"] in ("waiting", "running") and time.time() < end:
        time.sleep(0.01)
        r = c.json("GET", url.split("/curate/")[0] + "/bulk/" + r["id"])[1]
    return r


def rows_of(c, dataset):
    out = os.path.join(c.home, dataset)
    c.cli("artifact", "pull", f"dataset/{dataset}", out)
    return [json.loads(line) for line in open(os.path.join(out, "data.jsonl"))]


def parts(c):
    c.json("PUT", f"{ROOT}/both", {"vectors": {"size": 8, "distance": "Cosine"}})
    items = []
    for i in range(200):  # each green one has a red twin, each fourth green one a green one
        v = [round(random.gauss(0, 1), 4) for _ in range(8)]
        kind = ["a", "b"][i % 2]
        items.append({"id": f"g{i}", "vector": v, "payload": {"colour": "green", "kind": kind, "n": i}})
        items.append({"id": f"r{i}", "vector": [x + 0.001 for x in v], "payload": {"colour": "red", "kind": kind}})
        if i % 4 == 0:
            items.append({"id": f"h{i}", "vector": [x - 0.001 for x in v], "payload": {"colour": "green", "kind": kind}})
    c.json("PUT", f"{ROOT}/both/items", {"items": items})
    green = {i["id"] for i in items if i["payload"]["colour"] == "green"}
    r = curate(c, "both", "duplicates", threshold=0.999)["result"]
    tap.same((r["items"], r["summary"]["groups"]), (450, 200), "all: each has a twin")
    r = curate(c, "both", "duplicates", threshold=0.999, filter=GREEN)["result"]
    tap.same((r["items"], r["summary"]["groups"], r["summary"]["duplicates"]), (250, 50, 50), "the green ones among themselves")
    tap.ok({k["id"] for k in r["cases"]} <= green, "no red one is named")
    tap.same(r["parameters"]["filter"], GREEN, "the result says of which it is")
    for kind, o in (("outliers", {"share": 0.1}), ("sample", {"count": 30}), ("mislabelled", {"label": "kind"}),
                    ("propagate", {"label": "kind"}), ("balance", {"label": "kind"})):
        r = curate(c, "both", kind, filter=GREEN, **o)["result"]
        tap.ok(r["items"] == 250 and {k["id"] for k in r["cases"]} <= green, f"{kind} of the green ones", r["summary"])
    by_id = {"must": [{"has_id": ["g0", "h0", "g4", "r7"]}]}
    r = curate(c, "both", "duplicates", threshold=0.999, filter=by_id)["result"]
    tap.same((r["items"], {k["id"] for k in r["cases"]}), (4, {"g0", "h0"}), "by ids")
    for bad in ([1], "x", {"must": [{"key": "colour"}]}, {"should": 3}):
        tap.same(c.json("POST", f"{ROOT}/both/curate/duplicates", {"filter": bad})[0], 400, f"refused: {bad}")
    r = curate(c, "both", "duplicates", filter={"must": [{"key": "colour", "match": {"value": "blue"}}]})
    tap.ok(r["state"] == "failed" and "there are 0" in r["error"], "a part without items is said", r)

    curate(c, "both", "duplicates", threshold=0.999, filter=GREEN)
    url = f"{ROOT}/both/curate/duplicates/dataset"
    act(c, url, {"dataset": "green"})
    tap.same(len(rows_of(c, "green")), 200, "a dataset of the rest has nothing of another part")
    tap.ok({x["id"] for x in rows_of(c, "green")} <= green, "green ones only")
    act(c, url, {"dataset": "all-green", "items": "all"})
    tap.same(len(rows_of(c, "all-green")), 250, "nor has one of all")
    rc, said, *_ = c.cli("collections", "curate", "both", "duplicates", "--threshold", "0.999", "--filter", json.dumps(GREEN), "--show", "2")
    tap.ok(rc == 0 and "250 items, groups 50" in said, "the command", said)
    rc, said, err = c.cli("collections", "curate", "both", "duplicates", "--filter", "{must")
    tap.ok(rc != 0 and "--filter" in said + err, "what is no filter is said", said + err)

    m = draw(c, "both", filter=GREEN)["map"]
    tap.ok(m["points"] == 250 and set(m["data"]["ids"]) == green and m["filter"] == GREEN, "a map of the green ones")
    tap.same(draw(c, "both")["map"]["points"], 450, "and of all")
    tap.same(c.json("POST", f"{ROOT}/both/map", {"filter": {"must": 1}})[0], 400, "a bad filter is refused")
    rc, said, *_ = c.cli("collections", "map", "both", "--method", "pca", "--filter", json.dumps(GREEN))
    tap.ok(rc == 0 and "250 items" in said, "the command", said)


def exactness(c):
    r = curate(c, "both", "duplicates", threshold=0.999, exact=True)["result"]
    tap.same((r["summary"]["exact"], r["parameters"]["exact"]), (True, True), "all pairs when that is wanted")
    tap.ok("recall" not in r["summary"], "nothing can be missed then")


def lists(c):
    """A list of vectors lies where its mean lies: as an item whose one vector is that mean."""
    c.json("PUT", "/collections/late", {"vectors": {"size": 6, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}})
    c.json("PUT", f"{ROOT}/means", {"vectors": {"size": 6, "distance": "Cosine"}})
    late, means = [], []
    for i in range(120):
        centre = [1.0 if d == i % 3 else 0.0 for d in range(6)]
        rows = []
        for _ in range(1 + i % 4):
            v = [round(x + random.gauss(0, 0.2), 4) for x in centre]
            rows.append(v)
        unit = [[x / sum(y * y for y in v) ** 0.5 for x in v] for v in rows]
        late.append({"id": i, "vector": rows, "payload": {"text": f"t{i}"}})
        means.append({"id": i, "vector": [sum(c) / len(unit) for c in zip(*unit)], "payload": {"text": f"t{i}"}})
    status, r = c.json("PUT", f"{ROOT}/late/items", {"items": late})
    tap.same(status, 200, "items with lists of vectors")
    c.json("PUT", f"{ROOT}/means/items", {"items": means})
    a, b = (draw(c, name, method="pca") for name in ("late", "means"))
    xy = [struct.unpack("<240f", base64.b64decode(m["map"]["data"]["xy"])) for m in (a, b)]
    tap.ok(a["map"]["points"] == 120 and max(abs(p - q) for p, q in zip(*xy)) < 1e-3, "the map of the means")
    tap.same(draw(c, "late")["map"]["clusters"].__len__(), 3, "with its three clusters")
    got = [{k["id"] for k in curate(c, name, "outliers", share=0.1)["result"]["cases"]} for name in ("late", "means")]
    tap.same(got[0], got[1], "and the same outliers")
    c.json("PUT", "/collections/words", {"vectors": {}, "sparse_vectors": {"w": {}}})
    r = c.json("POST", f"{ROOT}/words/map", {"space": "w"})
    tap.ok(r[0] >= 400 and '"w"' in json.dumps(r[1]).replace('\\', ''), "sparse vectors are refused by name", r)
    r = c.json("POST", f"{ROOT}/words/curate/duplicates", {"space": "w"})
    tap.ok(r[0] >= 400 and "sparse" in json.dumps(r[1]), "by curation, too", r)


with Croft() as c:
    parts(c)
    exactness(c)
    lists(c)
tap.done()
