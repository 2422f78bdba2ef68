#!/usr/bin/env python3
"""croft eval autopsy: each fault is made on purpose, and the stage that has it is named."""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cross_encoder  # noqa: E402
from croft_server import CHAT, MODELS, Croft, Tap, skip_all  # noqa: E402

if not os.path.exists(os.path.join(MODELS, "minilm")):
    skip_all(f"the test models are not in {MODELS} (CROFT_TEST_MODELS)")
tap = Tap()


def put(c, path, text, collection="default"):
    data = text if isinstance(text, bytes) else text.encode()
    status, body = c.request("PUT", f"/api/v1/documents/by-path?path={path}&collection={collection}", data)
    return json.loads(body)


def events(body):
    out, event = {}, ""
    for line in body.decode().splitlines():
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            out[event] = json.loads(line[6:])
    return out


def autopsy(c, questions, **more):
    status, body = c.request("POST", "/api/v1/eval/autopsy", json.dumps({"questions": questions, **more}).encode(),
                             {"content-type": "application/json"})
    if status != 200:
        return json.loads(body)
    got = events(body)
    return got.get("result") or got


def one(c, question, answer=None, **more):
    known = {k: more.pop(k) for k in ("document", "passage", "answers") if k in more}
    r = autopsy(c, [{"question": question, **({"answer": answer} if answer else {}), **known}], **more)
    if "cases" not in r:
        tap.ok(False, question, r)
        return {"stage": "", "path": [], "ranks": None}
    return r["cases"][0]


def stage(c, want, question, answer=None, why="", **more):
    v = one(c, question, answer, **more)
    tap.ok(v["stage"] == want and why in v["why"], f"{want}: {question}", v)
    return v


def before_the_search(c):
    put(c, "/a/bridge.txt", "The iron bridge of Coalbrookdale was opened in 1781. It weighs 378 tonnes.")
    put(c, "/a/soup.txt", "Onions are fried in butter for the soup. Bread and cheese go on top.")
    put(c, "/a/notes.html", "<html><body><h1>Notes</h1><p>The parcel went to the harbour.</p><script>var note = "
        "'the parcel weighed ninety kilograms';</script></body></html>")
    put(c, "/a/torn.txt", "The quar antine lasts for four teen days in this har bour.")
    put(c, "/a/empty.txt", "   ")
    v = stage(c, "found", "when was the iron bridge opened", "1781")
    tap.ok(v["rank"] == 1 and v["document"] == "/a/bridge.txt" and "opened in 1781" in v["quote"]
           and v["ranks"] == {"keyword": 1, "dense": 1, "fused": 1} and v["path"] == [{"stage": "search", "rank": 1}],
           "with its place and its ranks", v)
    stage(c, "found", "when was the iron bridge opened", answers=["in the year MDCCLXXXI", "1781"], document="bridge")
    stage(c, "found", "how heavy is the bridge", "378 tonnes", passage="It weighs 378 tonnes", document="/a/bridge.txt")
    stage(c, "found", "which bridge", document="bridge.txt")
    stage(c, "not_ingested", "when was the tower built", "1889", why="no document")
    stage(c, "not_ingested", "when was the tower built", "1889", document="tower.txt", why="no document tower.txt")
    stage(c, "not_ingested", "what is in it", "something", document="/a/empty.txt", why="was refused")
    stage(c, "misparsed", "how heavy was the parcel", "ninety kilograms", why="extracted text has not")
    stage(c, "misparsed", "how long is the quarantine", "fourteen days in this harbour", why="torn")
    stage(c, "found", "where did the parcel go", "harbour", document="notes")


