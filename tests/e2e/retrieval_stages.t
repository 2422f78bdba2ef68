#!/usr/bin/env python3
"""Stages of retrieval: a question rewritten, taken apart and answered hypothetically by a provider and by
a local model; what happens when that fails; filters from the question; age; diversity; surroundings."""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cross_encoder  # noqa: E402
from chat_stub import Provider  # noqa: E402
from croft_server import MODELS, Croft, Tap, skip_all  # noqa: E402

if not os.path.exists(os.path.join(MODELS, "minilm")):
    skip_all(f"the test models are not in {MODELS} (CROFT_TEST_MODELS)")
tap = Tap()


def put(c, path, text, **query):
    more = "".join(f"&{k}={v}" for k, v in query.items())
    status, body = c.request("PUT", f"/api/v1/documents/by-path?path={path}{more}", text.encode())
    tap.ok(status == 200 and json.loads(body)["outcome"] == "indexed", f"{path} is indexed", body)


def search(c, query, status=200, **more):
    got, r = c.json("POST", "/api/v1/search", {"query": query, **more})
    if got != status:
        tap.ok(False, f"search {query}: {got}", r)
    return r


def paths(r):
    return [h["path"] for h in r["hits"]]


def stages(r):
    return [s["stage"] for s in r["stages"]]


def rethought(c, p):
    """A provider stands behind the name "helper"."""
    c.json("POST", "/api/v1/endpoints", {"name": "helper", "url": p.url, "model": "m"})
    put(c, "/a/felids.txt", "Felids hunt rodents mostly at dawn. A felid sleeps for most of the day.")
    put(c, "/a/bridge.txt", "The iron bridge of Coalbrookdale was opened in 1781.")
    put(c, "/a/ship.txt", "The ship Great Eastern was launched in 1858 after several attempts.")
    put(c, "/a/soup.txt", "Onions are fried in butter for the soup. Bread and cheese go on top.")
    p.say = json.dumps({"rewritten": "felid rodents hunting time dawn"})
    r = search(c, "when does my cat catch mice", rewrite=True, query_model="helper")
    tap.same([a["as"] for a in r["searched"]], ["question", "rewritten"], "the question and what became of it")
    tap.ok(paths(r)[0] == "/a/felids.txt" and r["hits"][0]["bm25"] == 0, "a passage without the question's words")
    tap.same((stages(r), r["notes"]), (["rewrite", "search", "search", "merge"], []), "stage after stage")
    ask = p.asked[-1]
    schema = ask["response_format"]["json_schema"]["schema"]
    tap.ok(schema["required"] == ["rewritten"] and list(schema["properties"]) == ["rewritten"]
           and ask["max_tokens"] <= 256, "held to a schema of what is wanted, and bounded", ask)
    p.say = json.dumps({"questions": ["When was the iron bridge opened?", "When was the Great Eastern launched?"],
                        "rewritten": "not asked for"})
    r = search(c, "what came first, the bridge or the ship", decompose=True, query_model="helper")
    tap.same([a["as"] for a in r["searched"]], ["question", "part", "part"], "two parts, and only what was asked for")
    tap.same(sorted(paths(r)[:2]), ["/a/bridge.txt", "/a/ship.txt"], "each part finds its document")
    p.say = json.dumps({"passage": "Felids hunt rodents at dawn and sleep for most of the day."})
    plain = search(c, "cat hours", method="dense")
    r = search(c, "cat hours", hyde=True, query_model="helper", method="dense")
    tap.ok(r["hypothetical_passage"].startswith("Felids") and paths(r)[0] == "/a/felids.txt", "a passage to compare with")
    same = {h["path"]: h["dense"] for h in plain["hits"]}
    tap.ok(all(abs(same[h["path"]] - h["dense"]) < 1e-5 for h in r["hits"]),
           "dense stays the cosine with the question itself")
    p.say = json.dumps({"rewritten": "Onions in butter 1858 xyz."})
    r = search(c, "do felids sleep long", rewrite=True, query_model="helper")
    tap.ok(len(r["searched"]) == 1 and "nothing to do with" in r["notes"][0], "what is about something else is left out", r["notes"])
    # the trace has each stage with its candidates
    p.say = json.dumps({"rewritten": "when do felids hunt"})
    r = search(c, "when does my cat catch mice", rewrite=True, query_model="helper", diversity=0.3)
    run = c.json("GET", "/api/v1/runs/" + r["run"])[1]
    spans = {s["name"]: s for s in run["spans"]}
    tap.ok(all(n in spans for n in ("retrieve", "rewrite", "search", "merge", "diversity")), "a span for each", list(spans))
    tap.ok(spans["merge"]["attributes"]["candidates"] >= 3 and spans["diversity"]["attributes"]["output"][0]["path"]
           and spans["search"]["parent"] == spans["retrieve"]["id"] and spans["search"]["attributes"]["output"][0]["path"], "with its candidates, under the retrieval", spans["merge"])


