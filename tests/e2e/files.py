import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import Croft, Tap  # noqa: E402

import openai  # noqa: E402

tap = Tap()


def memory(c):
    with open(f"/proc/{c.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) // 1024


def one(client):
    data = b'{"a": 1}\n\x00\xff\r\n--x'
    f = client.files.create(file=("in.jsonl", data), purpose="batch")
    tap.ok(f.id.startswith("file-") and f.object == "file" and f.bytes == len(data) and f.filename == "in.jsonl"
           and f.purpose == "batch" and f.status == "processed" and f.expires_at is None
           and abs(f.created_at - time.time()) < 60, "created", f)
    tap.same(client.files.retrieve(f.id), f, "shown")
    tap.same(client.files.content(f.id).read(), data, "its bytes")
    empty = client.files.create(file=("empty", b""), purpose="user_data")
    tap.same((empty.bytes, client.files.content(empty.id).read()), (0, b""), "an empty one")
    late = client.files.create(file=("late", b"x"), purpose="user_data",
                               expires_after={"anchor": "created_at", "seconds": 3600})
    tap.same(late.expires_at - late.created_at, 3600, "expires_after")
    return f, empty, late


def lists(client, made):
    ids = [f.id for f in made]
    tap.same([f.id for f in client.files.list()], ids[::-1], "the newest first")
    tap.same([f.id for f in client.files.list(order="asc", limit=1)], ids, "pages of one, the oldest first")
    tap.same([f.id for f in client.files.list(limit=2)], ids[::-1], "pages of two")
    tap.same([f.id for f in client.files.list(purpose="batch")], ids[:1], "by purpose")
    page = client.files.list(limit=2)
    tap.ok(page.has_more is True and client.files.list(limit=3).has_more is False, "has_more", page)


def wrong(c, client):
    for more in ({"purpose": "sundry"}, {"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 1}},
                 {"purpose": "batch", "expires_after": {"anchor": "noon", "seconds": 3600}}):
        tap.raises(openai.BadRequestError, lambda m=more: client.files.create(file=("a", b"a"), **m), f"refused: {more}")
    for bad in ("file-1", "file-" + "0" * 32, "x"):
        tap.raises(openai.NotFoundError, lambda b=bad: client.files.retrieve(b), f"not found: {bad}")
    for query in ("limit=0", "limit=x", "order=up", "after=x"):
        got = c.json("GET", "/v1/files?" + query)
        tap.same((got[0], got[1]["error"]["param"]), (400, query.split("=")[0]), f"refused: {query}")
    tap.same(c.json("POST", "/v1/files", {"purpose": "batch"})[0], 400, "a body that is no form")


def projects(c, client, f):
    c.json("POST", "/api/v1/projects", {"name": "other"})
    other = openai.OpenAI(base_url=c.base + "/p/other/v1", api_key="test-key", max_retries=0)
    tap.same(list(other.files.list()), [], "another project sees none")
    for what in (other.files.retrieve, other.files.content, other.files.delete):
        tap.raises(openai.NotFoundError, lambda w=what: w(f.id), f"nor by its id: {what.__name__}")


def large(c, client):
    size = 150 << 20
    path = os.path.join(c.home, "large")
    block = os.urandom(1 << 20)
    with open(path, "wb") as f:
        for _ in range(150):
            f.write(block)
    before = memory(c)
    with open(path, "rb") as f:
        made = client.files.create(file=f, purpose="user_data")
    got = 0
    with client.files.with_streaming_response.content(made.id) as r:
        for piece in r.iter_bytes(1 << 20):
            got += len(piece)
    tap.same((made.bytes, got), (size, size), "150 MiB there and back")
    grown = memory(c) - before
    tap.ok(grown < 40, "in bounded memory", f"grown by {grown} MiB")
    os.unlink(path)
    return made


with Croft(key="test-key") as c:
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=120)
    made = one(client)
    lists(client, made)
    wrong(c, client)
    projects(c, client, made[0])
    big = large(c, client)
    c.kill()
    c.start()
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=120)
    tap.same(client.files.content(made[0].id).read()[:8], b'{"a": 1}', "what was acknowledged is there after a kill")
    tap.same(client.files.delete(big.id).deleted, True, "deleted")
    tap.raises(openai.NotFoundError, lambda: client.files.content(big.id), "and gone")
    c.sql("UPDATE api_file SET expires_ms = 5 WHERE name = 'late'")
    tap.raises(openai.NotFoundError, lambda: client.files.retrieve(made[2].id), "an expired one is gone")
    tap.same([f.id for f in client.files.list()], [made[1].id, made[0].id], "from the list too")
    nobody = openai.OpenAI(base_url=c.base + "/v1", api_key="wrong", max_retries=0)
    tap.raises(openai.AuthenticationError, lambda: nobody.files.list(), "not without a key")
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
