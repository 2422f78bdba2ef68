#!/usr/bin/env python3
"""Collections from and to files: Parquet of pyarrow's (golden files) and of our own there and back, .npy, .fvecs, .fbin; what
does not fit is refused by its name. With pyarrow at hand (CROFT_PYARROW=python) it reads what was written."""
import json
import os
import random
import struct
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import ROOT, Croft, Tap

tap = Tap()
random.seed(2)
GOLDEN = os.path.join(ROOT, "tests/golden/parquet")
ROWS = json.load(open(os.path.join(GOLDEN, "rows.json")))


def items(c, name):
    out, at = [], ""
    while at is not None:
        page = c.json("GET", f"/api/v1/collections/{name}/items?limit=1000&vectors=true" + (f"&from={urllib.parse.quote(str(at))}" if at != "" else ""))[1]
        out += page["items"]
        at = page["next"]
    return out


def golden(c):
    columns = ROWS["columns"]
    for file in ROWS["files"]:
        path = os.path.join(GOLDEN, file + ".parquet")
        rc, said, err = c.cli("collections", "import", file, path, "--create", "--id-column", "u32", "--vector-column", "fixed")
        tap.ok(rc == 0 and "37 items" in said, f"{file} is imported", said + err)
        got = {i["id"]: i for i in items(c, file)}
        bad = []
        for row in ROWS["rows"]:
            r = dict(zip(columns, row))
            want = {k: v for k, v in r.items() if k not in ("u32", "fixed") and v is not None}
            i = got.get(r["u32"])
            n = sum(x * x for x in r["fixed"]) ** 0.5 or 1
            if not i or i["payload"] != want or len(i["vector"]) != 2:
                bad.append((r["u32"], i, want))
        tap.same(bad, [], "value by value")
    path = os.path.join(GOLDEN, ROWS["files"][0] + ".parquet")
    rc, said, err = c.cli("collections", "import", "numbered", path, "--create", "--vector-column", "fixed", "--first", "100",
                          "--id-column", "nothing")
    tap.ok(rc == 2 and "nothing" in err and "u32" in err, "a column that is not there is named, with those that are", err)
    rc, said, err = c.cli("collections", "import", "numbered", path, "--create", "--vector-column", "name")
    tap.ok(rc == 2 and "name" in err, "a column without numbers is no vector", err)
    rc, said, err = c.cli("collections", "import", "numbered", path, "--create", "--vector-column", "fixed")
    tap.ok(rc == 2 and "negative" in err, "ids are not negative", err)
    for file, code, word in (("lists-of-lists", 7, "lists of lists"),):
        rc, said, err = c.cli("collections", "import", "x", os.path.join(GOLDEN, file + ".parquet"), "--create")
        tap.ok(rc == code and word in err, f"{file} is refused", err)
    rc, said, err = c.cli("collections", "import", "x", os.path.join(GOLDEN, "lists-of-lists.parquet"), "--leave-out", "a")
    tap.ok(rc == 4 and "no collection x" in err, "a column can be left out", said + err)
    rc, said, err = c.cli("collections", "import", "x", path, "--leave-out", "none")
    tap.ok(rc == 2 and "no column none" in err, "of those that are there", err)
    cut = os.path.join(c.home, "cut.parquet")
    with open(path, "rb") as a, open(cut, "wb") as b:
        b.write(a.read()[:3000])
    rc, said, err = c.cli("collections", "import", "x", cut)
    tap.ok(rc == 8 and "not written to the end" in err, "a file that was cut off", err)


