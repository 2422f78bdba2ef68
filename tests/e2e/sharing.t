#!/usr/bin/env python3
"""How requests share a model: who goes first, who gives way, what is known to whom."""
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import CHAT, MODELS, Croft, Tap  # noqa: E402

tap = Tap()
TEXT = "The harbour master writes down every ship that comes and every ship that goes. " * 12
NO_END = {"2": -100, "0": -100}


class Client:
    def __init__(self, c, key, project):
        self.c = c
        self.headers = {"Authorization": "Bearer " + key, "X-Croft-Project": project}

    def chat(self, text, tokens=8, headers=None, path="/v1/chat/completions", **more):
        body = {"model": CHAT, "temperature": 0, "max_tokens": tokens, "logit_bias": NO_END,
                "messages": [{"role": "user", "content": text}], **more}
        return self.c.json("POST", path, body, headers={**self.headers, **(headers or {})}, timeout=120)


def told(answer):
    return answer["choices"][0]["message"]["content"]


def metric(admin, name):
    _, text = admin.c.request("GET", "/metrics", headers=admin.headers)
    lines = [line for line in text.decode().splitlines() if line.startswith(name + "{")]
    return float(lines[0].split()[-1])


def cached(client, text):
    return client.chat(text)[1]["usage"]["prompt_tokens_details"]["cached_tokens"]


def knows(bob, eve):
    whole = bob.chat(TEXT)[1]["usage"]["prompt_tokens"]
    tap.same(cached(bob, TEXT), whole - 1, "what was asked before is known, but for its last token")
    tap.ok(50 < cached(bob, TEXT[:500] + " And?") < whole - 20, "and what begins like it, as far as it does")
    tap.same(cached(eve, TEXT), 0, "but to no other project")
    tap.same(cached(eve, TEXT), whole - 1, "until that has asked itself")


