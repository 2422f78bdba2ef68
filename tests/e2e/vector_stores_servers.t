#!/usr/bin/env python3
"""Two servers on one PostgreSQL database: what is added to a vector store through one is found
through the other, what is taken out is not from that moment on, and when one is killed with files
in progress the other goes on with them."""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()


def upload(c, name, text):
    body = (f'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--x\r\ncontent-disposition: '
            f'form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--x--\r\n').encode()
    return json.loads(c.request("POST", "/v1/files", body, headers={"content-type": "multipart/form-data; boundary=x"})[1])["id"]


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def found(c, vs, query, **more):
    status, page = c.json("POST", f"/v1/vector_stores/{vs}/search", {"query": query, "max_num_results": 50, **more})
    return {d["file_id"] for d in page["data"]} if status == 200 else status


def completed(c, vs):
    v = c.json("GET", "/v1/vector_stores/" + vs)[1]
    return v["file_counts"]["completed"] if v["status"] != "in_progress" else -1


def run(a, b):
    vs = a.json("POST", "/v1/vector_stores", {"name": "shared"})[1]["id"]
    ids = [upload(a, f"f{i}.txt", f"Gate {i} opens at dawn.") for i in range(3)]
    batch = a.json("POST", f"/v1/vector_stores/{vs}/file_batches", {"file_ids": ids, "attributes": {"side": "north"}})[1]
    tap.ok(until(20, lambda: completed(b, vs) == 3), "added through A, completed through B", batch)
    tap.ok(until(5, lambda: found(b, vs, "gate") == set(ids)), "and found through B", found(b, vs, "gate"))
    a.json("POST", f"/v1/vector_stores/{vs}/files/{ids[0]}", {"attributes": {"side": "south"}})
    south = {"type": "eq", "key": "side", "value": "south"}
    north = {"type": "eq", "key": "side", "value": "north"}
    tap.same(ids[0] in found(b, vs, "gate", filters=north), False, "an attribute that was changed through A: not as before")
    tap.ok(until(5, lambda: found(b, vs, "gate", filters=south) == {ids[0]}), "and soon as it is now")
    a.json("DELETE", f"/v1/vector_stores/{vs}/files/{ids[1]}")
    tap.same(ids[1] in found(b, vs, "gate"), False, "taken out through A: not found through B from then on")
    a.json("DELETE", f"/v1/files/{ids[2]}")
    tap.same(ids[2] in found(b, vs, "gate"), False, "nor a file that is deleted")

    many = [upload(a, f"m{i}.txt", f"Meadow {i} has {i * 31} flowers. " * 70) for i in range(10)]
    big = a.json("POST", "/v1/vector_stores", {"file_ids": many})[1]["id"]
    time.sleep(0.2)
    a.kill()
    tap.ok(until(40, lambda: completed(b, big) == 10), "A is killed: B completes all files")
    tap.same(found(b, big, "meadow"), set(many), "and finds them")
    b.json("DELETE", "/v1/vector_stores/" + big)
    a.start()
    tap.same(found(a, big, "meadow"), 404, "a store that B deleted is gone for A")
    tap.same(a.json("GET", f"/api/v1/documents?collection={big}")[1]["total"], 0, "with its documents")


blobs = tempfile.mkdtemp(prefix="croft-blobs-")
with postgres.Pg() as pg:
    both = [Croft(models=True, settings={"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}) for _ in range(2)]
    try:
        for c in both:
            c.start()
        run(*both)
    finally:
        for c in both:
            c.remove()
tap.done()
