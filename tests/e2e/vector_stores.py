import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, Croft, Tap  # noqa: E402
from provider_stub import Stub  # noqa: E402

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
            ("POST", base + "/search", {"query": "a", "filters": {"type": "like", "key": "a", "value": 1}}, 400, "filters"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "gt", "key": "a", "value": True}}, 400, "filters.value"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "or", "filters": [
                {"type": "eq", "key": "a", "value": 1}, {"type": "in", "key": "b", "value": [1, {}]}]}}, 400,
             "filters.filters[1].value[1]"),
            ("POST", base + "/search", {"query": "a", "filters": {"type": "and", "filters": []}}, 400, "filters")):
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


def short_lived(c, client):
    """A file that has expired is found no more, at once."""
    f = client.files.create(file=("late.md", b"The late bus leaves at midnight."), purpose="user_data",
                            expires_after={"anchor": "created_at", "seconds": 3600})
    vs = client.vector_stores.create(file_ids=[f.id])
    wait(client, vs.id)
    tap.same(names(client.vector_stores.search(vs.id, query="late bus")), ["late.md"], "a file that expires is found")
    c.sql("UPDATE api_file SET expires_ms = 5 WHERE name = 'late.md'")
    tap.same(client.vector_stores.search(vs.id, query="late bus").data, [], "until then")
    return vs


def far_away(client, c, vs):
    """A remote provider's model gets the passages too."""
    stub = Stub()
    c.json("POST", "/api/v1/endpoints", {"name": "far", "url": stub.url, "model": "ok"})
    r = ask(client, vs, model="far")
    told = stub.body["ok"]["messages"]
    tap.ok("[1] lease.md" in told[-1]["content"] and told[-1]["content"].endswith("Question: " + QUESTION)
           and told[0]["role"] == "system", "a remote model is told the passages", told)
    tap.same([i.type for i in r.output], ["file_search_call", "message"], "and its answer is as any other")
    stub.stop()


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


QUESTION = "How long is the notice period for tenants?"


def ask(client, vs, input=QUESTION, tool={}, **more):
    tools = [{"type": "file_search", "vector_store_ids": [vs.id], **tool}]
    return client.responses.create(**{"model": CHAT, "temperature": 0, "max_output_tokens": 60, "input": input,
                                      "tools": tools, **more})


def text_of(r):
    return next(i for i in r.output if i.type == "message").content[0]


