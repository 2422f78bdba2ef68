"""bench/opening.py BUILD: `make bench-opening`. A collection of ITEMS (200,000) items with a text of 30
words, a plain vector of DIM (64) numbers, a sparse one of 20 and a list of LIST (4) vectors of 16:
how long a server that has just started takes for its first answer, with the saved files and without
them; what a change costs while files are saved; and searches by words and by words and vectors
together, one at a time over one connection. Everything is made up, by the same lot each time."""
import glob
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1]
ITEMS, DIM, LIST = (int(os.environ.get(k, d)) for k, d in (("ITEMS", 200000), ("DIM", 64), ("LIST", 4)))
SECONDS = float(os.environ.get("SECONDS_EACH", 5))
rnd = random.Random(7)
VOCABULARY = [f"w{i}" for i in range(40000)]


def words(n):
    return " ".join(VOCABULARY[int(40000 * rnd.random() ** 3)] for _ in range(n))


def numbers(n):
    return [round(rnd.random() - 0.5, 3) for _ in range(n)]


def item(i):
    at = sorted(rnd.sample(range(30000), 20))
    return {"id": i, "payload": {"text": words(30), "lot": i % 100},
            "vector": {"plain": numbers(DIM), "few": {"indices": at, "values": numbers(20)}, "many": [numbers(16) for _ in range(LIST)]}}


class Server:
    def __init__(self, home):
        self.home, self.process = home, None

    def start(self):
        note = os.path.join(self.home, "server.json")
        if os.path.exists(note):
            os.unlink(note)
        env = {k: v for k, v in os.environ.items() if not k.startswith("CROFT_")}
        env["CROFT_HOME"] = self.home
        self.process = subprocess.Popen([os.path.join(BUILD, "croft"), "up", "--listen", "127.0.0.1:0"], env=env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(note):
            time.sleep(0.01)
        time.sleep(0.2)
        with open(note) as f:
            self.http = http.client.HTTPConnection(json.load(f)["address"], timeout=3600)

    def call(self, method, path, body=None):
        self.http.request(method, "/api/v1/collections/open" + path, json.dumps(body) if body is not None else None,
                          {"Content-Type": "application/json"})
        reply = self.http.getresponse()
        data = json.loads(reply.read() or b"null")
        if reply.status != 200:
            sys.exit(f"{method} {path}: {reply.status} {data}")
        return data

    def own_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            t = f.read().rsplit(")", 1)[1].split()
        return (int(t[11]) + int(t[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(x.split()[1]) // 1024 for x in f if x.startswith("VmRSS"))

    def stop(self):
        self.process.terminate()
        self.process.wait()


def row(what, value, more=""):
    print(f"{what:<52} {value:>14} {more}".rstrip(), flush=True)


def first_answer(s, what):
    """Started anew, the first search opens the collection."""
    s.start()
    cpu, t = s.own_seconds(), time.time()
    s.call("POST", "/search", {"mode": "keyword", "text": "w1 w7", "k": 10})
    row(what, f"{time.time() - t:.2f} s", f"{s.own_seconds() - cpu:.2f} s of the server's own time, {s.resident()} MiB")


def searches(s, what, ask):
    taken, end, cpu = [], time.time() + SECONDS, s.own_seconds()
    while time.time() < end:
        body = ask()
        t = time.time()
        s.call("POST", "/search", body)
        taken.append(time.time() - t)
    taken.sort()
    own = (s.own_seconds() - cpu) / len(taken)
    row(what, f"{len(taken) / SECONDS:.0f} /s", f"p50 {taken[len(taken) // 2] * 1e3:.2f} ms, p99 {taken[len(taken) * 99 // 100] * 1e3:.2f} ms, "
        f"{own * 1e3:.2f} ms of the server's own time")


def beside_saving(s):
    """One change after the other, from one that is to be saved until it has been."""
    taken, seen = [], glob.glob(os.path.join(s.home, "collections", "*", "*.ids"))
    time.sleep(3)
    end, quiet = time.time() + 60, time.time()
    s.call("PUT", "/items", {"items": [item(0)]})
    while time.time() < end and glob.glob(os.path.join(s.home, "collections", "*", "*.ids")) == seen:
        if not glob.glob(os.path.join(s.home, "collections", "*", "*.tmp")) and time.time() - quiet < 20:
            time.sleep(0.01)
            continue
        t = time.time()
        s.call("PUT", "/items", {"items": [item(rnd.randrange(ITEMS))]})
        taken.append(time.time() - t)
    taken.sort()
    if taken:
        row("a change while the files are written", f"{taken[len(taken) // 2] * 1e3:.1f} ms", f"the longest of {len(taken)}: {taken[-1] * 1e3:.0f} ms")


home = tempfile.mkdtemp(prefix="croft-bench-")
server = Server(home)
try:
    server.start()
    server.call("PUT", "", {"vectors": {"plain": {"size": DIM, "distance": "Cosine"},
                                        "many": {"size": 16, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}},
                            "sparse_vectors": {"few": {}}, "keyword": {"fields": {"text": 1}}})
    print(f"{ITEMS} items: words, {DIM} numbers, 20 sparse, {LIST} vectors of 16")
    took = 0.0
    for at in range(0, ITEMS, 2000):
        batch = [item(i) for i in range(at, min(at + 2000, ITEMS))]
        t = time.time()
        server.call("PUT", "/items", {"items": batch})
        took += time.time() - t
    row("put and durable", f"{ITEMS / took:.0f} /s")
    server.stop()
    size = sum(os.path.getsize(f) for f in glob.glob(os.path.join(home, "collections", "*", "*.*")))
    row("the saved files", f"{size / 2**20:.0f} MiB")
    first_answer(server, "first answer, from the files")
    row("memory of the indexes, as it is counted", f"{server.call('GET', '/memory')['total'] / 2**20:.0f} MiB")
    searches(server, "words", lambda: {"mode": "keyword", "text": words(3), "k": 10})
    searches(server, "vectors", lambda: {"space": "plain", "vector": numbers(DIM), "k": 10})
    searches(server, "words and vectors (hybrid)", lambda: {"mode": "hybrid", "space": "plain", "text": words(3), "vector": numbers(DIM), "k": 10})
    searches(server, "sparse vectors", lambda: {"space": "few", "vector": {"indices": sorted(rnd.sample(range(30000), 20)), "values": [1] * 20}, "k": 10})
    searches(server, "lists of vectors", lambda: {"space": "many", "vector": [numbers(16) for _ in range(4)], "k": 10})
    beside_saving(server)
    server.stop()
    shutil.rmtree(os.path.join(home, "collections"))
    first_answer(server, "first answer, without them")
    server.stop()
finally:
    if server.process and server.process.poll() is None:
        server.process.kill()
    shutil.rmtree(home, ignore_errors=True)
