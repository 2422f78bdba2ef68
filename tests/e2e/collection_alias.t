#!/usr/bin/env python3
"""Aliases of collections: other names, moved at one moment. Two servers on one PostgreSQL database
(one on SQLite) agree on them; under load no request sees a moment without one."""
import json
import os
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg as postgres
from croft_server import Croft, Tap

tap = Tap()
ALIASES = "/api/v1/collection-aliases"


def named(reply):
    return {x["name"]: x["collection"] for x in reply["aliases"]}


def make(c, name, ids):
    c.json("PUT", f"/api/v1/collections/{name}", {"vectors": {"size": 2, "distance": "Cosine"}})
    c.json("PUT", f"/api/v1/collections/{name}/items", {"items": [{"id": i, "vector": [1, i], "payload": {"of": name}} for i in ids]})


def whose(c, name):
    """Which collection answers under a name."""
    status, r = c.json("POST", f"/api/v1/collections/{name}/search", {"vector": [1, 1], "k": 1})
    return r["hits"][0]["payload"]["of"] if status == 200 else status


def basics(c):
    make(c, "old", [1, 2])
    make(c, "new", [3])
    status, r = c.json("PUT", f"{ALIASES}/live", {"collection": "old"})
    tap.ok(status == 200 and named(r) == {"live": "old"}, "an alias is made", (status, r))
    tap.same(whose(c, "live"), "old", "who asks for it gets the collection")
    status, r = c.json("GET", "/api/v1/collections/live")
    tap.ok(r["name"] == "old" and r["aliases"] == ["live"], "which says its own name and the alias", r)
    tap.same(c.json("PUT", "/api/v1/collections/live/items", {"items": [{"id": 9, "vector": [1, 0], "payload": {"of": "old"}}]})[0], 200, "what is written to it")
    tap.same(c.json("GET", "/api/v1/collections/old")[1]["items"], 3, "is in the collection")
    c.json("PUT", f"{ALIASES}/live", {"collection": "new"})
    tap.same(whose(c, "live"), "new", "it moves")
    for what, body, status, words in (
            ("a collection that is not there", ("PUT", "/x", {"collection": "none"}), 404, "no collection none"),
            ("the name of a collection", ("PUT", "/old", {"collection": "new"}), 409, "there is a collection old"),
            ("an alias of an alias", ("PUT", "/x", {"collection": "live"}), 400, "itself an alias, of new"),
            ("no collection", ("PUT", "/x", {}), 400, "collection"),
            ("a name that none can have", ("PUT", "/a%3Ab", {"collection": "new"}), 400, "name of a collection"),
            ("one that is not there, deleted", ("DELETE", "/none", None), 404, "no alias none"),
            ("a change of no kind", ("POST", "", {"changes": [{"set": "x", "delete": "y"}]}), 400, "change 0"),
            ("one of several that fails", ("POST", "", {"changes": [{"set": "x", "collection": "old"}, {"delete": "none"}]}), 404, "change 1 (none was made)"),
            ("no list", ("POST", "", {"changes": {}}), 400, "changes")):
        method, path, data = body
        got, r = c.json(method, ALIASES + path, data)
        tap.ok(got == status and words in json.dumps(r), f"{what}: {status}", (got, r))
    tap.same(named(c.json("GET", ALIASES)[1]), {"live": "new"}, "what fails changes nothing")
    status, r = c.json("PUT", "/api/v1/collections/live", {"vectors": {"size": 2, "distance": "Cosine"}})
    tap.ok(status == 409 and "alias" in json.dumps(r), "no collection is made under the name of an alias", r)
    status, r = c.json("DELETE", "/api/v1/collections/live")
    tap.ok(status == 409 and "new" in json.dumps(r), "nor deleted by it", r)
    status, r = c.json("POST", "/api/v1/collections/live/versions", {})
    tap.ok(status == 409 and "own name" in json.dumps(r), "versions go by the collection's own name", r)
    status, r = c.json("POST", ALIASES, {"changes": [{"rename": "live", "to": "best"}, {"set": "live", "collection": "old"}]})
    tap.same(named(r), {"best": "new", "live": "old"}, "several changes are one")
    tap.same(named(c.json("GET", ALIASES + "?collection=new")[1]), {"best": "new"}, "those of one collection")
    c.json("DELETE", "/api/v1/collections/new")
    tap.same(named(c.json("GET", ALIASES)[1]), {"live": "old"}, "they go with their collection")
    tap.same(whose(c, "best"), 404, "and stand for nothing")
    make(c, "new", [3])
    done = [(json.loads(e["detail"]) if isinstance(e["detail"], str) else e["detail"], e["subject"])
            for e in c.json("GET", "/api/v1/audit?action=collection.alias&limit=50")[1]["records"]]
    tap.ok(({"from": "old", "to": "new"}, "live") in done and ({"to": "new", "renamed": "live"}, "best") in done,
           "each change is in the audit log", done)
    code, out, err = c.cli("collections", "alias", "cli", "new")
    tap.ok(code == 0 and "cli -> new" in out, "the command makes one", out + err)
    code, out, err = c.cli("collections", "aliases", "new")
    tap.ok(code == 0 and "cli -> new" in out and "live" not in out, "and lists those of one", out + err)
    tap.ok(c.cli("collections", "alias", "cli", "--rm")[0] == 0 and "cli" not in c.cli("collections", "aliases")[1], "and deletes it")