def file_search(c, client, vs, ids):
    r = ask(client, vs, include=["file_search_call.results"])
    call, message = r.output
    tap.ok(call.type == "file_search_call" and call.id.startswith("fs_") and call.status == "completed"
           and call.queries == [QUESTION], "a search, then the answer", r.output)
    top = call.results[0]
    tap.same((top.file_id, top.filename, top.attributes), (ids["lease.md"], "lease.md", ATTRIBUTES["lease.md"]), "its results")
    tap.ok("three months" in top.text and 0 < top.score <= 1, "their text and score", top)
    tap.ok("three months" in r.output_text, "the answer is from the file", r.output_text)
    cited = text_of(r).annotations
    tap.ok(cited and all(a.type == "file_citation" and 0 < a.index <= len(r.output_text) for a in cited), "with citations", cited)
    tap.same((cited[0].file_id, cited[0].filename), (ids["lease.md"], "lease.md"), "of the file")
    tap.ok(r.output_text[:cited[0].index].endswith("three months."), "behind the sentence", (r.output_text, cited))
    tap.same(r.tools[0].vector_store_ids, [vs.id], "the response shows the tool")
    tap.same(client.responses.retrieve(r.id).output, r.output, "stored so")

    with client.responses.stream(model=CHAT, temperature=0, max_output_tokens=60, input=QUESTION,
                                 tools=[{"type": "file_search", "vector_store_ids": [vs.id]}]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [e.type for e in events if e.type != "response.output_text.delta"]
    n = len(text_of(final).annotations)
    tap.same(kinds, ["response.created", "response.in_progress", "response.output_item.added",
                     "response.file_search_call.in_progress", "response.file_search_call.searching",
                     "response.file_search_call.completed", "response.output_item.done", "response.output_item.added",
                     "response.content_part.added", *["response.output_text.annotation.added"] * n,
                     "response.output_text.done", "response.content_part.done", "response.output_item.done",
                     "response.completed"], "the events of a stream, in order")
    tap.same([e.sequence_number for e in events], list(range(len(events))), "numbered without a gap")
    tap.same("".join(e.delta for e in events if e.type == "response.output_text.delta"), r.output_text, "the same text")
    tap.same([e.annotation.model_dump() for e in events if e.type.endswith("annotation.added")],
             [a.model_dump() for a in cited], "the same citations")
    tap.same((final.output[0].results, text_of(final).annotations), (None, cited), "results only when they are asked for")

    def found(**tool):
        got = ask(client, vs, tool=tool, include=["file_search_call.results"], store=False).output[0].results
        return sorted(x.filename for x in got)

    tap.same(found(filters={"type": "eq", "key": "kind", "value": "rule"}), ["boiler.html", "dogs.txt"], "filtered")
    tap.same(found(max_num_results=1), ["lease.md"], "as many as are asked for")
    tap.same(found(ranking_options={"score_threshold": 0.99}), [], "from a score on")
    none = ask(client, vs, tool_choice="none")
    tap.same([i.type for i in none.output], ["message"], "tool_choice none: no search")
    both = ask(client, vs, tools=[{"type": "function", "name": "f", "parameters": {}},
                                  {"type": "file_search", "vector_store_ids": [vs.id]}],
               tool_choice={"type": "function", "name": "f"})
    tap.same([i.type for i in both.output], ["function_call"], "a function that must be called: no search")
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object", "properties": {
        "months": {"type": "integer", "minimum": 1, "maximum": 99}}, "required": ["months"], "additionalProperties": False}}
    held = ask(client, vs, text={"format": schema})
    tap.ok(held.output[0].type == "file_search_call" and "months" in held.output_text and not text_of(held).annotations,
           "a text that is held to a schema is searched for, and not annotated", held.output)

    talk = client.conversations.create()
    ask(client, vs, conversation=talk.id)
    items = client.conversations.items.list(talk.id, order="asc").data
    tap.same([i.type for i in items], ["message", "file_search_call", "message"], "a conversation keeps the search")
    tap.ok(items[2].content[0].annotations == cited, "and the citations", items[2])
    follow = ask(client, vs, "And in which form?", previous_response_id=r.id)
    tap.same(follow.output[0].queries, ["And in which form?", QUESTION + "\nAnd in which form?"],
             "what follows a question is searched with it too")
    again = ask(client, vs, [{"role": "user", "content": QUESTION}, *[i.model_dump(exclude_none=True) for i in r.output],
                             {"role": "user", "content": "Again, please."}])
    kept = client.responses.input_items.list(again.id, order="asc").data
    tap.same([i.type for i in kept], ["message", "file_search_call", "message", "message"], "an answer sent again")
    tap.same(kept[2].content[0].annotations, cited, "with its citations")
    later = ask(client, vs, background=True)
    end = time.time() + 30
    while later.status in ("queued", "in_progress") and time.time() < end:
        time.sleep(0.05)
        later = client.responses.retrieve(later.id)
    tap.same((later.output_text, text_of(later).annotations), (r.output_text, cited), "in the background, the same")
    counted = c.json("POST", "/v1/responses/input_tokens", {"model": CHAT, "input": QUESTION, "tools": [
        {"type": "file_search", "vector_store_ids": [vs.id]}]})[1]
    tap.same(counted["input_tokens"], r.usage.input_tokens, "input_tokens counts the passages")

    nobody = "vs_" + "1" * 32
    for tool, status, param in (({"vector_store_ids": []}, 400, "tools[0].vector_store_ids"),
                                ({"vector_store_ids": [nobody]}, 404, "tools"), ({"vector_store_ids": ["x"]}, 404, "tools[0].vector_store_ids"),
                                ({"max_num_results": 51}, 400, "tools[0].max_num_results"),
                                ({"filters": {"type": "x"}}, 400, "tools[0].filters")):
        got = c.json("POST", "/v1/responses", {"model": CHAT, "input": "x", "tools": [
            {"type": "file_search", "vector_store_ids": [vs.id], **tool}]})
        tap.same((got[0], got[1]["error"]["param"]), (status, param), f"refused: {tool}")
    c.json("POST", "/api/v1/projects", {"name": "third"})
    tap.raises(GONE, lambda: ask(of(c, "/p/third"), vs), "another project cannot search it")