def words(bob, ada):
    for tier, want in (("flex", "flex"), ("auto", "default"), ("default", "default"), ("priority", "default")):
        status, r = bob.chat("Hi", service_tier=tier)
        tap.same([status, r.get("service_tier")], [200, want], f"an editor's service_tier {tier}")
    tap.same(ada.chat("Hi", service_tier="priority")[1]["service_tier"], "priority", "an administrator's goes first")
    tap.ok("service_tier" not in bob.chat("Hi")[1], "nothing is said of it unasked")
    status, r = bob.chat("Hi", service_tier="gold")
    tap.ok(status == 400 and r["error"]["param"] == "service_tier" and "gold" in r["error"]["message"], "no such tier", r)
    status, r = bob.chat("Hi", priority=5000)
    tap.ok(status == 400 and r["error"]["param"] == "priority", "priorities have a range", r)
    status, r = bob.chat("Hi", headers={"X-Croft-Priority": "soon"})
    tap.ok(status == 400 and "soon" in r["error"]["message"], "and are numbers", r)
    status, r = bob.c.json("POST", "/v1/messages", {
        "model": CHAT, "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]},
        headers={**bob.headers, "anthropic-version": "2023-06-01", "X-Croft-Priority": "x"})
    tap.ok(status == 400 and r["type"] == "error", "also of messages", r)


class Asking(threading.Thread):
    def __init__(self, client, text, tokens, **more):
        super().__init__()
        self.args = (client, text, tokens, more)
        self.start()

    def run(self):
        client, text, tokens, more = self.args
        self.status, self.answer = client.chat(text, tokens, **more)
        self.done = time.monotonic()


def until(what):
    end = time.time() + 60
    while not what() and time.time() < end:
        time.sleep(0.01)


def urgent(bob, ada):
    alone = told(bob.chat("Tell me a long story about the sea.", 300)[1])
    before = metric(ada, "croft_num_preemptions_total")
    slow = [Asking(bob, "Tell me a long story about the sea.", 300), Asking(bob, "And one about a hill.", 300)]
    until(lambda: metric(ada, "croft_num_requests_running") == 2)
    quick = Asking(ada, "What is the capital of France?", 6, priority=-5)
    late = Asking(bob, "What is the capital of Spain?", 60, headers={"X-Croft-Priority": "7"})
    for one in (*slow, quick, late):
        one.join()
    tap.ok(quick.done < min(s.done for s in slow), "what is urgent does not wait for two long answers")
    tap.ok(late.done > min(s.done for s in slow), "what is less urgent does")
    tap.ok(metric(ada, "croft_num_preemptions_total") > before, "one gave way")
    tap.same([s.answer["usage"]["completion_tokens"] for s in slow], [300, 300], "and was written to its end")
    tap.same(told(slow[0].answer), alone, "with the same words as alone")


def crowd(bob, eve):
    many = [Asking(bob, f"Tell me a long story about number {i}.", 150) for i in range(6)]
    until(lambda: eve.c.json("GET", "/api/v1/models/live", headers=eve.headers)[1]["models"][0]["queued"] >= 3)
    one = Asking(eve, "What is the capital of France?", 6)
    for x in (*many, one):
        x.join()
    first = sum(m.done < one.done for m in many)
    tap.ok(first <= 2, "a crowd of one user's requests does not keep another waiting", f"{first} of 6 were done before")
    tap.ok(all(m.answer["usage"]["completion_tokens"] == 150 for m in many), "and is served whole")


def several(bob):
    """n answers are those of n requests, whatever comes first in a stream."""
    ask = {"temperature": 0.9, "logit_bias": {}}
    alone = [told(bob.chat("Name a colour.", 12, seed=40 + k, **ask)[1]) for k in range(5)]
    tap.ok(len(set(alone)) > 1, "seeds matter", alone)
    status, r = bob.chat("Name a colour.", 12, seed=40, n=5, **ask)
    tap.same([c["message"]["content"] for c in r["choices"]], alone, "n answers are those of the seeds that follow")
    tap.same([c["index"] for c in r["choices"]], [0, 1, 2, 3, 4], "in order")
    _, events = bob.c.request("POST", "/v1/chat/completions", {
        "model": CHAT, "max_tokens": 12, "seed": 40, "n": 5, "stream": True, "stream_options": {"include_usage": True},
        "temperature": 0.9, "messages": [{"role": "user", "content": "Name a colour."}]}, headers=bob.headers)
    lines = [line[6:] for line in events.decode().split("\n\n") if line]
    tap.same(lines[-1], "[DONE]", "streamed: to the end")
    texts, ends = [""] * 5, [None] * 5
    for line in lines[:-1]:
        for choice in json.loads(line)["choices"]:
            tap.failed += ends[choice["index"]] is not None
            texts[choice["index"]] += choice["delta"].get("content") or ""
            ends[choice["index"]] = choice["finish_reason"]
    tap.same(texts, alone, "streamed: the same answers, by their index")
    tap.ok(all(ends), "each with its end last", ends)
    usage = json.loads(lines[-2])["usage"]
    tap.same([usage[k] for k in ("prompt_tokens", "completion_tokens")],
             [r["usage"][k] for k in ("prompt_tokens", "completion_tokens")], "and counted the same")
    prompts = [f"{word} of the world" for word in ("The end", "The map", "The salt", "All", "A history")] * 4
    _, r = bob.c.json("POST", "/v1/completions", {"model": CHAT, "prompt": prompts, "max_tokens": 6, "temperature": 0},
                      headers=bob.headers)
    got = [c["text"] for c in r["choices"]]
    tap.same(got[:5] * 4, got, "twenty prompts of one request: the same ones answer the same")
    _, one = bob.c.json("POST", "/v1/completions", {"model": CHAT, "prompt": prompts[3], "max_tokens": 6, "temperature": 0},
                        headers=bob.headers)
    tap.same(one["choices"][0]["text"], got[3], "as alone")


def keys(c):
    def croft(*args, input=None):
        code, out, err = c.cli(*args, input=input)
        if code:
            raise RuntimeError(err)
        return out.strip()

    croft("project", "add", "alpha", "--about", "one")
    croft("project", "add", "beta", "--about", "another")
    croft("user", "add", "ada", "--admin", "--password", input="correct horse\n")
    for name, project in (("bob", "alpha"), ("eve", "beta")):
        croft("user", "add", name, "--service")
        croft("member", "set", name, "editor", "--project", project)
    return [croft("key", "add", "--user", name) for name in ("ada", "bob", "eve")]


SETTINGS = {"chat.sequences_max": 2, "chat.context_tokens": 1024, "chat.kv_tokens": 1536}
c = Croft(models=True, settings=SETTINGS)
ada_key, bob_key, eve_key = keys(c)
with c:
    ada, bob, eve = Client(c, ada_key, "alpha"), Client(c, bob_key, "alpha"), Client(c, eve_key, "beta")
    knows(bob, eve)
    words(bob, ada)
    several(bob)
    urgent(bob, ada)
    crowd(bob, eve)
    live = c.json("GET", "/api/v1/models/live", headers=ada.headers)[1]["models"]
    model = next(m for m in live if m["purpose"] == "chat")
    tap.same([model["kv_tokens_max"], model["kv_tokens_used"]], [1536, 0], "the room for keys and values is the setting's")
    tap.ok(model["preemptions"] >= 1 and model["kv_tokens"] <= 1536, "and is not exceeded", model)
    halves = model["kv_bytes"]

TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": {
    "type": "object", "required": ["city"], "additionalProperties": False,
    "properties": {"city": {"type": "string", "maxLength": 12}}}}}