def fails(c, p):
    want = paths(search(c, "when was the bridge opened"))
    for say, why in ((500, "broken"), ("no json {", "line 1"), ('{"other": 1}', None), (None, "longer than 700 ms")):
        p.say = say
        begin = time.time()
        r = search(c, "when was the bridge opened", rewrite=True, hyde=say == '{"other": 1}', query_model="helper")
        note = " ".join(r["notes"])
        tap.ok(paths(r) == want and "searched as it is" in note and (not why or why in note),
               f"a provider that says {say!r}: the question goes on", r["notes"])
        tap.ok(time.time() - begin < 5, "and soon", time.time() - begin)
    r = search(c, "when was the bridge opened", rewrite=True, query_model="nobody")
    tap.ok(paths(r) == want and "nobody" in r["notes"][0], "so without such a model", r["notes"])
    tap.same(len(search(c, "bridge", query_model="nobody")["notes"]), 0, "which nobody asks when nothing is to be rewritten")


def viewers(c):
    """Who may search and not chat: what the house turned on is for them too, what they turn on is not."""
    tap.same((c.cli("user", "add", "root", "--role", "admin")[0], c.cli("user", "add", "vi", "--role", "viewer")[0]), (0, 0), "two users")
    c.key = c.cli("key", "add", "--user", "root")[1].strip()
    key = {"Authorization": "Bearer " + c.cli("key", "add", "--user", "vi")[1].strip()}
    ask = {"query": "river", "collection": "river"}
    status, r = c.json("POST", "/api/v1/search", ask, headers=key)
    tap.ok(status == 200 and stages(r)[0] == "rewrite", "a viewer's search is rewritten by the house", r)
    tap.same([c.json("POST", path, {**ask, "question": "river", "hyde": True}, headers=key)[0]
              for path in ("/api/v1/search", "/api/v1/ask")], [403, 403], "but not by what is not the viewer's to use")


def local(c):
    put(c, "/a/bridge.txt", "The iron bridge of Coalbrookdale was opened in 1781.")
    put(c, "/a/soup.txt", "Onions are fried in butter for the soup. Bread and cheese go on top.")
    r = search(c, "when was the iron bridge opened", rewrite=True, decompose=True)
    tap.ok(not any("searched as it is" in n for n in r["notes"]) and "/a/bridge.txt" in paths(r)[:2],
           "a local model keeps to the schema", (r["notes"], r["searched"]))
    code, out, err = c.cli("search", "iron", "bridge", "--hyde", "--neighbours", "1")
    tap.ok(code == 0 and "/a/bridge.txt" in out, "croft search --hyde --neighbours", out + err)
    status, got = c.json("POST", "/api/v1/ask", {"question": "When was the iron bridge opened?", "stream": False,
                                                 "rewrite": True, "context": {"neighbours": 1}})
    tap.ok(status == 200 and "1781" in got["answer"] and stages(got)[0] == "rewrite" and stages(got)[-1] == "context",
           "an answer goes through them", got)