def little_room(c, client, vs):
    """Passages that the setting has no room for are left out, and that is said."""
    r = ask(client, vs, input="dogs boiler notice period", include=["file_search_call.results"])
    own = r.output[0].model_extra["croft"]
    tap.ok(own["in_prompt"] < own["found"] == 3 and len(r.output[0].results) == 3, "what has no room is left out, and said", own)
    tap.ok(r.usage.input_tokens < 200, "the prompt is as small as was set", r.usage)


def command_line(c):
    path = os.path.join(c.home, "notice.md")
    with open(path, "w") as f:
        f.write(TEXTS["lease.md"])
    code, made, _ = c.cli("stores", "make", "desk")
    tap.ok(code == 0 and made.strip().startswith("vs_"), "croft stores make", made)
    code, out, err = c.cli("stores", "add", "desk", path, "-a", "year=2026", "-a", "kind=law", "--chunk-tokens", "120")
    tap.ok(code == 0 and "notice.md" in out, "croft stores add", out + err)
    code, out, _ = c.cli("stores", "search", "desk", "notice", "period", "-f", '{"type":"gt","key":"year","value":2025}')
    tap.ok(code == 0 and "notice.md" in out and "three months" in out, "croft stores search", out)
    code, out, _ = c.cli("stores", "show", "desk")
    tap.ok(code == 0 and "1 completed" in out and "120/0" in out, "croft stores show", out)
    tap.ok("desk" in c.cli("stores")[1], "croft stores")
    with open(path, "wb") as f:
        f.write(b"\x7fELF" * 99)
    code, _, err = c.cli("stores", "add", "desk", path)
    tap.ok(code != 0 and "could not be indexed" in err, "a bad file is an error", err)
    tap.ok(c.cli("stores", "rm", "desk")[0] == 0 and c.cli("stores", "show", "desk")[0] != 0, "croft stores rm")


with Croft(models=True, key="test-key") as c:
    client = of(c)
    stores(client)
    vs, ids = files(c, client)
    searches(client, vs, ids)
    refused(c, client, vs, ids)
    client.vector_stores.files.update(ids["dogs.txt"], vector_store_id=vs.id, attributes=ATTRIBUTES["dogs.txt"])
    file_search(c, client, vs, ids)
    far_away(client, c, vs)
    bad_files(client)
    projects(c, client, vs, ids)
    removals(client, vs, ids)
    cancels(client)
    ended = expiry(c, client)
    late = short_lived(c, client)
    client, kept = killed(c, client)
    end = time.time() + 20
    while time.time() < end and c.json("GET", f"/api/v1/documents?collection={ended.id}")[1]["total"]:
        time.sleep(0.1)
    tap.same(c.json("GET", f"/api/v1/documents?collection={ended.id}")[1]["total"], 0,
             "documents of an expired store are removed")
    tap.same(list(client.vector_stores.files.list(late.id)), [], "files that have expired are taken out")
    client.vector_stores.delete(kept.id)
    tap.same(c.json("GET", f"/api/v1/documents?collection={kept.id}")[1]["total"], 0, "those of a deleted one at once")
    nobody = openai.OpenAI(base_url=c.base + "/v1", api_key="wrong", max_retries=0)
    tap.raises(openai.AuthenticationError, lambda: nobody.vector_stores.list(), "not without a key")
    command_line(c)
    tap.same(c.stop(), 0, "the server ends with 0")
with Croft(models=True, key="test-key", settings={"file_search.prompt_tokens": 60}) as c:
    client = of(c)
    made = [upload(client, n) for n in TEXTS]
    vs = client.vector_stores.create(file_ids=[f.id for f in made])
    wait(client, vs.id)
    little_room(c, client, vs)
tap.done()
