import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import Croft, Tap, on_postgres  # noqa: E402

import openai  # noqa: E402

tap = Tap()
BAD, GONE = openai.BadRequestError, openai.NotFoundError
TEXTS = {
    "lease.md": "# Leases\n\nThe notice period for tenants is three months. Notice is given in writing.\n",
    "dogs.txt": "Dogs are allowed in the garden. Cats stay indoors at night.\n",
    "boiler.html": "<html><body><h1>Heating</h1><p>The boiler is serviced every October by Mrs Lang.</p></body></html>",
}
ATTRIBUTES = {"lease.md": {"kind": "law", "year": 2020, "open": True}, "dogs.txt": {"kind": "rule", "year": 2015},
              "boiler.html": {"kind": "rule", "year": 2024, "open": False}}


def of(c, project=""):
    return openai.OpenAI(base_url=c.base + project + "/v1", api_key="test-key", max_retries=0, timeout=120)


def upload(client, name, text=None, purpose="assistants"):
    return client.files.create(file=(name, (text or TEXTS[name]).encode()), purpose=purpose)


def wait(client, store, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        v = client.vector_stores.retrieve(store)
        if v.status != "in_progress":
            return v
        time.sleep(0.05)
    return v


def names(page):
    return [d.filename for d in page.data]


def stores(client):
    made = [client.vector_stores.create(name=f"s{i}", metadata={"n": str(i)}) for i in range(4)]
    ids = [v.id for v in made]
    v = made[0]
    tap.ok(v.id.startswith("vs_") and v.object == "vector_store" and v.status == "completed" and v.usage_bytes == 0
           and v.file_counts.total == 0 and v.metadata == {"n": "0"} and v.expires_at is None, "created", v)
    tap.same(client.vector_stores.retrieve(v.id), v, "shown")
    tap.same([s.id for s in client.vector_stores.list()], ids[::-1], "the newest first")
    tap.same([s.id for s in client.vector_stores.list(order="asc", limit=1)], ids, "pages of one, the oldest first")
    tap.same([s.id for s in client.vector_stores.list(before=ids[0], limit=2).data], [ids[2], ids[1]],
             "the page before one")
    tap.same([s.id for s in client.vector_stores.list(order="asc", before=ids[3], limit=2).data], ids[1:3],
             "the page before one, the oldest first")
    changed = client.vector_stores.update(v.id, name="new", metadata={"k": "v"},
                                          expires_after={"anchor": "last_active_at", "days": 2})
    tap.same((changed.name, changed.metadata, changed.expires_at - changed.last_active_at),
             ("new", {"k": "v"}, 2 * 86400), "changed")
    tap.same(client.vector_stores.update(v.id, expires_after=None).expires_at, None, "and never to end again")
    for s in ids:
        tap.ok(client.vector_stores.delete(s).deleted, "deleted")
    tap.raises(GONE, lambda: client.vector_stores.retrieve(v.id), "and gone")


def files(c, client):
    """One store with three files, each its own way; returned for the searches."""
    vs = client.vector_stores.create(name="house")
    one = client.vector_stores.files.upload_and_poll(vector_store_id=vs.id, file=("lease.md", TEXTS["lease.md"].encode()),
                                                     attributes=ATTRIBUTES["lease.md"])
    tap.ok(one.status == "completed" and one.last_error is None and one.usage_bytes > 384 * 4
           and one.attributes == ATTRIBUTES["lease.md"] and one.chunking_strategy.type == "static", "a file, polled", one)
    rest = [upload(client, n) for n in ("dogs.txt", "boiler.html")]
    batch = client.vector_stores.file_batches.create(vs.id, files=[
        {"file_id": f.id, "attributes": ATTRIBUTES[f.filename],
         "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100 + i, "chunk_overlap_tokens": i}}}
        for i, f in enumerate(rest)])
    tap.same((batch.object, batch.file_counts.total), ("vector_store.files_batch", 2), "a batch")
    batch = client.vector_stores.file_batches.poll(batch.id, vector_store_id=vs.id)
    tap.same((batch.status, batch.file_counts.completed), ("completed", 2), "polled")
    tap.same({f.id for f in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=vs.id)},
             {f.id for f in rest}, "its files")
    got = client.vector_stores.files.retrieve(rest[1].id, vector_store_id=vs.id)
    tap.same((got.chunking_strategy.static.max_chunk_size_tokens, got.chunking_strategy.static.chunk_overlap_tokens),
             (101, 1), "chunks as they were asked for")
    ids = [one.id, *(f.id for f in rest)]
    tap.same([f.id for f in client.vector_stores.files.list(vs.id, order="asc", limit=1)], ids, "pages of files")
    tap.same([f.id for f in client.vector_stores.files.list(vs.id, filter="completed", limit=2)], ids[::-1], "completed ones")
    tap.same(list(client.vector_stores.files.list(vs.id, filter="failed")), [], "no failed one")
    tap.same(client.vector_stores.retrieve(vs.id).file_counts.completed, 3, "counted")
    text = list(client.vector_stores.files.content(rest[1].id, vector_store_id=vs.id))
    tap.ok(len(text) == 1 and "serviced every October" in text[0].text and "<p>" not in text[0].text, "the text read", text)
    status, listed = c.json("GET", "/api/v1/documents")
    tap.same((status, listed["total"]), (200, 0), "the lists of documents show none of them")
    listed = c.json("GET", f"/api/v1/documents?collection={vs.id}")[1]["documents"]
    tap.same(len(listed), 3, "but by the collection's name")
    tap.same(c.request("DELETE", f"/api/v1/documents/{listed[0]['id']}")[0], 409, "where they are not removed")
    return vs, dict(zip(("lease.md", "dogs.txt", "boiler.html"), ids))


def bad_files(client):
    vs = client.vector_stores.create()
    broken = upload(client, "broken.pdf", "%PDF-1.7 broken")
    strange = upload(client, "strange.bin", "\x7fELF\x00\x01\x02\x03" * 50)
    good = upload(client, "dogs.txt")
    batch = client.vector_stores.file_batches.create_and_poll(vs.id, file_ids=[broken.id, strange.id, good.id])
    tap.same((batch.status, batch.file_counts.failed, batch.file_counts.completed), ("completed", 2, 1),
             "bad files fail, the others go on")
    codes = [client.vector_stores.files.retrieve(f.id, vector_store_id=vs.id).last_error.code for f in (broken, strange)]
    tap.same(codes, ["invalid_file", "unsupported_file"], "each with its code")
    tap.raises(openai.ConflictError, lambda: client.vector_stores.files.content(broken.id, vector_store_id=vs.id),
               "and without a text")
    client.vector_stores.delete(vs.id)


def searches(client, vs, ids):
    page = client.vector_stores.search(vs.id, query="How long is the notice period?")
    top = page.data[0]
    tap.same((top.filename, top.file_id, top.attributes), ("lease.md", ids["lease.md"], ATTRIBUTES["lease.md"]), "found")
    tap.ok("three months" in top.content[0].text and top.content[0].type == "text" and 0 < top.score <= 1, "with its text", top)
    tap.ok(page.search_query == ["How long is the notice period?"] and page.has_more is False, "the page says what for", page)
    scores = [d.score for d in page.data]
    tap.same(scores, sorted(scores, reverse=True), "the best first")
    both = client.vector_stores.search(vs.id, query=["notice period", "who looks after the boiler"], max_num_results=2)
    tap.same(set(names(both)), {"lease.md", "boiler.html"}, "two queries")
    tap.same(len(client.vector_stores.search(vs.id, query="the", max_num_results=1).data), 1, "max_num_results")
    high = client.vector_stores.search(vs.id, query="notice period", ranking_options={"score_threshold": 0.99})
    tap.same(high.data, [], "score_threshold")
    for ranking in ({"embedding_weight": 1, "text_weight": 0}, {"embedding_weight": 0, "text_weight": 1},
                    {"embedding_weight": 1, "text_weight": 3}):
        got = client.vector_stores.search(vs.id, query="notice period", ranking_options={"hybrid_search": ranking})
        tap.same(names(got)[0], "lease.md", f"weights {ranking}")

    def kept(f):
        return sorted(names(client.vector_stores.search(vs.id, query="notice dogs boiler", filters=f)))

    def one(type, key, value):
        return {"type": type, "key": key, "value": value}

    all3 = sorted(TEXTS)
    for f, want in (
            (one("eq", "kind", "rule"), ["boiler.html", "dogs.txt"]), (one("ne", "kind", "rule"), ["lease.md"]),
            (one("gt", "year", 2020), ["boiler.html"]), (one("gte", "year", 2020), ["boiler.html", "lease.md"]),
            (one("lt", "year", 2020), ["dogs.txt"]), (one("lte", "year", 2020.0), ["dogs.txt", "lease.md"]),
            (one("in", "year", [2015, 2024]), ["boiler.html", "dogs.txt"]), (one("nin", "kind", ["law"]), ["boiler.html", "dogs.txt"]),
            (one("eq", "open", True), ["lease.md"]), (one("ne", "open", True), ["boiler.html", "dogs.txt"]),
            (one("eq", "nothing", 1), []), (one("nin", "nothing", [1]), all3), (one("eq", "year", "2020"), []),
            ({"type": "and", "filters": [one("eq", "kind", "rule"), one("gt", "year", 2016)]}, ["boiler.html"]),
            ({"type": "or", "filters": [one("eq", "kind", "law"), {"type": "and", "filters": [
                one("eq", "kind", "rule"), one("lt", "year", 2016)]}]}, ["dogs.txt", "lease.md"])):
        tap.same(kept(f), want, f"kept by {f}")
    client.vector_stores.files.update(ids["dogs.txt"], vector_store_id=vs.id, attributes={"kind": "pet"})
    tap.same(kept(one("eq", "kind", "pet")), ["dogs.txt"], "by attributes that were changed just now")
    tap.same(kept(one("eq", "year", 2015)), [], "and not by those before")


def refused(c, client, vs, ids):
    base = f"/v1/vector_stores/{vs.id}"
    batch_file = upload(client, "lease.md", purpose="batch")
    deep = {"type": "eq", "key": "a", "value": 1}
    for _ in range(40):
        deep = {"type": "and", "filters": [deep]}
    nobody = "file-" + "1" * 32
    for method, path, body, status, param in (
            ("POST", "/v1/vector_stores", {"file_ids": [nobody]}, 404, "file_id"),
            ("POST", "/v1/vector_stores", {"expires_after": {"anchor": "created_at", "days": 1}}, 400, "expires_after.anchor"),
            ("POST", "/v1/vector_stores", {"expires_after": {"anchor": "last_active_at", "days": 0}}, 400, "expires_after.days"),
            ("POST", "/v1/vector_stores", {"metadata": {"a": 1}}, 400, "metadata"),
            ("POST", "/v1/vector_stores", {"name": 5}, 400, "name"),
            ("POST", base + "/files", {"file_id": batch_file.id}, 400, "file_id"),
            ("POST", base + "/files", {}, 400, "file_id"),
            ("POST", base + "/files", {"file_id": "x"}, 404, "file_id"),
            ("POST", base + "/files", {"file_id": ids["lease.md"], "attributes": {"a": [1]}}, 400, "attributes"),
            ("POST", base + "/files", {"file_id": ids["lease.md"], "chunking_strategy": {"type": "static", "static": {
                "max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}}}, 400, "chunking_strategy.static.max_chunk_size_tokens"),
            ("POST", base + "/files", {"file_id": ids["lease.md"], "chunking_strategy": {"type": "static", "static": {
                "max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101}}}, 400, "chunking_strategy.static.chunk_overlap_tokens"),
            ("POST", base + "/file_batches", {"file_ids": [ids["lease.md"], nobody]}, 404, "file_ids[1]"),
            ("POST", base + "/file_batches", {"files": [{"file_id": ids["lease.md"], "attributes": {"": 1}}]}, 400,
             "files[0].attributes"),
            ("POST", base + "/file_batches", {"files": [], "file_ids": []}, 400, "files"),
            ("GET", base + "/files?filter=sleeping", None, 400, "filter"), ("GET", base + "/files?limit=0", None, 400, "limit"),
            ("GET", base + "/files?order=up", None, 400, "order"), ("GET", base + "/files?after=x", None, 400, "after"),
            ("GET", base + "/files?after=" + nobody, None, 404, "after"), ("GET", "/v1/vector_stores?before=x", None, 400, "before"),
            ("POST", base + "/search", {}, 400, "query"), ("POST", base + "/search", {"query": " "}, 400, "query"),
            ("POST", base + "/search", {"query": ["a", ""]}, 400, "query[1]"),
            ("POST", base + "/search", {"query": "a", "max_num_results": 51}, 400, "max_num_results"),
            ("POST", base + "/search", {"query": "a", "ranking_options": {"ranker": "best"}}, 400, "ranking_options.ranker"),
            ("POST", base + "/search", {"query": "a", "ranking_options": {"score_threshold": 2}}, 400,
             "ranking_options.score_threshold"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "like", "key": "a", "value": 1}}, 400, "filters.type"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "gt", "key": "a", "value": True}}, 400, "filters.value"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "or", "filters": [
                {"type": "eq", "key": "a", "value": 1}, {"type": "in", "key": "b", "value": [1, {}]}]}}, 400,
             "filters.filters[1].value[1]"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "and", "filters": []}}, 400, "filters.filters")):
        got = c.json(method, path, body)
        tap.same((got[0], got[1].get("error", {}).get("param")), (status, param), f"refused: {method} {path[-40:]} {str(body)[:70]}")
    tap.same(c.json("POST", base + "/search", {"query": "a", "filters": deep})[0], 400, "a filter that is too deep")


def projects(c, client, vs, ids):
    c.json("POST", "/api/v1/projects", {"name": "other"})
    other = of(c, "/p/other")
    s, f = other.vector_stores, ids["lease.md"]
    batch = client.vector_stores.file_batches.create_and_poll(vs.id, file_ids=[f], attributes=ATTRIBUTES["lease.md"])
    tap.same(list(s.list()), [], "another project sees none")
    for name, fn in {"retrieve": lambda: s.retrieve(vs.id), "update": lambda: s.update(vs.id, name="mine"),
                     "delete": lambda: s.delete(vs.id), "search": lambda: s.search(vs.id, query="notice"),
                     "files.list": lambda: s.files.list(vs.id), "files.create": lambda: s.files.create(vs.id, file_id=f),
                     "files.retrieve": lambda: s.files.retrieve(f, vector_store_id=vs.id),
                     "files.update": lambda: s.files.update(f, vector_store_id=vs.id, attributes={}),
                     "files.delete": lambda: s.files.delete(f, vector_store_id=vs.id),
                     "files.content": lambda: s.files.content(f, vector_store_id=vs.id),
                     "file_batches.create": lambda: s.file_batches.create(vs.id, file_ids=[f]),
                     "file_batches.retrieve": lambda: s.file_batches.retrieve(batch.id, vector_store_id=vs.id),
                     "file_batches.cancel": lambda: s.file_batches.cancel(batch.id, vector_store_id=vs.id),
                     "file_batches.list_files": lambda: s.file_batches.list_files(batch.id, vector_store_id=vs.id),
                     "create of our file": lambda: s.create(file_ids=[f])}.items():
        tap.raises(GONE, fn, f"nor by its id: {name}")
    mine = s.create(name="mine")
    tap.raises(GONE, lambda: s.files.create(mine.id, file_id=f), "nor can it add our file to its store")


def removals(client, vs, ids):
    def found():
        return set(names(client.vector_stores.search(vs.id, query="notice dogs boiler")))

    tap.ok(client.vector_stores.files.delete(ids["dogs.txt"], vector_store_id=vs.id).deleted, "a file taken out")
    tap.same(found(), {"lease.md", "boiler.html"}, "it is not found any more")
    tap.same(client.files.retrieve(ids["dogs.txt"]).filename, "dogs.txt", "the file itself stays")
    client.files.delete(ids["boiler.html"])
    tap.same(found(), {"lease.md"}, "a file that is deleted is in no store")
    tap.raises(GONE, lambda: client.vector_stores.files.retrieve(ids["boiler.html"], vector_store_id=vs.id), "nor listed")
    client.vector_stores.delete(vs.id)
    tap.raises(GONE, lambda: client.vector_stores.search(vs.id, query="notice"), "a store that is deleted")


def expiry(c, client):
    f = upload(client, "lease.md")
    vs = client.vector_stores.create(file_ids=[f.id], expires_after={"anchor": "last_active_at", "days": 1})
    wait(client, vs.id)
    c.sql(f"UPDATE api_vstore SET active_ms = active_ms - {86400 * 1000 + 5} WHERE expires_days = 1")
    tap.same(client.vector_stores.retrieve(vs.id).status, "expired", "a store that nobody used has expired")
    tap.raises(openai.ConflictError, lambda: client.vector_stores.search(vs.id, query="notice"), "and is not searched")
    tap.raises(openai.ConflictError, lambda: client.vector_stores.files.create(vs.id, file_id=f.id), "nor added to")
    return vs


def cancels(client):
    ids = [upload(client, f"n{i}.txt", " ".join(f"word{i} sentence {j} about gardens." for j in range(1500))).id for i in range(6)]
    vs = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create(vs.id, file_ids=ids)
    batch = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=vs.id)
    tap.ok(batch.status == "cancelled" and batch.file_counts.cancelled >= 4, "a batch cancelled", batch)
    time.sleep(1)
    done = [f.id for f in client.vector_stores.files.list(vs.id, filter="completed")]
    got = {d.file_id for d in client.vector_stores.search(vs.id, query="gardens", max_num_results=50).data}
    tap.ok(got <= set(done), "nothing of those that were cancelled is found", (got, done))
    client.vector_stores.delete(vs.id)


