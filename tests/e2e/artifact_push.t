#!/usr/bin/env python3
"""croft artifact push, pull and gc: with and without a server, on files and on an S3 server that
fails one request in five; what one project has, another learns nothing of."""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, Croft, Tap  # noqa: E402

tap = Tap()
rnd = random.Random(7)
work = tempfile.mkdtemp(prefix="croft-push-")


def noise(n, seed):
    return random.Random(seed).randbytes(n)


def folder(name, **files):
    top = os.path.join(work, name)
    for path, data in files.items():
        path = os.path.join(top, path.replace("__", "/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    return top


def same(a, b):
    return subprocess.run(["diff", "-r", a, b], capture_output=True).returncode == 0


def push(c, *args):
    code, out, err = c.cli("artifact", "push", *args, "--json")
    if code:
        raise RuntimeError(f"push {args}: {err}")
    return json.loads(out)


def blobs(c):
    top = os.path.join(c.home, "blobs")
    return sum(len(f) for d, _, f in os.walk(top) if not d.endswith("/tmp"))


def frame(data, claimed=None):
    return hashlib.sha256(claimed or data).digest() + struct.pack("<I", len(data)) + data


big = noise(11_000_000, 1)
one = folder("one", model__weights=big, **{"config.json": b"{}", "empty": b""})
two = folder("two", model__weights=big[:5_000_000] + b"inserted" + big[5_000_000:],
             **{"config.json": b"{}", "new.txt": b"new"})


def without_a_server(c):
    v = push(c, one, "model/m", "--alias", "prod", "--description", "first")
    tap.ok(v["version"] == 1 and len(v["digest"]) == 64, "push without a server", v)
    n = blobs(c)
    tap.same(push(c, one, "model/m")["version"], 1, "the same files make no new version")
    tap.same(blobs(c), n, "and store nothing")
    out = os.path.join(work, "out1")
    code, text, err = c.cli("artifact", "pull", "model/m@prod", out)
    tap.ok(code == 0 and same(one, out), "pull without a server gives the same files", err)
    code, _, err = c.cli("artifact", "pull", "model/m", out)
    tap.ok(code == 5 and "not empty" in err, "a pull does not write into a folder with files", err)
    code, _, err = c.cli("artifact", "push", one, "m2")
    tap.ok(code == 2 and "say the kind" in err, "a new artifact needs a kind", err)
    return v["digest"]


def with_a_server(c, first):
    tap.same(push(c, one, "m")["version"], 1, "the server finds it unchanged; the kind is known")
    code, text, err = c.cli("artifact", "push", two, "model/m")
    tap.ok(code == 0 and " sent" in text, "push through the server", err)
    sent = text.split(", ")[-1].split(" sent")[0]
    tap.ok(sent.endswith("kB") or float(sent.split()[0]) < 4.5, "little of the changed file is sent",
           text)
    out = os.path.join(work, "out2")
    code, text, err = c.cli("artifact", "pull", "model/m", out)
    tap.ok(code == 0 and same(two, out), "pull through the server gives the same files", err)
    code, text, err = c.cli("artifact", "diff", "m:1", "m:2")
    tap.ok(code == 0 and "+ new.txt" in text and "- empty" in text and "~ model/weights" in text
           and "1 file is the same" in text, "diff says which files changed", text + err)
    status, tree = c.json("GET", f"/api/v1/trees/{first}")
    names = [f["path"] for f in tree["files"]]
    tap.same(names, ["config.json", "empty", "model/weights"], "the tree lists its files")
    tap.same(tree["files"][2]["sha256"], hashlib.sha256(big).hexdigest(), "with their SHA-256")
    raw = c.get(f"/api/v1/trees/{first}")[1]
    tap.same(hashlib.sha256(raw).hexdigest(), first, "and its own bytes have the digest")
    at = f"/api/v1/trees/{first}/files/model/weights"
    tap.ok(c.get(at)[1] == big, "a file is served")
    tap.ok(c.get(at + "?offset=4999990&length=3000000")[1] == big[4999990:7999990],
           "and a part of it")
    tap.same(c.get(f"/api/v1/trees/{first}/files/../../etc/passwd")[0] in (400, 404), True,
             "and nothing else")
    for path in ("/api/v1/trees/add", f"/api/v1/trees/{first}/extract"):
        status, r = c.json("POST", path, {"path": "/etc", "dir": "/tmp/x"})
        tap.same(status, 403, f"{path.split('/')[-1]}: no paths of the machine over HTTP")


def uploads_are_checked(c):
    post = "/api/v1/trees/chunks"
    good = b"a chunk of text"
    bad = [(frame(good, b"another"), 422), (b"", 400), (b"x" * 35, 400), (frame(good)[:-1], 400),
           (frame(b""), 400), (frame(good) + b"x", 400),
           (hashlib.sha256(b"").digest() + struct.pack("<I", 0xffffffff) + good, 400)]
    tap.same([c.request("POST", post, body)[0] for body, _ in bad], [s for _, s in bad],
             "wrong uploads are refused")
    hexes = [hashlib.sha256(good).hexdigest(), hashlib.sha256(b"other").hexdigest()]
    tap.same(c.json("POST", post + "/missing", {"ids": hexes})[1]["missing"], hexes,
             "and leave nothing")
    tap.same(c.json("POST", post, frame(good))[1], {"stored": 1}, "a right one is taken")
    tap.same(c.json("POST", post + "/missing", {"ids": hexes})[1]["missing"], hexes[1:],
             "and need not be sent again")

    def tree(*files):
        return json.dumps({"croft": "tree/1", "files": list(files)},
                          separators=(",", ":")).encode()
    entry = {"path": "a", "sha256": hexes[0], "size": len(good)}
    status, r = c.json("POST", "/api/v1/trees", tree(entry))
    tap.ok(status == 201 and r["files"] == 1, "a tree of uploaded chunks is committed", r)
    status, r = c.json("POST", "/api/v1/trees", tree(dict(entry, sha256=hexes[1], size=5)))
    tap.ok(status == 409 and hexes[1][:16] in r["error"]["message"],
           "one with a chunk that was not uploaded is not", r)
    wrong = [tree(dict(entry, path=p)) for p in ("../a", "/a", "a//b", "a/./b", "", "a\n")]
    wrong += [tree(entry, entry), tree(entry)[:-1], tree(entry) + b" ",
              json.dumps({"croft": "tree/1", "files": [entry]}).encode(),
              tree(dict(entry, size=len(good) + 1))]
    tap.same({c.request("POST", "/api/v1/trees", w)[0] for w in wrong} <= {400, 409, 422}, True,
             "wrong trees are refused")


def projects_are_apart(c, first):
    head = {"x-croft-project": "other"}
    status, r = c.json("POST", "/api/v1/projects", {"name": "other"})
    if status not in (200, 201):
        tap.note(f"projects cannot be made here: {status} {r}")
        return
    chunk = hashlib.sha256(b"{}").hexdigest()
    ask = {"ids": [chunk]}
    tap.same(c.json("POST", "/api/v1/trees/chunks/missing", ask)[1]["missing"], [],
             "the own project has the chunk")
    tap.same(c.json("POST", "/api/v1/trees/chunks/missing", ask, headers=head)[1]["missing"],
             [chunk], "another project is told to upload it")
    tap.same(c.json("POST", "/api/v1/trees/chunks/read", ask, headers=head)[0], 404,
             "and cannot read it by its hash")
    tap.same([c.get(f"/api/v1/trees/{first}{rest}", headers=head)[0]
              for rest in ("", "/files/config.json")], [404, 404], "nor the tree, nor its files")
    body = c.get(f"/api/v1/trees/{first}")[1]
    tap.same(c.json("POST", "/api/v1/trees", body, headers=head)[0], 409,
             "nor make the tree its own without its chunks")
    tap.same(c.json("POST", "/api/v1/artifacts/model/stolen/versions", {"digest": first},
                    headers=head)[0] in (200, 201), True, "a version may say any digest")
    tap.same(c.get(f"/api/v1/trees/{first}", headers=head)[0], 404, "and still reads nothing")


def age(c, hours):
    """Everything in the store and its rows becomes older."""
    old = time.time() - hours * 3600
    for d, _, files in os.walk(os.path.join(c.home, "blobs")):
        for f in files:
            os.utime(os.path.join(d, f), (old, old))
    ms = int(hours * 3600_000)
    c.sql(f"UPDATE tree SET created_ms = created_ms - {ms}",
          f"UPDATE tree_chunk SET added_ms = added_ms - {ms}",
          f"UPDATE artifact_version SET updated_ms = updated_ms - {ms}",
          f"UPDATE artifact SET updated_ms = updated_ms - {ms}")


def collection(c):
    status, r = c.json("POST", "/api/v1/trees/gc", {"grace": "10m"})
    tap.same(status, 400, "a grace below an hour is refused")
    before = blobs(c)
    tap.same(c.json("POST", "/api/v1/trees/gc")[1]["blobs"], 0, "what is young stays")
    c.request("DELETE", "/api/v1/artifacts/model/m/versions/2")
    loose = c.json("POST", "/api/v1/trees/chunks", frame(b"never committed"))
    tap.same(loose[0], 200, "a chunk that no tree will have")
    c.stop()
    age(c, 50)
    c.start()
    dry = c.json("POST", "/api/v1/trees/gc", {"dry_run": True})[1]
    tap.ok(dry["blobs"] > 2 and blobs(c) == before + 1, "a dry run says what would go", dry)
    r = c.json("POST", "/api/v1/trees/gc")[1]
    tap.same((r["blobs"], r["bytes"], r["trees"]), (dry["blobs"], dry["bytes"], dry["trees"]),
             "and exactly that goes")
    tap.same(blobs(c), before + 1 - r["blobs"], "from the store")
    out = os.path.join(work, "out3")
    code, _, err = c.cli("artifact", "pull", "model/m:1", out)
    tap.ok(code == 0 and same(one, out), "what a version names is whole", err)
    code, _, err = c.cli("artifact", "push", two, "model/m")
    out = os.path.join(work, "out4")
    code, _, err = c.cli("artifact", "pull", "model/m", out)
    tap.ok(code == 0 and same(two, out), "what was collected can be pushed again", err)


def rules_bind(c):
    """What a rule keeps from somebody is not to be had by its digest either, nor by its chunks."""
    def croft(*args, input=None):
        code, out, err = c.cli(*args, input=input)
        tap.ok(code == 0, "croft " + " ".join(args[:2]), err)
        return out
    folders = {}
    for name in ("open", "secret"):
        folders[name] = os.path.join(work, "rules-" + name)
        os.makedirs(folders[name])
        with open(os.path.join(folders[name], "data.txt"), "w") as f:
            f.write(f"the {name} rows\n" * 50)
    croft("user", "add", "ada", "--admin", "--password", input="correct horse\n")
    croft("user", "add", "eve", "--service")
    croft("role", "set", "narrow", "--permissions", "artifact.read,artifact.write", "--rules",
          "deny artifact.read where name = 'secret'")
    croft("member", "set", "eve", "narrow", "--project", "default")
    head = {"authorization": "Bearer " + croft("key", "add", "--user", "eve").strip()}
    digest = {n: json.loads(croft("artifact", "push", folders[n], "dataset/" + n, "--json"))["digest"]
              for n in folders}
    text = {n: open(os.path.join(folders[n], "data.txt"), "rb").read() for n in folders}
    chunk = {n: hashlib.sha256(text[n]).hexdigest() for n in folders}
    c.start()

    def status(method, path, body=None):
        return c.request(method, path, body, headers=head)[0]

    for name, good in (("open", True), ("secret", False)):
        tree = "/api/v1/trees/" + digest[name]
        other = "/api/v1/trees/" + digest["open"]
        got = [c.get(p, headers=head) for p in (
            f"/api/v1/artifacts/dataset/{name}", f"/api/v1/artifacts/dataset/{name}/versions/1",
            f"/api/v1/artifacts/resolve?ref=dataset/{name}", f"/api/v1/artifacts/dataset/{name}/versions/1/card",
            tree, tree + "/files/data.txt", tree + "/diff/" + digest["open"], other + "/diff/" + digest[name])]
        tap.ok(all((g[0] == 200) == good for g in got), f"{name}: {'read' if good else 'refused'} by every path",
               [g[0] for g in got])
        tap.ok(good or not any(text[name][:12] in g[1] or chunk[name].encode() in g[1] for g in got),
               "and nothing of it is in the answers")
        read = {"ids": [chunk[name]]}
        tap.same(status("POST", "/api/v1/trees/chunks/read", {**read, "tree": digest[name]}),
                 200 if good else 404, "its chunks, named by their tree")
        tap.same(status("POST", "/api/v1/trees/chunks/read", {**read, "tree": digest["open"]}),
                 200 if good else 404, "or by another one")
        tap.same(status("POST", "/api/v1/trees/chunks/read", read), 400, "or by none")
    listed = c.json("GET", "/api/v1/artifacts?kind=dataset", headers=head)[1]["artifacts"]
    tap.same([a["name"] for a in listed], ["open"], "it is in no list")
    tap.same(status("POST", "/api/v1/artifacts/dataset/mine/versions", {"digest": digest["secret"]}), 404,
             "no version of one's own can name it")
    theirs = json.dumps({"croft": "tree/1", "files": [
        {"path": "x", "sha256": chunk["secret"], "size": len(text["secret"])}]}, separators=(",", ":")).encode()
    tap.same(c.json("POST", "/api/v1/trees", theirs, headers=head)[0], 409, "no tree of one's own can name its chunks")
    tap.same(c.json("POST", "/api/v1/trees/chunks/missing", {"ids": [chunk["secret"]]}, headers=head)[1]["missing"],
             [chunk["secret"]], "and it is not told that they are there")
    tap.same(c.json("POST", "/api/v1/trees/chunks", frame(text["secret"]), headers=head)[0], 200,
             "whoever has the bytes may send them")
    got = c.json("POST", "/api/v1/trees", theirs, headers=head)
    tap.same(got[0], 201, "and then name them")
    tap.same(c.get(f"/api/v1/trees/{got[1]['digest']}/files/x", headers=head), (200, text["secret"]),
             "and read what was its own all along")
    key = {"CROFT_KEY": head["authorization"][7:], "CROFT_URL": c.base}
    out = os.path.join(work, "rules-out")
    p = subprocess.run([BINARY, "artifact", "pull", "dataset/open", out], env={**c.env(), **key},
                       capture_output=True, text=True)
    tap.ok(p.returncode == 0 and same(folders["open"], out), "a pull works within the rules", p.stderr)


try:
    c = Croft(settings={"log.level": "warn"}, ready=False)
    try:
        rules_bind(c)
    finally:
        c.remove()
    c = Croft(settings={"log.level": "warn"}, ready=False)
    try:
        digest = without_a_server(c)
        c.start()
        with_a_server(c, digest)
        uploads_are_checked(c)
        projects_are_apart(c, digest)
        collection(c)
    finally:
        c.remove()
finally:
    shutil.rmtree(work, ignore_errors=True)
tap.done()
