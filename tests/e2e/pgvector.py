"""Collections in pgvector: what is refused and with which remedy; random filters and all distances
decided as in memory; the graph and its recall; moved while in use, killed in the middle, restored."""
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
from croft_server import Croft, Tap, pg  # noqa: E402

tap = Tap()
rnd = random.Random(11)
server = os.environ["CROFT_TEST_DB_URL"]
ROOT = "/api/v1/collections/"


def psql(text, database="postgres"):
    return subprocess.run([os.path.join(pg.bindir(), "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", os.environ["CROFT_TEST_PG_DIR"],
                           "-U", "postgres", "-d", database, "-c", text], check=True, capture_output=True, text=True).stdout.strip()


def vector(dim):
    return [rnd.gauss(0, 1) for _ in range(dim)]


def make(c, name, dim, backend, distance="Cosine"):
    return c.json("PUT", ROOT + name, {"vectors": {"size": dim, "distance": distance}, "backend": backend})


def put(c, name, items):
    for at in range(0, len(items), 1000):
        status, reply = c.json("PUT", ROOT + name + "/items", {"items": items[at:at + 1000]})
        if status != 200:
            raise RuntimeError(reply)


def search(c, name, **body):
    status, reply = c.json("POST", ROOT + name + "/search", body)
    if status != 200:
        raise RuntimeError(reply)
    return reply


def ids(reply):
    return [h["id"] for h in reply["hits"]]


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def refused():
    url = os.environ.pop("CROFT_TEST_DB_URL")
    with Croft() as c:
        status, reply = make(c, "x", 3, "pgvector")
        tap.ok(status == 415 and "PostgreSQL" in str(reply) and "embedded" in str(reply), "on SQLite it is refused with the remedy", reply)
        tap.same(make(c, "x", 3, "embedded")[0], 200, "and the other backend works")
        code, _, err = c.cli("collections", "move", "x", "--backend", "pgvector")
        tap.ok(code != 0 and "PostgreSQL" in err, "so is moving there", err)
        status, reply = make(c, "y", 3, "faiss")
        tap.ok(status == 400 and "pgvector" in str(reply), "an unknown one is refused by name", reply)
    os.environ["CROFT_TEST_DB_URL"] = url
    plain = f"plain_{os.getpid()}"
    psql(f"CREATE ROLE {plain} LOGIN")
    psql(f"CREATE DATABASE {plain} OWNER {plain} ENCODING 'UTF8' TEMPLATE template0")
    other = f"postgres://{plain}@/{plain}?host={os.environ['CROFT_TEST_PG_DIR']}"
    with Croft(settings={"db.url": other}) as c:
        status, reply = make(c, "x", 3, "pgvector")
        tap.ok(status == 415 and "CREATE EXTENSION vector" in str(reply), "a role that may not make the extension is told who has to", reply)
        tap.same(c.json("GET", ROOT + "x")[0], 404, "nothing was made")
        psql("CREATE EXTENSION vector", plain)
        tap.same(make(c, "x", 3, "pgvector")[0], 200, "once that is done it works")
        psql("DROP EXTENSION vector CASCADE", plain)
        status, reply = c.json("POST", ROOT + "x/search", {"vector": [1, 2, 3]})
        tap.ok(status >= 400 and "reply" != "", "when somebody takes it away, that is said", reply)
    psql(f"DROP DATABASE {plain} WITH (FORCE)")
    psql(f"DROP ROLE {plain}")


def limits(c):
    status, reply = make(c, "wide", 4001, "pgvector")
    tap.ok(status == 400 and "2000" in str(reply) and "4000" in str(reply), "more numbers than its index takes are refused with its limits", reply)
    make(c, "half", 2500, "pgvector")
    make(c, "whole", 2500, "embedded")
    centres = [vector(2500) for _ in range(20)]
    vs = [[x + rnd.gauss(0, 0.5) for x in rnd.choice(centres)] for _ in range(250)]
    for name in ("half", "whole"):
        put(c, name, [{"id": i, "vector": v} for i, v in enumerate(vs)])
    tap.ok(until(60, lambda: not search(c, "half", vector=vs[0])["exact"]), "2,500 numbers have a graph of half floats")
    hit = sum(len(set(ids(search(c, "half", vector=v))) & set(ids(search(c, "whole", vector=v)))) for v in vs[:30])
    a, b = (search(c, name, vector=vs[3]) for name in ("half", "whole"))
    tap.ok(hit >= 285, "which finds the nearest", f"{hit} of 300")
    tap.ok(all(abs(x["score"] - y["score"]) < 2e-6 for x, y in zip(a["hits"], b["hits"])), "and scores with whole floats")


def distances(c):
    """Spaces with all distances, items without some vector, equal and zero vectors."""
    spaces = {n: {"size": 5, "distance": d} for n, d in (("c", "Cosine"), ("d", "Dot"), ("e", "Euclid"))}
    for name in ("here", "there"):
        c.json("PUT", ROOT + name, {"vectors": spaces, "backend": "pgvector" if name == "there" else "embedded"})
    items = []
    for i in range(150):
        v = {n: rnd.choice([vector(5), vector(5), [0.0] * 5, [1.0, 0, 0, 0, 0]]) for n in "cde" if rnd.random() < 0.8}
        items.append({"id": rnd.choice([i, f"text {i}"]), "vector": v, "payload": {"i": i}})
    for name in ("here", "there"):
        put(c, name, items)
    wrong = []
    for _ in range(60):
        space, k = rnd.choice("cde"), rnd.choice([1, 5, 50, 1000])
        body = {"space": space, "vector": rnd.choice([vector(5), [0.0] * 5]), "k": k}
        if rnd.random() < 0.4:
            body["worst"] = rnd.choice([0.0, 0.5, 2.0])
        a, b = search(c, "here", **body), search(c, "there", **body)
        scores = [[h["score"] for h in r["hits"]] for r in (a, b)]
        near = len(scores[0]) == len(scores[1]) and all(abs(x - y) < 1e-5 for x, y in zip(*scores))
        if not near or (k == 1000 and "worst" not in body and set(map(str, ids(a))) != set(map(str, ids(b)))):
            wrong.append((body, scores))
    tap.ok(not wrong, "the same scores for every distance, also of zero vectors and of items without one", "\n".join(map(str, wrong[:3])))
    for what in ("retrieve", "scroll"):
        got = [c.get(ROOT + name + "/items?limit=1000&vectors=true")[1] for name in ("here", "there")]
    tap.ok(got[0] == got[1], "items and their vectors read the same, to the bit")


def filters(c):
    try:
        from filter_peer import filter_, obj, rnd as theirs
    except ImportError as e:
        tap.ok(True, f"random filters # SKIP {e}")
        return
    theirs.seed(12)
    for name in ("f-here", "f-there"):
        make(c, name, 2, "pgvector" if name == "f-there" else "embedded")
    odd = ['{"a":1,"a":2}', '{"a":"\\u0000"}', '{"a":{"\\u0001r":5}}', '{"a":18446744073709551615,"b":1e300}', '{"a":[5.0,1e2],"b":-0.0}',
           '{"b":[{"a":5.0},"2026-11-27"],"a":[[1]]}', '{"x":[{"a":1,"a":"red"}]}']
    payloads = [obj(0) for _ in range(300)]
    for name in ("f-here", "f-there"):
        rows = [{"id": i, "vector": [1, i], "payload": p} for i, p in enumerate(payloads)]
        put(c, name, rows)
        raw = ",".join('{"id":%d,"vector":[1,0],"payload":%s}' % (1000 + i, p) for i, p in enumerate(odd))
        status, reply = c.request("PUT", ROOT + name + "/items", ('{"items":[%s]}' % raw).encode(), {"Content-Type": "application/json"})
        if status != 200:
            raise RuntimeError(reply)
    wrong, some, n = [], 0, 0
    for _ in range(1200):
        body = {"vector": [1, 0], "k": 1000, "filter": filter_(0)}
        a = c.json("POST", ROOT + "f-here/search", body)
        b = c.json("POST", ROOT + "f-there/search", body)
        if a[0] != 200 or b[0] != 200:
            if a[0] != b[0]:
                wrong.append((body["filter"], a, b))
            continue
        n += 1
        found = sorted(ids(a[1])), sorted(ids(b[1]))
        some += 0 < len(found[0]) < 307
        if found[0] != found[1]:
            wrong.append((body["filter"], "only in memory", set(found[0]) - set(found[1]), "only in pgvector", set(found[1]) - set(found[0])))
    tap.ok(not wrong and some > 150, f"{n} random filters over {300 + len(odd)} random payloads are decided alike",
           f"{len(wrong)} differ, {some} match some\n" + "\n".join(str(w)[:1500] for w in wrong[:4]))
    few = [{"must": [{"key": "a", "match": {"value": v}}]} for v in (1, 2, 5, "red")] + [{"must_not": [{"key": "a", "match": {"text": "red"}}]}]
    q = [[c.json("POST", f"/collections/{name}/points/{what}", {"filter": f, **more})[1]["result"] for what, more in
          (("count", {"exact": True}), ("scroll", {"limit": 7, "offset": 30}))] for name in ("f-here", "f-there") for f in few]
    tap.ok(q[:len(few)] == q[len(few):], "counts and scrolls with a filter are the same")


def graph(c):
    """Recall without and with filters, while items are replaced and deleted."""
    dim, n = 16, 6000
    centres = [vector(dim) for _ in range(60)]
    vs = {i: [x + rnd.gauss(0, 0.4) for x in rnd.choice(centres)] for i in range(n)}
    make(c, "big", dim, "pgvector", "Dot")
    put(c, "big", [{"id": i, "vector": v, "payload": {"p": i % 1000, "tag": "even" if i % 2 == 0 else "odd"}} for i, v in vs.items()])
    tap.ok(until(60, lambda: not search(c, "big", vector=vs[0])["exact"]), "a large one has a graph")
    for i in rnd.sample(range(n), 1000):
        vs[i] = [x + rnd.gauss(0, 0.4) for x in rnd.choice(centres)]
    put(c, "big", [{"id": i, "vector": v, "payload": {"p": i % 1000, "tag": "even" if i % 2 == 0 else "odd"}} for i, v in vs.items()])
    gone = rnd.sample(range(n), 500)
    c.json("POST", ROOT + "big/items/delete", {"ids": gone})
    for i in gone:
        del vs[i]
    queries = [[x + rnd.gauss(0, 0.4) for x in rnd.choice(centres)] for _ in range(15)]
    walked = 0
    for what, keeps, f in (("all", lambda i: True, None), ("50 %", lambda i: i % 2 == 0, {"key": "tag", "match": {"value": "even"}}),
                           ("10 %", lambda i: i % 1000 < 100, {"key": "p", "range": {"lt": 100}}),
                           ("1 %", lambda i: i % 1000 < 10, {"key": "p", "range": {"lt": 10}}),
                           ("0.1 %", lambda i: i % 1000 == 7, {"key": "p", "match": {"value": 7}}),
                           ("words", lambda i: i % 2, {"key": "tag", "match": {"text": "ODD"}})):
        hit = want = 0
        for v in queries:
            got = search(c, "big", vector=v, k=10, **({"filter": {"must": [f]}} if f else {}))
            walked += not got["exact"]
            best = sorted((i for i in vs if keeps(i)), key=lambda i: -sum(a * b for a, b in zip(v, vs[i])))[:10]
            hit += len(set(best) & set(ids(got)))
            want += len(best)
        tap.ok(hit >= 0.95 * want, f"at least 95 % of the nearest are found among {what}", f"{hit} of {want}")
    tap.ok(walked >= 30, "by the graph where that pays", walked)


def busy():
    """The graph is made while others change items, which is seen; answers are right at any time; then recall is measured and held."""
    with Croft(settings={"collection.recall_every": "200ms", "collection.recall_target": "0"}) as c:
        make(c, "busy", 24, "pgvector", "Euclid")
        vs = [vector(24) for _ in range(2500)]
        stop, wrong, states = threading.Event(), [], set()

        def write():
            while not stop.is_set():
                i = rnd.randrange(2500)
                status, reply = c.json("PUT", ROOT + "busy/items", {"items": [{"id": i, "vector": vs[i], "payload": {"n": i % 9}}]})
                if status not in (200, 429):
                    wrong.append(reply)
        put(c, "busy", [{"id": i, "vector": v, "payload": {"n": i % 9}} for i, v in enumerate(vs)])
        writer = threading.Thread(target=write)
        writer.start()

        def ready():
            i = rnd.randrange(2500)
            if ids(search(c, "busy", vector=vs[i], k=1)) != [i]:
                wrong.append(i)
            states.add(c.json("GET", ROOT + "busy/recall")[1]["spaces"][0]["graph"])
            return "ready" in states
        tap.ok(until(60, ready), "a graph is made while items are changed", states)
        tap.ok(states <= {"none", "building", "ready"} and not wrong, "and each item is found meanwhile", wrong[:3])
        stop.set()
        writer.join()

        def ask(seconds, condition):
            def some():
                for _ in range(20):
                    search(c, "busy", vector=vector(24))
                return condition(c.json("GET", ROOT + "busy/recall")[1]["spaces"][0])
            return until(seconds, some)
        tap.ok(ask(60, lambda s: s["now"] and s["now"]["queries"] >= 60), "live queries are compared with exact ones", c.json("GET", ROOT + "busy/recall")[1])
        said = c.json("GET", ROOT + "busy/recall")[1]["spaces"][0]
        found = 0
        for _ in range(60):
            v = vector(24)
            found += len(set(ids(search(c, "busy", vector=v, exact=True))) & set(ids(search(c, "busy", vector=v))))
        r = said["now"]["recall"]
        tap.ok(r["low"] - 0.03 <= found / 600 <= r["high"] + 0.03, f"what is said ({r['low']:.4f} to {r['high']:.4f}) is what others find ({found / 600:.4f})")
        code, out, err = c.cli("collections", "set", "busy", "--recall-target", "0.5")
        tap.ok(code == 0 and ask(60, lambda s: s["ef"] < said["ef"]), "the effort falls when the target allows it", out + err)


def moving(c):
    """There and back while a thread writes; what was acknowledged is found throughout."""
    make(c, "mv", 4, "embedded")
    known, failed, stop = {}, [], threading.Event()
    put(c, "mv", [{"id": i, "vector": vector(4), "payload": {"n": i}} for i in range(5000)])

    def write():
        i = 10000
        while not stop.is_set():
            i += 1
            v = vector(4)
            status, reply = c.json("PUT", ROOT + "mv/items", {"items": [{"id": i, "vector": v, "payload": {"n": i}}]})
            if status == 200:
                known[i] = v
            elif status != 429:
                failed.append(reply)
            if i % 7 == 0 and i - 3 in known:
                if c.json("POST", ROOT + "mv/items/delete", {"ids": [i - 3]})[0] == 200:
                    del known[i - 3]
    writer = threading.Thread(target=write)
    writer.start()
    said = []
    for to in ("pgvector", "embedded", "pgvector"):
        code, out, err = c.cli("collections", "move", "mv", "--backend", to)
        said.append((code, out, err))
        if code:
            break
    stop.set()
    writer.join()
    tap.ok(all(s[0] == 0 for s in said) and "in pgvector" in said[-1][1], "moved there, back and there again while others write", said)
    tap.ok(not failed, "no write failed", failed[:3])
    lost = [i for i, v in known.items() if ids(search(c, "mv", vector=v, k=1, filter={"must": [{"key": "n", "match": {"value": i}}]})) != [i]]
    tap.ok(not lost and len(known) > 4, f"all of {len(known)} items written meanwhile are found", lost[:10])
    total = c.json("GET", ROOT + "mv")[1]["items"]
    rows = int(psql(f"SET search_path = {schema(c)}; SELECT count(*) FROM {tables(c)[-1]}"))
    tap.same((rows, total), (5000 + len(known), 5000 + len(known)), "and no row too many or too few")


def schema(c):
    return c.env()["CROFT_DB_URL"].rsplit("search_path%3D", 1)[1]


def tables(c):
    text = psql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'derived\\_pgv\\_%' AND relnamespace = "
                f"'{schema(c)}'::regnamespace ORDER BY oid")
    return text.split()