def filters(c):
    put(c, "/f/lease.md", "# Lease\n\nThe rent is due on the first day.", collection="files", tags="legal,north")
    put(c, "/f/rent.csv", "rent,due\n900,first\n", collection="files", tags="sums")
    put(c, "/f/mail.eml", "From: a@example.org\nTo: b@example.org\nSubject: Rent\nDate: Mon, 4 Mar 2019 10:00:00 +0000\n"
        "Content-Type: text/plain\n\nThe rent was due on the third day then.\n", collection="files")
    march = {"from": "2019-03-01T00:00:00.000Z", "to": "2019-03-31T23:59:59.999Z"}
    for query, derived, words, found in (
            ("when is the rent due in the legal documents", {"tag": "legal"}, {"tag": "legal documents"}, ["/f/lease.md"]),
            ("#sums rent due", {"tag": "sums"}, {"tag": "sums"}, ["/f/rent.csv"]),
            ("what do the emails say about the rent", {"type": "email"}, {"type": "emails"}, ["/f/mail.eml"]),
            ("rent in messages sent in March 2019", march, {"from": "March 2019", "to": "March 2019"}, ["/f/mail.eml"]),
            ("rent in documents written before 2020", {"to": "2019-12-31T23:59:59.999Z"}, {"to": "before 2020"}, ["/f/mail.eml"]),
            ("Was steht in den Nachrichten vom März 2019 über die rent?", march,
             {"from": "vom März 2019", "to": "vom März 2019"}, ["/f/mail.eml"]),
            ("¿qué dicen los correos de marzo de 2019 sobre rent?", {"type": "email", **march},
             {"type": "correos", "from": "marzo de 2019", "to": "marzo de 2019"}, ["/f/mail.eml"]),
            ("2019年3月的邮件 rent", {"type": "email", **march}, {"type": "邮件", "from": "2019年3月", "to": "2019年3月"},
             ["/f/mail.eml"])):
        r = search(c, query, collection="files", derive_filters=True)
        tap.same((r["derived_filters"], paths(r)), ({**derived, "by": "rules", "words": words, "dropped": False}, found), query)
        tap.same(len(search(c, query, collection="files")["hits"]), 3, "and not unless it is asked for")
    for query in ("what is the legal rent in 2019", "when is the rent due"):
        r = search(c, query, collection="files", derive_filters=True)
        tap.same((r["derived_filters"], len(r["hits"])), (None, 3), query + ": speaks of no documents")
    r = search(c, "rent in pdfs from 1987", collection="files", derive_filters=True)
    tap.ok(r["derived_filters"]["dropped"] and len(r["hits"]) == 3 and "matches nothing" in r["notes"][0],
           "a filter that leaves nothing is dropped", r["derived_filters"])
    tap.same(search(c, "rent", 400, collection="files", derive_filters="guess")["error"]["code"], "invalid", "by nobody else")