def killed(c, client):
    """Files in progress when the server is killed: all are completed after the restart."""
    ids = [upload(client, f"k{i}.txt", f"The secret of room {i} is number {i * 7919}. " * 200).id for i in range(8)]
    vs = client.vector_stores.create(name="kill", file_ids=ids)
    c.kill()
    c.start()
    client = of(c)
    v = wait(client, vs.id)
    tap.same((v.status, v.file_counts.completed), ("completed", 8), "killed in the middle: all files are completed")
    page = client.vector_stores.search(vs.id, query="secret of room 5", ranking_options={
        "hybrid_search": {"embedding_weight": 0, "text_weight": 1}})
    tap.same(page.data[0].file_id, ids[5], "and found")
    tap.same({f.id for f in client.vector_stores.files.list(vs.id)}, set(ids), "each of them once")
    listed = c.json("GET", f"/api/v1/documents?collection={vs.id}")[1]
    tap.same(listed["total"], 8, "one document each")
    return client, vs


with Croft(models=True, key="test-key") as c:
    client = of(c)
    stores(client)
    vs, ids = files(c, client)
    searches(client, vs, ids)
    refused(c, client, vs, ids)
    bad_files(client)
    projects(c, client, vs, ids)
    removals(client, vs, ids)
    cancels(client)
    ended = expiry(c, client)
    client, kept = killed(c, client)
    end = time.time() + 20
    while time.time() < end and c.json("GET", f"/api/v1/documents?collection={ended.id}")[1]["total"]:
        time.sleep(0.1)
    tap.same(c.json("GET", f"/api/v1/documents?collection={ended.id}")[1]["total"], 0,
             "documents of an expired store are removed")
    client.vector_stores.delete(kept.id)
    tap.same(c.json("GET", f"/api/v1/documents?collection={kept.id}")[1]["total"], 0, "those of a deleted one at once")
    nobody = openai.OpenAI(base_url=c.base + "/v1", api_key="wrong", max_retries=0)
    tap.raises(openai.AuthenticationError, lambda: nobody.vector_stores.list(), "not without a key")
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