def in_the_search(c):
    for i in range(8):
        put(c, f"/r/rent{i}.txt", f"The rent of flat {i} is paid on day {i + 1} of the month, the rent of flat {i}.", "rent")
    put(c, "/r/other.txt", "In the annexe it is due on the twelfth.", "rent")
    v = stage(c, "not_retrieved", "when is the rent of flat 3 paid", "on the twelfth", why="1 is given", collection="rent", k=1)
    tap.ok(v["ranks"]["fused"] > 1 and v["rank"] is None and v["ranks"]["dense"] > 1, "ranks deep down", v["ranks"])
    tap.ok("rag.top_k" in v["remedy"], "and what they suggest", v["remedy"])
    stage(c, "found", "when is the rent of flat 3 paid", "on the twelfth", collection="rent", k=9)
    stage(c, "filtered", "when is the rent of flat 3 paid", "on day 4", collection="rent", filters={"type": "pdf"})
    put(c, "/r/mail.eml", "From: a@example.org\nSubject: Flat 9\nDate: Mon, 4 Mar 2019 10:00:00 +0000\n\n"
        "The rent of flat 9 was paid by cheque.\n", "rent")
    stage(c, "filtered", "what do emails say on the rent of flat 3", "on day 4", why="it was read by rules: type email (emails)", collection="rent",
          derive_filters=True)
    stage(c, "aged_out", "how was the rent of flat 9 paid", "by cheque", collection="rent", k=1,
          recency={"half_life_days": 5, "weight": 1})
    for i in range(3):
        put(c, f"/d/same{i}.txt", f"Lemurs live in Madagascar and eat leaves. Note {'abc'[i]}{i}.", "lemurs")
    put(c, "/d/other.txt", "The tails of lemurs signal to the others of the troop.", "lemurs")
    q = "where do lemurs live and what do they eat"
    hits = c.json("POST", "/api/v1/search", {"query": q, "collection": "lemurs", "k": 2})[1]["hits"]
    note = hits[1]["text"].split("Note ")[1].strip(".\n ")
    v = stage(c, "diversified_out", q, "note " + note, collection="lemurs", k=2, diversity=0.8)
    tap.ok([s["stage"] for s in v["path"]] == ["search", "diversity"] and v["path"][0]["rank"] == 2, "what it was before", v["path"])


def reranked(c, tmp):
    ce = cross_encoder.folder(os.path.join(MODELS, "minilm"), os.path.join(tmp, "ce"))
    tap.same(c.cli("pull", ce, "--name", "ce")[0], 0, "a cross-encoder that nobody trained")
    texts = {"a": "Hens eat grain in the yard every day.", "b": "What hens eat: grain, grass and worms.",
             "c": "Ponds freeze in the winter, hens do not swim.", "d": "The eggs of hens are brown or white."}
    for name, text in texts.items():
        put(c, f"/h/{name}.txt", text, "hens")
    body = {"query": "what do hens eat", "collection": "hens", "rerank": {"model": "ce", "depth": 4}, "k": 4}
    hits = c.json("POST", "/api/v1/search", body)[1]["hits"]
    last = hits[-1]
    v = stage(c, "reranked_out", "what do hens eat", last["text"].strip(), collection="hens", k=3,
              rerank={"model": "ce", "depth": 4}, why=f"number {last['rank_before']} before")
    tap.ok(v["path"][-1] == {"stage": "rerank", "rank": 4}, "and after", v["path"])


def split(c):
    sentence = ("The committee that was convened after the long winter of that year decided that every keeper of bees "
                "in the valley must register each of the hives with the warden before the first day of May at noon.")
    put(c, "/s/bees.txt", "Bees are kept here. " + sentence + " That is all.")
    stage(c, "split", "what did the committee decide", sentence[30:-20])
    stage(c, "found", "what did the committee decide", sentence[30:-20], context={"neighbours": 5, "tokens": 200})
    stage(c, "found", "when must hives be registered", "the first day of May", k=20)


def answers(c):
    put(c, "/a/bridge.txt", "The iron bridge was opened in 1781. Its weight is 378 tonnes. It is painted red.")
    q = "When was the iron bridge opened?"
    tap.same(c.cli("models", "rm", CHAT)[0], 0, "no chat model: the passages' best sentence is the answer")
    v = stage(c, "found", q, "1781", generate=True, model="")
    tap.ok("1781" in v["answer"], "with the answer", v["answer"])
    v = stage(c, "ignored", q, "378 tonnes", generate=True)
    tap.ok("378" not in v["answer"] and v["rank"] == 1, "which stands in the passage", v)