def killed():
    """kill -9 while a collection is being moved: it is as it was, and moving it again works."""
    with Croft() as c:
        make(c, "k", 16, "embedded")
        put(c, "k", [{"id": i, "vector": vector(16), "payload": {"n": i}} for i in range(8000)])
        v = vector(16)
        before = ids(search(c, "k", vector=v, k=20, exact=True))
        mover = threading.Thread(target=lambda: c.cli("collections", "move", "k", "--backend", "pgvector"))
        mover.start()
        until(10, lambda: tables(c) and int(psql(f"SELECT count(*) FROM {schema(c)}.{tables(c)[0]}") or 0) > 500)
        c.kill()
        mover.join()
        c.start()
        tap.same(c.json("GET", ROOT + "k")[1]["backend"], "embedded", "killed while it moved, it is where it was")
        tap.same(ids(search(c, "k", vector=v, k=20, exact=True)), before, "with all its items")
        put(c, "k", [{"id": 9000, "vector": v}])
        code, out, err = c.cli("collections", "move", "k", "--backend", "pgvector")
        tap.ok(code == 0, "moving goes on", out + err)
        tap.same(ids(search(c, "k", vector=v, k=20, exact=True)), [9000] + before[:19], "and finds the same, and what came between")
        backup = os.path.join(tempfile.mkdtemp(), "b.tar")
        code, _, err = c.cli("backup", backup)
        tap.ok(code == 0 and b"derived_pgv" not in open(backup, "rb").read(), "a backup has no derived table", err)
        c.sql(f"DROP TABLE {tables(c)[0]}")
        c.stop()
        c.start()
        tap.same(ids(search(c, "k", vector=v, k=20, exact=True)), [9000] + before[:19], "a table that is missing, as after a restore, is filled again")
        c.json("DELETE", ROOT + "k")
        tap.ok(until(20, lambda: not tables(c)), "a deleted collection leaves no table", tables(c))


refused()
with Croft() as c:
    limits(c)
    distances(c)
    filters(c)
    graph(c)
    moving(c)
busy()
killed()
tap.done()
