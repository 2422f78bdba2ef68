import hashlib
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import Croft, Tap  # noqa: E402

import openai  # noqa: E402

tap = Tap()


def connect(c, path="/v1"):
    return openai.OpenAI(base_url=c.base + path, api_key="test-key", max_retries=0, timeout=120)


def begin(client, size, **more):
    return client.uploads.create(bytes=size, filename="in.jsonl", mime_type="application/jsonl", purpose="batch", **more)


def chunked(c, client):
    data = os.urandom(9 << 20)
    path = os.path.join(c.home, "large.bin")
    with open(path, "wb") as f:
        f.write(data)
    done = client.uploads.upload_file_chunked(file=path, mime_type="application/octet-stream", purpose="user_data",
                                              part_size=2 << 20, md5=hashlib.md5(data).hexdigest())
    tap.ok(done.status == "completed" and done.file.bytes == len(data) and done.file.filename == "large.bin"
           and done.object == "upload" and done.expires_at - done.created_at == 3600, "upload_file_chunked", done)
    tap.ok(client.files.content(done.file.id).read() == data, "its bytes")
    tap.same(client.files.retrieve(done.file.id), done.file, "is a file like any other")
    return data


def by_hand(client):
    u = begin(client, 6, expires_after={"anchor": "created_at", "seconds": 7200})
    tap.ok(u.status == "pending" and u.file is None and u.bytes == 6 and u.id.startswith("upload_"), "pending", u)
    second = client.uploads.parts.create(u.id, data=b"def")
    first = client.uploads.parts.create(u.id, data=b"abc")
    client.uploads.parts.create(u.id, data=b"a part that nobody lists")
    tap.ok(first.object == "upload.part" and first.upload_id == u.id and first.id.startswith("part_"), "a part", first)
    tap.same(list(client.files.list(purpose="batch")), [], "nothing is visible before the end")
    ids = [first.id, second.id]
    for bad, why in (({"part_ids": ids[:1]}, "too few bytes"), ({"part_ids": ids + ids[:1]}, "one twice"),
                     ({"part_ids": ["part_" + "0" * 32]}, "an unknown part"), ({"part_ids": []}, "none"),
                     ({"part_ids": ids, "md5": "0" * 32}, "another md5"), ({"part_ids": ids, "md5": "x"}, "no md5")):
        tap.raises(openai.BadRequestError, lambda b=bad: client.uploads.complete(u.id, **b), f"refused: {why}")
    done = client.uploads.complete(u.id, part_ids=ids, md5=hashlib.md5(b"abcdef").hexdigest())
    tap.same(client.files.content(done.file.id).read(), b"abcdef", "in the order of the list")
    tap.same(done.file.expires_at - done.file.created_at, 7200, "expires_after")
    tap.same(client.uploads.complete(u.id, part_ids=ids), done, "completing again gives the same file")
    tap.raises(openai.BadRequestError, lambda: client.uploads.parts.create(u.id, data=b"x"), "no part after the end")
    tap.raises(openai.BadRequestError, lambda: client.uploads.cancel(u.id), "no cancel either")
    return done


def at_once(client):
    u = begin(client, 3)
    p = client.uploads.parts.create(u.id, data=b"one")
    got = []
    threads = [threading.Thread(target=lambda: got.append(client.uploads.complete(u.id, part_ids=[p.id]).file.id))
               for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tap.ok(len(got) == 6 and len(set(got)) == 1, "completed six times at once: one file", got)


def ends(c, client):
    u = begin(client, 3)
    p = client.uploads.parts.create(u.id, data=b"abc")
    tap.same(client.uploads.cancel(u.id).status, "cancelled", "cancelled")
    tap.raises(openai.BadRequestError, lambda: client.uploads.complete(u.id, part_ids=[p.id]), "and over")
    u = begin(client, 3)
    p = client.uploads.parts.create(u.id, data=b"abc")
    c.sql("UPDATE api_upload SET expires_ms = 5 WHERE status = 'pending'")
    e = tap.raises(openai.BadRequestError, lambda: client.uploads.complete(u.id, part_ids=[p.id]), "expired")
    tap.ok("expired" in str(e), "and it says so", e)
    begin(client, 1)
    c.sql("UPDATE api_upload SET expires_ms = 5 WHERE status = 'pending'")


def wrong(c, client):
    good = {"bytes": 3, "filename": "a", "mime_type": "text/plain", "purpose": "batch"}
    for more, param in (({"bytes": 0}, "bytes"), ({"bytes": (8 << 30) + 1}, "bytes"), ({"bytes": None}, "bytes"),
                        ({"filename": ""}, "filename"), ({"mime_type": None}, "mime_type"), ({"purpose": "x"}, "purpose"),
                        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after")):
        status, got = c.json("POST", "/v1/uploads", {**good, **more})
        tap.same((status, got["error"]["param"]), (400, param), f"refused: {more}")
    for bad in ("upload_1", "upload_" + "0" * 32, "x"):
        tap.raises(openai.NotFoundError, lambda b=bad: client.uploads.parts.create(b, data=b"a"), f"not found: {bad}")
    u = begin(client, 100 << 20)
    tap.raises(openai.APIStatusError, lambda: client.uploads.parts.create(u.id, data=b"x" * ((64 << 20) + 1)),
               "a part over 64 MiB")
    tap.raises(openai.BadRequestError, lambda: client.uploads.parts.create(u.id, data=b""), "an empty part")
    c.json("POST", "/api/v1/projects", {"name": "other"})
    tap.raises(openai.NotFoundError, lambda: connect(c, "/p/other/v1").uploads.parts.create(u.id, data=b"x"),
               "another project's is not there")


with Croft(key="test-key") as c:
    client = connect(c)
    chunked(c, client)
    done = by_hand(client)
    at_once(client)
    ends(c, client)
    wrong(c, client)
    half = begin(client, 6)
    one = client.uploads.parts.create(half.id, data=b"abc")
    c.kill()
    c.start()
    client = connect(c)
    two = client.uploads.parts.create(half.id, data=b"def")
    whole = client.uploads.complete(half.id, part_ids=[one.id, two.id])
    tap.same(client.files.content(whole.file.id).read(), b"abcdef", "parts outlive a kill")
    tap.same(client.files.content(done.file.id).read(), b"abcdef", "and so does what was complete")
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
