#!/usr/bin/env python3
"""What a collection has in memory is saved and opened again: graphs, words, payloads, sparse vectors,
lists of vectors, ids. A file that is damaged, cut, gone or another collection's is told and costs
nothing but time; kill -9 while files are written, and beside changes, leaves everything that was
acknowledged.

CROFT_TEST_KILLS: how often (6). CROFT_TEST_SEED: of the moments and the changes."""
import glob
import os
import random
import shutil
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
AT, N = "/api/v1/collections/", 5000
TOLD = "read from its items"


def call(c, method, tail, body=None):
    status, reply = c.json(method, AT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def item(n, mark):
    return {"id": n, "payload": {"text": f"item n{n} of lot{n % 10} mark{mark}", "mark": mark, "lot": n % 10},
            "vector": {"plain": [mark, n % 97, n % 89, 1], "few": {"indices": [n % 50, 100 + mark], "values": [1 + n % 7, 1]},
                       "many": [[1, n % 31 + k, mark, 1] for k in range(1 + (n + mark) % 4)]}}


def make(c, name):
    call(c, "PUT", name, {"vectors": {"plain": {"size": 4, "distance": "Euclid"},
                                      "many": {"size": 4, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
                          "sparse_vectors": {"few": {}}, "keyword": {"fields": {"text": 1}}})


def put(c, name, marks):
    pairs = list(marks.items())
    for at in range(0, len(pairs), 1000):
        call(c, "PUT", name + "/items", {"items": [item(n, m) for n, m in pairs[at:at + 1000]]})


def hits(c, name, **q):
    return sorted(h["id"] for h in call(c, "POST", name + "/search", {"k": 1000, "exact": True, **q})["hits"])


def differs(c, name, marks):
    """"": everything that can be asked for is as it should be."""
    for mark in sorted(set(marks.values())):
        ids = sorted(n for n, m in marks.items() if m == mark)
        for how, q in (("words", {"mode": "keyword", "text": f"+mark{mark}"}),
                       ("sparse", {"space": "few", "vector": {"indices": [100 + mark], "values": [1]}}),
                       ("payloads", {"space": "plain", "vector": [0, 0, 0, 1], "filter": {"must": [{"key": "mark", "match": {"value": mark}}]}}),
                       ("lists", {"space": "many", "vector": [[1, 0, 0, 0]], "filter": {"must": [{"key": "mark", "match": {"value": mark}}]}})):
            got = hits(c, name, **q)
            if got != ids:
                return f"{how} of mark {mark}: {len(got)} of {len(ids)}, {sorted(set(got) ^ set(ids))[:10]}"
    lists = call(c, "POST", name + "/search", {"space": "many", "vector": [[0, 0, 1, 0]], "k": 20})["hits"]
    if any(abs(h["score"] - marks[h["id"]]) > 1e-3 for h in lists):
        return f"scores of lists: {lists}"
    near = call(c, "POST", name + "/search", {"space": "plain", "vector": item(77, marks.get(77, 0))["vector"]["plain"], "k": 1})["hits"]
    return "" if near[0]["score"] == 0 or 77 not in marks else f"plain vectors: {near}"


def files(c, name=None):
    found = glob.glob(os.path.join(c.home, "collections", "*", "*.*"))
    return {os.path.basename(f).split(".", 1)[1]: f for f in found if not f.endswith(".tmp")}


def flip(path):
    with open(path, "r+b") as f:
        at = random.randrange(os.path.getsize(path))
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << random.randrange(8)]))


def cut(path):
    os.truncate(path, random.randrange(1, os.path.getsize(path)))


def swap(path):
    """The file of another index: words or payloads."""
    other = path.rsplit(".", 1)[0] + (".payloads" if path.endswith(".words") else ".words")
    shutil.copy(other, path + "x")
    os.replace(path + "x", path)