def unsupported(c):
    """The small default model invents a little: of three questions that it is known to fail, one at least."""
    data = os.path.join(os.environ.get("CROFT_SHARED_DATA", "../shared/data"), "rag", "xquad-en")
    if not os.path.exists(data):
        tap.note("the shared data are not there (CROFT_SHARED_DATA)")
        return
    with open(os.path.join(data, "corpus.jsonl"), encoding="utf-8") as f:
        for line in f.read().splitlines()[:8]:
            d = json.loads(line)
            put(c, f"/x/{d['_id']}.txt", d["text"], "xquad")
    with open(os.path.join(data, "queries.jsonl"), encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    rows = [r for r in rows if r["text"] in (
        "How many Panthers defense players were selected for the Pro Bowl?",
        "Who was the Panthers' tackle leader for 2015?", "Who did the Broncos defeat in the AFC Championship game?")]
    r = autopsy(c, [{"id": q["_id"], "question": q["text"], "answers": q["answers"]} for q in rows], collection="xquad",
                generate=True)
    lost = [v["stage"] for v in r["cases"]]
    tap.ok("unsupported" in lost and set(lost) <= {"unsupported", "ignored", "found"} and len(rows) == 3,
           "unsupported: what the model made up", [(v["stage"], v["why"], v["answer"]) for v in r["cases"]])


def withheld(c):
    put(c, "/a/bridge.txt", "The iron bridge was opened in 1781. Its weight is 378 tonnes.")
    v = stage(c, "ignored", "When was the iron bridge opened?", "1781", generate=True, why="no answer was written")
    tap.ok("do not say" in v["answer"], "and what was said instead", v["answer"])


def cut(c):
    for i in range(4):
        put(c, f"/c/{i}.txt", f"The iron bridge was opened by the mayor in {1781 + i}. " + "It was a day of much rain and of "
            f"speeches number {i}, and the band played for hours on the square. " * 6, "cut")
    q = "When was the iron bridge opened by the mayor?"
    hits = c.json("POST", "/api/v1/search", {"query": q, "collection": "cut", "k": 4})[1]["hits"]
    year = hits[3]["text"].split("mayor in ")[1][:4]
    v = stage(c, "cut", q, year, collection="cut", k=4, generate=True)
    tap.ok(v["rank"] == 4, "the last of the passages", v)


def files(c, tmp):
    path = os.path.join(tmp, "questions.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        for row in ({"_id": "one", "text": "when was the iron bridge opened", "answers": [{"text": "1781"}]},
                    {"id": "two", "question": "when was the tower built", "answer": "1889"},
                    {"id": 3, "question": "how heavy was the parcel", "answer": "ninety kilograms", "document": "notes"}):
            f.write(json.dumps(row) + "\n")
    code, out, err = c.cli("eval", "autopsy", path)
    tap.ok(code == 0 and "not_ingested" in out and "33.3 %" in out and "croft ingest" in out and "two: no document" in out,
           "a file: counts, remedies, examples", out + err)
    code, out, err = c.cli("eval", "autopsy", path, "--json")
    r = json.loads(out)
    tap.same({s["stage"]: s["examples"] for s in r["stages"] if s["questions"]},
             {"found": ["one"], "not_ingested": ["two"], "misparsed": ["3"]}, "by stage")
    run = c.json("GET", "/api/v1/runs/" + r["run"])[1]["run"]
    tap.same((run["kind"], run["attributes"]["lost.not_ingested"]), ("autopsy", 1), "and a run of it")
    code, out, err = c.cli("eval", "autopsy", "-q", "when was the iron bridge opened", "-a", "1781", "-d", "bridge.txt")
    tap.ok(code == 0 and out.startswith("found") and "ranks" in out and "/a/bridge.txt" in out, "one question", out + err)
    tap.ok(c.cli("eval", "autopsy")[0] != 0 and c.cli("eval", "autopsy", path, "-q", "x")[0] != 0, "a file or a question")
    for bad in ({}, {"questions": []}, {"questions": [{"question": "x"}]}, {"questions": [{"answer": "x"}]},
                {"questions": [{"question": "x", "answer": 1}]}, {"questions": [{"question": "x", "answers": "y"}]}):
        status, body = c.request("POST", "/api/v1/eval/autopsy", json.dumps(bad).encode(), {"content-type": "application/json"})
        tap.ok(status == 400, f"{bad} is refused", body)


with tempfile.TemporaryDirectory() as tmp:
    with Croft(models=True) as c:
        before_the_search(c)
        in_the_search(c)
        reranked(c, tmp)
        files(c, tmp)
        unsupported(c)
    with Croft(models=True, settings={"rag.chunk_tokens": 16, "rag.chunk_overlap": 0}) as c:
        split(c)
    with Croft(models=True) as c:
        answers(c)
    with Croft(models=True, settings={"rag.answer_support": 100}) as c:
        withheld(c)
    with Croft(models=True, settings={"rag.prompt_tokens": 500}) as c:
        cut(c)
tap.done()
