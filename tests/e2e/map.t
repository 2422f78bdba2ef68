#!/usr/bin/env python3
"""Maps of collections: made, kept, out of date, extended, aligned, coloured, stopped; other projects and restarts."""
import base64
import csv
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
random.seed(5)
DIM, TOPICS = 24, 4
WORDS = [["kettle", "boils", "steam"], ["violin", "strings", "bow"], ["glacier", "ice", "moraine"],
         ["invoice", "payment", "due"]]
CENTRES = [[random.gauss(0, 1) for _ in range(DIM)] for _ in range(TOPICS)]


def item(i):
    t = i % TOPICS
    return {"id": f"item {i}" if i % 2 else i, "vector": [round(x + random.gauss(0, 0.15), 4) for x in CENTRES[t]],
            "payload": {"text": f"The {random.choice(WORDS[t])} and the {WORDS[t][0]}", "topic": f"topic {t}",
                        "weight": i * 0.5, "few": i % 3, "mixed": i if i % 5 else "five"}}


def numbers(text, kind):
    raw = base64.b64decode(text)
    return struct.unpack(f"<{len(raw) // 4}{kind}", raw)


def main(c):
    url = "/api/v1/collections/things/map"

    def wait(seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            r = c.json("GET", url + "?data=false")[1]
            if r["state"] != "running":
                return r
            time.sleep(0.05)
        return r

    def make(**o):
        status, r = c.json("POST", url, o)
        tap.ok(status == 200 and r["state"] == "running" or r["map"], f"begins: {o}", r)
        r = wait()
        tap.ok(r["state"] == "idle" and not r["error"], "is made", r)
        return c.json("GET", url)[1]["map"]

    def put(items):
        tap.ok(c.json("PUT", "/api/v1/collections/things/items", {"items": items})[0] == 200, "items are put")

    def places(m):
        xy = numbers(m["data"]["xy"], "f")
        return {i: (xy[2 * k], xy[2 * k + 1]) for k, i in enumerate(m["data"]["ids"])}

    tap.same(c.json("GET", url)[0], 404, "no collection, no map")
    c.json("PUT", "/api/v1/collections/things", {"vectors": {"size": DIM, "distance": "Cosine"}})
    tap.same(c.json("GET", url)[1], {"state": "idle", "error": None, "progress": None, "map": None}, "none yet")
    tap.same(c.json("POST", url, {})[0], 200, "an empty collection is begun")
    tap.ok("two items" in wait()["error"], "and fails with a reason")
    for bad in ({"method": "tsne"}, {"mode": "extend", "method": "pca"}, {"neighbours": 1}, {"space": "none"},
                {"min_dist": -1}, {"cluster_min": 1}, []):
        tap.same(c.json("POST", url, bad)[0], 400, f"refused: {bad}")
    items = [item(i) for i in range(400)]
    put(items)
    c.json("POST", url, {"mode": "extend"})
    tap.ok("no map yet" in (wait()["error"] or ""), "nothing to extend")

    m = make(seed=1)
    tap.same((m["points"], m["behind"], m["method"], len(m["clusters"])), (400, 0, "umap", TOPICS), "the map")
    tap.same(sorted(map(str, m["data"]["ids"])), sorted(str(i["id"]) for i in items), "has each item")
    cluster = numbers(m["data"]["cluster"], "i")
    topic = {i["id"]: i["payload"]["topic"] for i in items}
    pairs = {(topic[i], k) for i, k in zip(m["data"]["ids"], cluster) if k >= 0}
    tap.same(len(pairs), TOPICS, "clusters are the topics")
    tap.ok(sum(k < 0 for k in cluster) < 20 and m["noise"] == sum(k < 0 for k in cluster), "few are of none")
    names = {t: k for t, k in pairs}
    for t in range(TOPICS):
        k = next(k for k in m["clusters"] if k["number"] == names[f"topic {t}"])
        tap.ok(WORDS[t][0] in k["label"].split(", ") and "the" not in k["label"].lower().split(", "), f"named {k['label']}")
        x0, y0, x1, y1 = k["bounds"]
        tap.ok(x0 <= k["x"] <= x1 and y0 <= k["y"] <= y1, "its middle is inside")
    tap.same(make(seed=1)["data"], m["data"], "the same seed, the same map")

    f = c.json("GET", url + "/field?name=topic")[1]
    tap.same((f["kind"], sorted(k["value"] for k in f["categories"]), {k["items"] for k in f["categories"]}),
             ("category", [f"topic {t}" for t in range(TOPICS)], {100}), "a field of texts")
    values = numbers(f["values"], "i")
    tap.ok(all(f["categories"][v]["value"] == topic[i] for i, v in zip(m["data"]["ids"], values)), "of the right points")
    f = c.json("GET", url + "/field?name=weight")[1]
    weight = {i["id"]: i["payload"]["weight"] for i in items}
    tap.ok(f["kind"] == "number" and all(weight[i] == v for i, v in zip(m["data"]["ids"], numbers(f["values"], "f"))),
           "a field of numbers")
    tap.same(c.json("GET", url + "/field?name=few")[1]["kind"], "category", "a few numbers are categories")
    tap.same(c.json("GET", url + "/field?name=mixed")[1]["kind"], "category", "numbers and texts are categories")
    tap.same(set(numbers(c.json("GET", url + "/field?name=none")[1]["values"], "i")), {-1}, "a field that is not there")
    tap.same(c.json("GET", url + "/field")[0], 400, "no field")
    tap.same(sorted(m["fields"]), ["few", "mixed", "text", "topic", "weight"], "the fields there are")

    put([item(i) for i in range(400, 440)])
    c.json("POST", "/api/v1/collections/things/items/delete", {"ids": [0, 4]})
    late = c.json("GET", url)[1]["map"]
    tap.same((late["behind"], late["points"]), (2, 400), "it says how far behind it is")
    more = make(mode="extend")
    before, after = places(m), places(more)
    tap.same((more["points"], more["behind"]), (438, 0), "extended")
    tap.ok(all(after[i] == before[i] for i in after if i in before), "old points stay to the bit")
    number = dict(zip(more["data"]["ids"], numbers(more["data"]["cluster"], "i")))
    right = sum(number[i["id"]] == names[i["payload"]["topic"]] for i in (item(i) for i in range(400, 440)))
    tap.ok(right >= 38, f"new points are among their own: {right} of 40")
    aligned = make(mode="align", seed=9)
    again = places(aligned)
    size = max(x for x, _ in before.values()) - min(x for x, _ in before.values())
    moved = [((again[i][0] - after[i][0]) ** 2 + (again[i][1] - after[i][1]) ** 2) ** 0.5 / size for i in again]
    tap.ok(sum(moved) / len(moved) < 0.1, f"aligned points stay near: {sum(moved) / len(moved):.3f}")
    kept = dict(zip(aligned["data"]["ids"], numbers(aligned["data"]["cluster"], "i")))
    tap.ok(sum(kept[i] == number[i] for i in kept) > 0.95 * len(kept), "clusters keep their numbers")

    c.kill()
    c.start()
    back = c.json("GET", url)[1]["map"]
    tap.same((back["data"], back["clusters"]), (aligned["data"], aligned["clusters"]), "it survives kill -9")
    pca = make(method="pca")
    tap.ok(pca["share"] and pca["share"][0] >= pca["share"][1] > 0, "principal components")
    c.json("POST", url, {"mode": "align"})
    tap.ok("another method" in (wait()["error"] or ""), "what cannot be aligned is said")

    tap.same(c.json("PUT", "/api/v1/collections/big", {"vectors": {"size": 64, "distance": "Cosine"}})[0], 200, "another")
    for at in range(0, 3600, 600):
        c.json("PUT", "/api/v1/collections/big/items", {"items": [
            {"id": at + i, "vector": [round(random.gauss(0, 1), 3) for _ in range(64)]} for i in range(600)]})
    big = "/api/v1/collections/big/map"
    tap.same(c.json("POST", big, {})[1]["state"], "running", "a larger one is begun")
    tap.same(c.json("POST", big, {})[0], 409, "once at a time")
    tap.same(c.json("DELETE", big)[1]["stopped"], True, "it is stopped")
    end = time.time() + 20
    while c.json("GET", big)[1]["state"] == "running" and time.time() < end:
        time.sleep(0.05)
    r = c.json("GET", big)[1]
    tap.ok(r["state"] == "failed" and r["map"] is None and "cancelled" in r["error"], "and leaves nothing", r)

    out = os.path.join(c.home, "out.csv")
    rc, said, *_ = c.cli("collections", "map", "things", "--out", out)
    rows = list(csv.DictReader(open(out)))
    tap.ok(rc == 0 and len(rows) == 438 and {"id", "x", "y", "cluster", "label"} == set(rows[0]),
           "the command", said)
    tap.ok("kettle" in said and "438 items in 4 clusters" in said, "says what there is", said)
    # three dimensions
    space = make(dims=3)
    xyz = numbers(space["data"]["xy"], "f")
    tap.same((space["dims"], len(xyz), len(space["clusters"]), len(space["clusters"][0]["bounds"])), (3, 3 * 438, 4, 6), "in space")
    tap.ok("z" in space["clusters"][0] and max(xyz[2::3]) - min(xyz[2::3]) > 1, "it is deep", space["clusters"][0])
    put([item(i) for i in range(440, 450)])
    more = make(mode="extend")
    wide = numbers(more["data"]["xy"], "f")
    was = {i: xyz[3 * k:3 * k + 3] for k, i in enumerate(space["data"]["ids"])}
    tap.ok(more["dims"] == 3 and all(wide[3 * k:3 * k + 3] == was[i] for k, i in enumerate(more["data"]["ids"]) if i in was),
           "extended in space, where old points stay")
    c.json("POST", url, {"mode": "align", "dims": 2})
    tap.ok("3 dimensions" in (wait()["error"] or ""), "it does not become flat unless it is made anew")
    rc, said, *_ = c.cli("collections", "map", "things", "--dims", "3", "--method", "pca", "--out", out)
    rows = list(csv.DictReader(open(out)))
    tap.ok(rc == 0 and {"id", "x", "y", "z", "cluster", "label"} == set(rows[0]) and len(rows) == 448, "the command in space", said)
    tap.same(len(c.json("GET", url + "?data=false")[1]["map"]["share"]), 3, "three components")

    # how often items are hits
    traffic = lambda: c.json("GET", "/api/v1/collections/things/map/traffic")[1]  # noqa: E731
    tap.same(traffic()["total"], 0, "nothing was searched yet")
    near = lambda: c.json("POST", "/api/v1/collections/things/search", {"vector": CENTRES[1], "k": 5})[1]["hits"]  # noqa: E731
    hits = [near() for _ in range(3)]
    c.json("POST", "/collections/things/points/search", {"vector": CENTRES[1], "limit": 2})
    t, ids = traffic(), c.json("GET", url)[1]["map"]["data"]["ids"]
    tap.same((t["total"], t["items"], t["most"]), (17, 5, 4), "hits are counted, those of Qdrant's interface too")
    of = dict(zip(ids, numbers(t["values"], "f")))
    tap.same([of[h["id"]] for h in hits[0]], [4, 4, 3, 3, 3], "each at its point")
    c.stop()
    c.start()
    tap.same(traffic()["total"], 17, "they are kept")
    c.json("POST", "/api/v1/collections/things/items/delete", {"ids": [hits[0][0]["id"]]})
    make()
    tap.same(traffic()["total"], 13, "those of an item that has gone go with the next map")

    tap.same(c.json("DELETE", url)[1]["deleted"], True, "deleted")
    tap.same(c.json("GET", url)[1]["map"], None, "it is gone")
    c.json("POST", big, {})
    tap.same(c.json("DELETE", "/api/v1/collections/big")[0], 200, "a collection goes while its map is made")
    tap.same(c.json("GET", big)[0], 404, "and so does the map")


with Croft() as c:
    main(c)
tap.done()