c = Croft(settings={"collection.idle": "300ms"})
with c:
    marks = {n: n % 7 for n in range(N)}
    make(c, "all")
    put(c, "all", marks)
    call(c, "POST", "all/items/delete", {"ids": list(range(100, 400))})
    for n in range(100, 400):
        del marks[n]
    put(c, "all", {n: 8 for n in range(1000, 1200)})
    marks.update({n: 8 for n in range(1000, 1200)})
    tap.same(differs(c, "all", marks), "", "everything is found while it is in memory")
    c.stop()
    tap.same(sorted(files(c)), ["0", "1", "2", "ids", "payloads", "words"], "six files are saved")
    c.start()
    tap.same(differs(c, "all", marks), "", "and is found when the files are opened")
    tap.ok(TOLD not in c.logged() and "built anew" not in c.logged(), "which needed nothing from the items", c.logged())

    def log():
        with open(os.path.join(c.home, "server.log")) as f:
            return f.read()

    def start_with(harm):
        """What is wrong after the files were harmed, and what was said; at its end all is saved again."""
        c.stop()
        harm()
        before = len(log())
        c.start()
        said = differs(c, "all", marks)
        return said, log()[before:]

    wrong = []
    for i, what in enumerate(sorted(files(c))):
        how = (flip, cut, os.unlink, swap)[(i + SEED) % 4]
        said, told = start_with(lambda: how(files(c)[what]))
        anew = what == "0"  # without the plain vectors' file nothing else is looked at
        if said or ("built anew" in told) != anew or (told.count(TOLD) != (0 if anew else 2 if what == "ids" else 1)):
            wrong.append(f"{what} {how.__name__}: {said} {told}")
    tap.same(wrong, [], "each file damaged, cut, gone or of something else is told, and nothing is missing")
    call(c, "PUT", "all/keyword", {"fields": {"text": {"weight": 1, "b": 0.1}}})
    tap.same(differs(c, "all", marks), "", "words with other settings are indexed anew")
    c.stop()
    c.start()
    tap.same(differs(c, "all", marks), "", "and saved so")

    # kill -9 beside changes and while the keeper saves: it does as soon as nobody asks for 300 ms
    state = {"marks": dict(marks), "unsure": set()}

    def writer(stop):
        while not stop.is_set():
            time.sleep(random.choice([0, 0.4, 1.4]))
            some = random.sample(range(N), random.randrange(1, 400))
            state["unsure"] = set(some)
            mark = random.randrange(40)
            try:
                if random.random() < 0.3:
                    call(c, "POST", "all/items/delete", {"ids": some})
                    for n in some:
                        state["marks"].pop(n, None)
                else:
                    put(c, "all", {n: mark for n in some})
                    state["marks"].update({n: mark for n in some})
                state["unsure"] = set()
            except Exception:  # noqa: BLE001 the server has gone
                return

    wrong, written, before = [], 0, len(log())
    for i in range(KILLS):
        stop = threading.Event()
        t = threading.Thread(target=writer, args=(stop,))
        t.start()
        end = time.time() + random.uniform(0.3, 3.5)
        while time.time() < end and not (i % 2 and glob.glob(os.path.join(c.home, "collections", "*", "*.tmp"))):
            time.sleep(0.001)
        c.kill()
        stop.set()
        t.join()
        written += bool(glob.glob(os.path.join(c.home, "collections", "*", "*.tmp")))
        c.start()
        for n in state["unsure"]:  # not acknowledged: either way, the same in all indexes
            status, reply = c.json("POST", AT + "all/search", {"mode": "keyword", "text": f"+n{n}", "k": 1})
            state["marks"].pop(n, None)
            if reply["hits"]:
                state["marks"][n] = reply["hits"][0]["payload"]["mark"]
        said = differs(c, "all", state["marks"])
        if said:
            wrong.append(said)
    tap.note(f"{written} of {KILLS} kills came while a file was written")
    tap.same(wrong, [], f"after each of {KILLS} kills everything acknowledged is in every index")
    tap.ok("built anew" not in log()[before:] and TOLD not in log()[before:], "and no index had to be built anew", log()[before:])
tap.done()