def there_and_back(c):
    c.json("PUT", "/api/v1/collections/many", {"vectors": {"title": {"size": 3, "distance": "Euclid"},
                                                           "body": {"size": 4, "distance": "Euclid"}}})
    put = []
    for i in range(2500):
        v = {"title": [round(random.uniform(-1, 1), 3) for _ in range(3)]}
        if i % 3:
            v["body"] = [round(random.uniform(-1, 1), 3) for _ in range(4)]
        put.append({"id": i if i % 2 else f"item {i:05}", "vector": v, "payload": {
            "text": f"text {i} ä", "n": i, "real": i / 8 if i % 4 else i, "yes": i % 2 == 0, "id": f"own {i}",
            **({"nested": {"a": [i]}} if i % 5 == 0 else {}), "mixed": i if i % 3 else "three", "tags": ["a", "b"][:i % 3]}})
    for at in range(0, len(put), 500):
        status, r = c.json("PUT", "/api/v1/collections/many/items", {"items": put[at:at + 500]})
        assert status == 200, r
    path = os.path.join(c.home, "many.parquet")
    rc, said, err = c.cli("collections", "export", "many", "--vectors", "--out", path)
    tap.ok(rc == 0 and "2500 items" in said and not os.path.exists(path + ".part"), "exported", said + err)
    c.json("PUT", "/api/v1/collections/back", {"vectors": {"title": {"size": 3, "distance": "Euclid"},
                                                           "body": {"size": 4, "distance": "Euclid"}}})
    rc, said, err = c.cli("collections", "import", "back", path)
    tap.ok(rc == 0, "imported", said + err)
    before, after = items(c, "many"), items(c, "back")
    tap.same(sorted(str(i["id"]) for i in after), sorted(str(i["id"]) for i in before), "each item is back")
    by_id = {str(i["id"]): i for i in after}
    bad = [(i, by_id[str(i["id"])]) for i in before if by_id[str(i["id"])]["vector"] != i["vector"]
           or by_id[str(i["id"])]["payload"] != i["payload"]]
    tap.same(bad[:1], [], "with its vectors and its payload")
    lines = os.path.join(c.home, "many.jsonl")
    tap.same(c.cli("collections", "export", "many", "--vectors", "--out", lines)[0], 0, "JSON lines into a file")
    tap.same([json.loads(x) for x in open(lines)], before, "are the items")
    tap.same(c.cli("collections", "export", "many", "--vectors")[1], open(lines).read(), "as on standard output")
    # vectors alone
    want = [i["vector"]["body"] for i in before if "body" in i["vector"]]
    flat = struct.pack(f"<{4 * len(want)}f", *(x for v in want for x in v))
    npy, fbin, fvecs = (os.path.join(c.home, "v." + e) for e in ("npy", "fbin", "fvecs"))
    rc, said, err = c.cli("collections", "export", "many", "--out", npy, "--space", "body")
    tap.ok(rc == 0 and "834 items have no such vector" in err, "what has no vector is counted", err)
    data = open(npy, "rb").read()
    tap.ok(data[:8] == b"\x93NUMPY\x01\x00" and f"({len(want)}, 4)".encode() in data[:128] and data[127:128] == b"\n"
           and data[128:] == flat, ".npy")
    c.cli("collections", "export", "many", "--out", fbin, "--space", "body")
    tap.same(open(fbin, "rb").read(), struct.pack("<II", len(want), 4) + flat, ".fbin")
    c.cli("collections", "export", "many", "--out", fvecs, "--space", "body")
    tap.same(open(fvecs, "rb").read(), b"".join(struct.pack("<i4f", 4, *v) for v in want), ".fvecs")
    rc, said, err = c.cli("collections", "import", "npy", npy, "--create", "--distance", "Euclid")
    tap.same((rc, len(items(c, "npy"))), (0, len(want)), "which an import reads")
    tap.same(c.cli("collections", "export", "many", "--out", "x.csv")[0], 7, "another ending is refused")
    tap.same(c.cli("collections", "export", "many", "--out", npy, "--space", "none")[0], 4, "a space that there is not")
    tap.same(os.path.exists(npy + ".part"), False, "leaves nothing behind")
    python = os.environ.get("CROFT_PYARROW")
    if python:
        rows = [{**{k: v for k, v in i["payload"].items() if k not in ("id", "nested", "mixed", "tags")}, "id": str(i["id"]),
                 "payload.id": i["payload"]["id"], "nested": json.dumps(i["payload"]["nested"], separators=(",", ":")) if "nested" in i["payload"] else None,
                 "mixed": json.dumps(i["payload"]["mixed"]), "tags": json.dumps(i["payload"]["tags"], separators=(",", ":")),
                 "vector_title": [struct.unpack("f", struct.pack("f", x))[0] for x in i["vector"]["title"]],
                 "vector_body": [struct.unpack("f", struct.pack("f", x))[0] for x in i["vector"]["body"]] if "body" in i["vector"] else None}
                for i in before]
        with open(lines, "w") as f:
            json.dump(rows, f)
        p = subprocess.run([python, os.path.join(ROOT, "tools/oracle/parquet.py"), GOLDEN, path, lines], text=True, capture_output=True)
        tap.ok(p.returncode == 0, "pyarrow reads the same: " + p.stdout.strip(), p.stderr)


with Croft() as c:
    golden(c)
    there_and_back(c)
tap.done()
