#!/usr/bin/env python3
"""The recall of live queries is measured and shown with an interval, the effort follows a target; what a
collection's indexes take is planned to the byte, limited, and given back when nobody uses it."""
import math
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
DIM, ITEMS = 24, 12000
rnd = random.Random(5)
PATH = "/api/v1/collections/points"


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def point():
    return [round(rnd.gauss(0, 1), 4) for _ in range(DIM)]


def put(c, ids):
    return c.json("PUT", PATH + "/items", {"items": [{"id": i, "vector": point(), "payload": {"n": i % 100}} for i in ids]})


def search(c, vector, **more):
    return c.json("POST", PATH + "/search", {"vector": vector, "k": 10, **more})[1]


def recall(c):
    return c.json("GET", PATH + "/recall")[1]


def ask(c, n, seconds, condition):
    """Asks until the condition holds."""
    end = time.time() + seconds
    while time.time() < end:
        for _ in range(n):
            search(c, point())
        if condition(recall(c)["spaces"][0]):
            return True
    return False


with Croft(settings={"collection.recall_every": "200ms", "collection.idle": "3s", "collection.recall_target": "0"}) as c:
    c.json("PUT", PATH, {"vectors": {"size": DIM, "distance": "Euclid"}})
    put(c, range(100))
    space = recall(c)["spaces"][0]
    tap.same([space["exact"], space["now"]], [True, None], "few items are searched exactly, and nothing is estimated")
    differ = []
    for at in range(100, ITEMS, 1000):
        n = min(1000, ITEMS - at)
        then = c.json("GET", PATH + f"/memory?more={n}")[1]["spaces"][0]["total"]
        put(c, range(at, at + n))
        now = c.json("GET", PATH + "/memory")[1]
        if then != now["spaces"][0]["total"]:
            differ.append((at, then, now["spaces"][0]["total"]))
    tap.same(differ, [], "what more items make of an index is said before, to the byte")
    tap.same(now["total"], now["spaces"][0]["total"] + now["payloads"] + now["ids"] + now["words"], "and all parts are counted")
    c.json("PUT", "/api/v1/collections/once", {"vectors": {"size": DIM, "distance": "Euclid"}})
    c.json("PUT", "/api/v1/collections/once/items", {"items": [{"id": i, "vector": point()} for i in range(5000)]})
    plan = c.json("GET", f"/api/v1/collection-plan?items=5000&dim={DIM}&distance=Euclid")[1]
    once = c.json("GET", "/api/v1/collections/once/memory")[1]["spaces"][0]
    tap.same({k: once[k] for k in ("vectors", "graph", "other", "total")},
             {k: plan[k] for k in ("vectors", "graph", "other", "total")}, "the plan of an index that is not there is what it takes when it is built")
    more = c.json("GET", PATH + "/memory?more=3000")[1]
    rc, out, err = c.cli("collections", "plan", "--items", "1000000", "--dim", "384")
    tap.ok(rc == 0 and "vectors" in out and "1536000000 bytes" in out and max(map(len, out.splitlines())) <= 80, "croft collections plan prints it", out + err)
    rc, out, err = c.cli("collections", "plan", "points", "--items", "3000")
    tap.ok(rc == 0 and str(more["total_with_more"]) in out, "of a collection with more items", out + err)
    limit = c.json("GET", PATH + "/memory?more=2000")[1]["total_with_more"] - 1
    status, now = c.json("PATCH", PATH, {"memory_bytes": limit})
    tap.same([status, now["memory_bytes"]], [200, limit], "a limit is set")
    status, reply = put(c, range(ITEMS, ITEMS + 2000))
    tap.ok(status == 422 and str(limit) in reply["error"]["message"] and str(limit + 1) in reply["error"]["message"],
           "what would pass it by a byte is refused, with the numbers", reply)
    tap.same(c.json("GET", PATH)[1]["items"], ITEMS, "and nothing of it is there")
    tap.same(put(c, range(ITEMS, ITEMS + 500))[0], 200, "what fits is taken")
    tap.ok(c.json("GET", PATH + "/memory")[1]["total"] <= limit, "and stays below the limit")
    tap.same(c.json("PATCH", PATH, {"memory_bytes": None})[1]["memory_bytes_own"], False, "null: as the settings say")
    tap.same(c.json("PATCH", PATH, {})[0], 400, "nothing to change is an error")

    # other payloads leave the vectors alone
    before = c.json("GET", PATH + "/memory")[1]["spaces"][0]["total"]
    status, reply = c.json("POST", "/collections/points/points/payload", {"payload": {"seen": True}, "points": list(range(0, ITEMS, 3))})
    tap.same([status, c.json("GET", PATH + "/memory")[1]["spaces"][0]["total"]], [200, before], "a change of payloads puts no vector anew")

    # recall of live queries
    tap.ok(ask(c, 60, 30, lambda s: s["now"] and s["now"]["queries"] >= 250), "live queries are compared with exact searches", recall(c))
    said = recall(c)["spaces"][0]["now"]
    found = total = 0
    for _ in range(150):
        q = point()
        exact = {h["id"] for h in search(c, q, exact=True)["hits"]}
        found += len(exact & {h["id"] for h in search(c, q)["hits"]})
        total += 10
    truth = found / total
    sd = math.sqrt(truth * (1 - truth) / 150)
    interval = said["recall"]
    tap.ok(interval["low"] - 2 * sd <= truth <= interval["high"] + 2 * sd and interval["high"] - interval["low"] < 0.05,
           f"what is said ({interval['low']:.4f} to {interval['high']:.4f}) is what an independent sample finds ({truth:.4f})")
    tap.same(recall(c)["spaces"][0]["ef"], 64, "without a target the effort stays")
    # the effort follows a target
    rc, out, err = c.cli("collections", "set", "points", "--recall-target", "0.999")
    tap.ok(rc == 0 and "0.999" in out, "a target is set", out + err)
    tap.ok(ask(c, 60, 60, lambda s: s["now"] and s["ef"] > 64 and s["now"]["queries"] >= 60 and s["now"]["recall"]["mean"] >= 0.999),
           "a higher target raises the effort until it is held", recall(c)["spaces"][0])
    high = recall(c)["spaces"][0]["ef"]
    seen = []
    ask(c, 100, 4, lambda s: seen.append(s["ef"]))
    tap.ok(len(set(seen)) <= 2, f"where it stays ({sorted(set(seen))})")
    c.cli("collections", "set", "points", "--recall-target", "0.6")
    tap.ok(ask(c, 100, 60, lambda s: s["ef"] < 64), "a lower one lowers it", recall(c)["spaces"][0])
    tap.ok(ask(c, 60, 20, lambda s: s["now"] and s["now"]["recall"]["mean"] >= 0.6), "as long as the target is held", recall(c)["spaces"][0])
    past = recall(c)["spaces"][0]["past"]
    tap.ok(len({p["ef"] for p in past}) >= 3 and past == sorted(past, key=lambda p: p["at"]), "how it went is kept", past)
    text = c.get("/metrics")[1].decode()
    tap.ok('croft_collection_recall{project="default",collection="points",space="",bound="low"} ' in text and "croft_collection_effort{" in text,
           "the metrics have it")
    rc, out, err = c.cli("collections", "recall", "points")
    tap.ok(rc == 0 and "effort" in out and "recall" in out and max(map(len, out.splitlines())) <= 80, "the command shows it", out + err)
    # queries with a filter are measured by themselves, by how many items match
    bands = {"most": {"must": [{"key": "n", "range": {"lt": 90}}]}, "few": {"must": [{"key": "n", "range": {"lt": 25}}]}}

    def band(name):
        return recall(c)["spaces"][0]["filtered"][0 if name == "most" else 1]

    def ask_filtered(name, n, seconds, condition):
        end = time.time() + seconds
        while time.time() < end:
            for _ in range(n):
                search(c, point(), filter=bands[name])
            if condition(band(name)):
                return True
        return False

    c.cli("collections", "set", "points", "--recall-target", "0")
    unfiltered = recall(c)["spaces"][0]["ef"]
    tap.same([[round(b["share_min"], 2), round(b["share_max"], 2), b["seen"]] for b in recall(c)["spaces"][0]["filtered"]],
             [[0.33, 1, 0], [0.1, 0.33, 0], [0, 0.1, 0]], "bands of the share that matches")
    tap.ok(ask_filtered("most", 60, 30, lambda b: b["now"] and b["now"]["queries"] >= 200), "filtered queries are compared with exact filtered searches", band("most"))
    said, found, total = band("most")["now"], 0, 0
    for _ in range(150):
        q = point()
        exact = {h["id"] for h in search(c, q, exact=True, filter=bands["most"])["hits"]}
        found += len(exact & {h["id"] for h in search(c, q, filter=bands["most"])["hits"]})
        total += 10
    truth, interval = found / total, said["recall"]
    sd = math.sqrt(truth * (1 - truth) / 150)
    tap.ok(interval["low"] - 2 * sd <= truth <= interval["high"] + 2 * sd and interval["high"] - interval["low"] < 0.08,
           f"what is said ({interval['low']:.4f} to {interval['high']:.4f}) is what an independent sample finds ({truth:.4f})")
    tap.same(band("most")["ef"], unfiltered, "without a target they have the effort of the others")
    seen = recall(c)["spaces"][0]["seen"]
    for _ in range(5):
        search(c, point(), filter=bands["few"])
    tap.same([band("few")["seen"], recall(c)["spaces"][0]["seen"]], [0, seen], "where all that match are compared there is nothing to measure")
    c.cli("collections", "set", "points", "--recall-target", "0.995")
    tap.ok(ask_filtered("most", 60, 90, lambda b: b["now"] and b["ef"] > unfiltered and b["now"]["queries"] >= 20 and b["now"]["recall"]["mean"] >= 0.995),
           "their effort follows the target", band("most"))
    tap.same(recall(c)["spaces"][0]["ef"], unfiltered, "and only theirs, as nothing else was asked")
    raised = band("most")["ef"]
    found = total = 0
    for _ in range(150):
        q = point()
        exact = {h["id"] for h in search(c, q, exact=True, filter=bands["most"])["hits"]}
        found += len(exact & {h["id"] for h in search(c, q, filter=bands["most"])["hits"]})
        total += 10
    tap.ok(found / total > max(truth, 0.99), f"searches use it: {truth:.4f} became {found / total:.4f}")
    text = c.get("/metrics")[1].decode()
    tap.ok('croft_collection_recall_filtered{project="default",collection="points",space="",share_min="0.3333",bound="low"} ' in text
           and f'croft_collection_effort_filtered{{project="default",collection="points",space="",share_min="0.3333"}} {raised}' in text, "the metrics have it")
    rc, out, err = c.cli("collections", "recall", "points")
    tap.ok(rc == 0 and "33 to 100 % match" in out and f"effort {raised}, recall" in out and max(map(len, out.splitlines())) <= 80, "the command shows it", out + err)
    c.cli("collections", "set", "points", "--recall-target", "0.6")
    # nobody uses it
    ef, q = recall(c)["spaces"][0]["ef"], point()
    before = search(c, q, exact=True)["hits"]
    tap.ok(until(15, lambda: time.sleep(4.5) or recall(c)["spaces"][0]["seen"] == 0), "a collection that nobody uses leaves the memory")
    tap.same(search(c, q, exact=True)["hits"], before, "and is there when it is wanted")
    tap.same([recall(c)["spaces"][0]["ef"], band("most")["ef"]], [ef, raised], "with the efforts that it had")
    put(c, [ITEMS + 600])
    tap.same(c.json("GET", PATH)[1]["items"], ITEMS + 501, "and goes on")
    c.kill()
    c.start()
    tap.same(recall(c)["recall_target"], 0.6, "limits outlive kill -9")
tap.done()