def derived_by_model(c, p):
    """A provider reads the filters: what it may say is what the documents have."""
    def ask(query, say, **more):
        p.say = say if isinstance(say, int) or say is None else json.dumps({"type": None, "tag": None, "from": None, "to": None, **say})
        return search(c, query, collection="files", **{"derive_filters": True, "query_model": "helper", **more})

    query = "which of Anna's mails that came in early 2019 mention when money was owed"
    r = ask(query, {"type": {"words": "mails", "value": "email"}, "from": {"words": "early 2019", "value": "2019-01-01"},
                    "to": {"words": "early 2019", "value": "2019-04-30"}})
    tap.same((r["derived_filters"], paths(r), r["notes"]), (
        {"type": "email", "from": "2019-01-01T00:00:00.000Z", "to": "2019-04-30T23:59:59.999Z", "by": "model",
         "words": {"type": "mails", "from": "early 2019", "to": "early 2019"}, "dropped": False}, ["/f/mail.eml"], []),
        "by a chat model, with the words that it goes by")
    asked = p.asked[-1]
    schema = asked["response_format"]["json_schema"]["schema"]

    def values(name):
        return schema["properties"][name]["anyOf"][1]["properties"]["value"].get("enum")

    tap.same((values("type"), values("tag"), values("from")), (["csv", "email", "markdown"], ["legal", "north", "sums"], None),
             "it is held to what the documents have")
    tap.ok(schema["required"] == ["type", "tag", "from", "to"] and asked["messages"][-1]["content"] == query
           and "2019-03-04" in asked["messages"][0]["content"] and asked["max_tokens"] <= 400, "told their dates, and bounded", asked)
    run = c.json("GET", "/api/v1/runs/" + r["run"])[1]
    span = next(s for s in run["spans"] if s["name"] == "filters")["attributes"]
    tap.ok(span["note"] == "by model: type email (mails), from 2019-01-01 (early 2019), to 2019-04-30 (early 2019)" and span["model"] == "helper" and span["tokens.prompt"] >= 0,
           "the run has it", span)
    for say, why in (({"type": {"words": "emails", "value": "email"}}, "no such words"),
                     ({"type": {"words": "mails", "value": "pdf"}}, "no document has"),
                     ({"tag": {"words": query, "value": "legal"}}, "as a whole"),
                     ({"from": {"words": "early 2019", "value": "2019-02-31"}}, "no day"),
                     ({"from": {"words": "early 2019", "value": "2019-03-01"}, "to": {"words": "2019", "value": "2018-01-01"}}, "after its end")):
        r = ask(query, say)
        tap.ok(r["derived_filters"] is None and len(r["hits"]) == 3 and why in r["notes"][0], f"left out, and said: {why}", (r["derived_filters"], r["notes"]))
    r = ask(query, {"tag": {"words": "Anna's", "value": "LEGAL"}})
    tap.same((r["derived_filters"]["tag"], paths(r)), ("legal", ["/f/lease.md"]), "spelt as the documents spell it")
    for say in (500, None):
        r = ask("rent in messages sent in March 2019", say)
        tap.ok(r["derived_filters"]["by"] == "rules" and paths(r) == ["/f/mail.eml"] and "rules did" in r["notes"][0],
               f"a provider that says {say!r}: rules do it", r)
    n = len(p.asked)
    r = ask("rent in messages sent in March 2019", {}, derive_filters="rules")
    tap.same((r["derived_filters"]["by"], len(p.asked)), ("rules", n), "rules, when they are asked for")
    r = ask("rent in messages sent in March 2019", {})
    tap.same((r["derived_filters"], len(r["hits"])), (None, 3), "a model that reads none is believed")
    r = search(c, "rent", collection="nobody-has-it", derive_filters="model", query_model="helper")
    tap.same((r["hits"], len(p.asked)), ([], n + 1), "of no documents nobody is asked")
    p.say = json.dumps({"type": {"words": "mails", "value": "email"}, "tag": None, "from": None, "to": None})
    status, got = c.json("POST", "/api/v1/ask", {"question": query, "collection": "files", "derive_filters": "model",
                                                 "query_model": "helper", "stream": False})
    tap.ok(status == 200 and got["derived_filters"]["by"] == "model" and len(got["passages"]) == 1, "an answer goes by them", got)
    code, out, err = c.cli("search", *query.split(), "-c", "files", "--derive-by", "model", "--query-model", "helper")
    tap.ok(code == 0 and "filters by model: type email (mails)" in out and "mail.eml" in out, "croft search --derive-by model", out + err)


def age(c):
    for name, date in (("old", "4 Mar 2011"), ("new", "4 Mar 2026")):
        put(c, f"/g/{name}.eml", f"From: a@example.org\nSubject: Gate {name}\nDate: Mon, {date} 10:00:00 +0000\n\n"
            + ("The gate code is 4711. The gate code is for the gate." if name == "old" else "The code is 1234 now."),
            collection="gate")
    plain, r = search(c, "gate code", collection="gate"), search(c, "gate code", collection="gate",
                                                                 recency={"half_life_days": 365, "weight": 1})
    tap.same((paths(plain)[0], paths(r)[0]), ("/g/old.eml", "/g/new.eml"), "the newer goes first when age counts")
    by = {h["path"]: h["age"] for h in r["hits"]}
    tap.ok(by["/g/old.eml"] < 0.001 and 0.5 < by["/g/new.eml"] < 0.7, "halved in a year", by)
    r = search(c, "gate code", collection="gate", recency={"half_life_days": 365, "field": "added"})
    tap.same(paths(r)[0], "/g/old.eml", "counted from when they were added both are new")
    tap.same(search(c, "x", 400, recency={"half_life_days": -1})["error"]["code"], "invalid", "a half-life below 0")