def calls(c):
    """An answer with calls is several runs of the model: one that has begun is not refused in the middle."""
    anyone = Client(c, "", "default")
    anyone.headers = {}
    many = [Asking(anyone, f"What is the weather in {city}?", 40, tools=[TOOL], tool_choice="required", logit_bias={})
            for city in ("Bonn", "Rome", "Oslo", "Cairo", "Lima", "Delhi", "Paris", "Perth")]
    for one in many:
        one.join()
    good = [m.answer["choices"][0]["message"]["tool_calls"][0]["function"] for m in many if m.status == 200]
    tap.ok(all(m.status in (200, 429) for m in many), "more than may wait: answered, or told to come again", [m.status for m in many])
    tap.ok(good and all(set(json.loads(f["arguments"])) == {"city"} for f in good), "and what was begun is whole", good)
    tap.ok(any(m.status == 429 for m in many), "some were told so", [m.status for m in many])


with Croft(models=True, settings={**SETTINGS, "chat.kv_type": "q8", "chat.sequences_max": 1, "chat.queue_max": 2}) as c:
    calls(c)
    model = next(m for m in c.json("GET", "/api/v1/models/live")[1]["models"] if m["purpose"] == "chat")
    tap.ok(model["kv_bytes"] * 100 < halves * 54, "as bytes they take half", (model["kv_bytes"], halves))
    status, r = c.json("POST", "/v1/chat/completions", {
        "model": CHAT, "temperature": 0, "max_tokens": 16,
        "messages": [{"role": "user", "content": "Name the capital of France."}]})
    tap.ok(status == 200 and "Paris" in told(r), "and answer", r)

STORY = {"model": CHAT, "temperature": 0.7, "seed": 3, "max_tokens": 60,
         "messages": [{"role": "user", "content": "Tell me a story about a goose."}]}
stories = []
for small in ("", "small", "nobody"):
    c = Croft(models=True, settings={"chat.draft_model": small}, ready=False)
    if small == "small":
        code, out, err = c.cli("pull", os.path.join(MODELS, "smollm2"), "--name", "small")
        tap.ok(code == 0, "another model is installed", err)
    with c:
        stories.append(told(c.json("POST", "/v1/chat/completions", STORY)[1]))
        live = c.json("GET", "/api/v1/models/live")[1]["models"]
        took = next(m["bytes"] for m in live if m["name"] == CHAT)
        if not small:
            without = took
        elif small == "small":
            tap.ok(took > without * 1.5, "a model that writes drafts is counted", (took, without))
        else:
            tap.ok("without drafts of nobody" in c.logged(), "one that is not installed is named, and not needed", c.logged())
tap.same(stories, [stories[0]] * 3, "drafts change no answer")

c = Croft(models=True, settings={"chat.kv_type": "f8"}, ready=False).start()
c.stop()
tap.ok("chat.kv_type" in c.logged() and "f16 or q8" in c.logged(), "a type that is none is named", c.logged())
c.remove()
tap.done()