def switching(a, b):
    """Moves it to and fro while both servers ask and write."""
    stop, odd, seen = threading.Event(), [], set()

    def ask(c):
        while not stop.is_set():
            got = whose(c, "live")
            seen.add(got)
            if got not in ("old", "new"):
                odd.append(got)

    threads = [threading.Thread(target=ask, args=(c,)) for c in (a, b) for _ in range(2)]
    for t in threads:
        t.start()
    for n in range(40):
        to = ("new", "old")[n % 2]
        a.json("PUT", f"{ALIASES}/live", {"collection": to})
        if whose(b, "live") != to:
            odd.append(f"the other server still has {whose(b, 'live')}, not {to}")
    stop.set()
    for t in threads:
        t.join()
    tap.ok(not odd and seen == {"old", "new"}, "no request fails while it moves, and a server that is asked later has it", (odd[:5], seen))
    winners = []

    def grab(c, to):
        winners.append((c.json("POST", ALIASES, {"changes": [{"rename": "token", "to": to}]})[0], to))

    a.json("PUT", f"{ALIASES}/token", {"collection": "old"})
    threads = [threading.Thread(target=grab, args=(c, f"won-{n}")) for n, c in enumerate((a, b) * 4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    won = [to for status, to in winners if status == 200]
    tap.ok(len(won) == 1 and won[0] in named(b.json("GET", ALIASES)[1]), "one of several who rename it at once does", winners)


def projects(c):
    c.json("POST", "/api/v1/projects", {"name": "other"})
    there = {"x-croft-project": "other"}
    tap.same(c.json("GET", ALIASES, headers=there)[1], {"aliases": []}, "another project does not see them")
    tap.same(c.json("POST", "/api/v1/collections/live/search", {"vector": [1, 1]}, headers=there)[0], 404, "nor what they stand for")


with Croft() as c:
    basics(c)
    projects(c)
    switching(c, c)
    c.kill()
    c.start()
    tap.ok(whose(c, "live") == "old", "it is there after kill -9")
if postgres.missing():
    tap.ok(True, f"two servers # SKIP {postgres.missing()}")
    tap.done()
with tempfile.TemporaryDirectory(prefix="croft-alias-") as folder, postgres.Pg() as pg:
    settings = {"db.url": pg.url("shared"), "blobs.url": f"file:{folder}"}
    with Croft(settings=settings) as a, Croft(settings=settings) as b:
        basics(a)
        switching(a, b)
tap.done()