def diversity(c):
    for i in range(4):
        put(c, f"/d/same{i}.txt", f"Lemurs live in Madagascar and eat leaves. Note {i}.", collection="lemurs")
    put(c, "/d/other.txt", "The tails of lemurs signal to the others of the troop.", collection="lemurs")
    plain = search(c, "where do lemurs live and what do they eat", collection="lemurs", k=3)
    r = search(c, "where do lemurs live and what do they eat", collection="lemurs", k=3, diversity=0.7)
    tap.ok("/d/other.txt" not in paths(plain) and paths(r)[0] == paths(plain)[0] and paths(r)[1] == "/d/other.txt",
           "unlike the best one goes before its copies", (paths(plain), paths(r)))


def surroundings(c):
    body = "# Guide\n\n"
    for s in range(6):
        body += f"## Part {s}\n\n" + " ".join(
            f"Sentence {i} of part {s} tells about matter {s * 100 + i} at some length and in plain words." for i in range(30)) + "\n\n"
    put(c, "/s/guide.md", body, collection="guide")
    status, text = c.json("GET", "/api/v1/documents?collection=guide")
    text = c.json("GET", f"/api/v1/documents/{text['documents'][0]['id']}/text")[1]["text"].encode()
    plain = search(c, "matter 315 of part 3", collection="guide", k=1, method="bm25")["hits"][0]
    for name, context in (("neighbours", {"neighbours": 1, "tokens": 2000}), ("parent", {"parent": True, "tokens": 4000}),
                          ("parent with few tokens", {"parent": True, "tokens": 250})):
        r = search(c, "matter 315 of part 3", collection="guide", k=3, method="bm25", context=context)
        h = r["hits"][0]
        tap.ok(h["pieces"][0] == {"chunk": plain["chunk"], "from": plain["from"], "to": plain["to"]}
               and h["from"] <= plain["from"] and h["to"] >= plain["to"], f"{name}: around what was found", h)
        tap.ok(text[h["from"]:h["to"]].decode().split() == h["text"].split(), f"{name}: as it stands in the document")
        spans = sorted((x["from"], x["to"]) for x in r["hits"])
        tap.ok(all(a[1] <= b[0] + 200 for a, b in zip(spans, spans[1:])), f"{name}: passages do not repeat each other", spans)
        if name == "parent":
            tap.ok(h["text"].startswith("Part 3") and "Part 4" not in h["text"] and "matter 329" in h["text"],
                   "the whole section", h["text"][:80])
        if name == "neighbours":
            tap.ok(h["to"] - h["from"] > 1.5 * (plain["to"] - plain["from"]), "more than it", (h["from"], h["to"]))
    tap.same(search(c, "matter", 400, context={"neighbours": 99})["error"]["code"], "invalid", "99 neighbours are refused")


def main(c):
    p = Provider()
    rethought(c, p)
    fails(c, p)
    filters(c)
    derived_by_model(c, p)
    age(c)
    diversity(c)
    surroundings(c)


with Croft(models=True, settings={"remote.retry_pause": "10ms", "rag.query_timeout": "700ms"}) as c:
    main(c)
with Croft(models=True, settings={"rag.neighbours": 1, "rag.half_life_days": 30}) as c:
    put(c, "/a/one.txt", "The river is long.", collection="river")
    tap.same(stages(search(c, "river", collection="river")), ["search", "recency", "context"], "settings are for every search")
    tap.same(stages(search(c, "river", collection="river", context=False, recency=False)), ["search"], "and a search goes without")
    local(c)
with Croft(models=True, settings={"rag.rewrite": "true"}) as c:
    put(c, "/a/one.txt", "The river is long.", collection="river")
    viewers(c)
with tempfile.TemporaryDirectory() as tmp, Croft(models=True, settings={"rag.rerank_depth": 5, "rerank.model": "ce"}) as c:
    ce = cross_encoder.folder(os.path.join(MODELS, "minilm"), os.path.join(tmp, "ce"))
    tap.same(c.cli("pull", ce, "--name", "ce")[0], 0, "a cross-encoder is installed")
    put(c, "/a/one.txt", "The river is long.")
    tap.same(stages(search(c, "river")), ["search", "rerank"], "a setting reranks every search")
    tap.same(stages(search(c, "river", rerank=False)), ["search"], "but one that does not want it")
tap.done()
