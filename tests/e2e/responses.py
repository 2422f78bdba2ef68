import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, Croft, Tap  # noqa: E402

import openai  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402
from typing import Literal  # noqa: E402

tap = Tap()
COLD = {"model": CHAT, "temperature": 0}
ENDLESS = {"logit_bias": {"2": -100, "0": -100}}
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["city", "unit"], "properties": {
    "city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}}}
TOOLS = [{"type": "function", "name": "get_weather", "description": "The weather of a city",
          "parameters": SCHEMA, "strict": True}]
# what openresponses.org requires of every response
KEYS = """id object created_at completed_at status incomplete_details model previous_response_id instructions output
error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs
temperature reasoning user usage max_output_tokens max_tool_calls store background service_tier metadata
safety_identifier prompt_cache_key""".split()
TEXT_ORDER = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
              "response.output_text.delta", "response.output_text.done", "response.content_part.done",
              "response.output_item.done"]


def client_of(c, **more):
    return openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=60, **more)


def kinds(events):
    """Their types, deltas that follow each other once."""
    out = []
    for e in events:
        if not out or out[-1] != e.type:
            out.append(e.type)
    return out


def gapless(events):
    return [e.sequence_number for e in events] == list(range(events[0].sequence_number,
                                                             events[0].sequence_number + len(events)))


def plain(c, client):
    ask = {"input": "Count to three.", "instructions": "Be brief.", "max_output_tokens": 4}
    r = client.responses.create(**COLD, **ask, metadata={"team": "red"})
    tap.ok(r.id.startswith("resp_") and r.status == "incomplete" and r.incomplete_details.reason == "max_output_tokens"
           and r.output_text and r.metadata == {"team": "red"}, "a response", r)
    _, raw = c.json("GET", "/v1/responses/" + r.id)
    tap.same([k for k in KEYS if k not in raw], [], "every key that a validator asks for")
    tap.ok(isinstance(raw["created_at"], int) and raw["user"] is None, "in its type", raw)
    tap.same(client.responses.retrieve(r.id).output_text, r.output_text, "it is stored")
    counted = client.responses.input_tokens.count(model=CHAT, input=ask["input"], instructions="Be brief.")
    tap.same(counted.input_tokens, r.usage.input_tokens, "input_tokens: what the answer used")
    events = list(client.responses.create(**COLD, **ask, stream=True))
    tap.same(kinds(events), TEXT_ORDER + ["response.incomplete"], "the order of events")
    tap.ok(gapless(events) and events[0].sequence_number == 0, "numbers without a gap")
    tap.same("".join(e.delta for e in events if e.type == "response.output_text.delta"), r.output_text,
             "streamed: the same text")
    end = events[-1].response
    tap.ok(end.output_text == r.output_text and end.usage.output_tokens == 4, "and the whole at its end", end)
    added, done = ([e for e in events if e.type == "response.output_item." + w][0] for w in ("added", "done"))
    tap.ok(added.item.content == [] and added.item.status == "in_progress" and done.item == end.output[0]
           and added.item.id == done.item.id, "an item as it begins and ends", done)
    tap.same(client.responses.retrieve(end.id).output, end.output, "what was streamed is stored")
    gone = client.responses.create(**COLD, **ask, store=False)
    tap.raises(openai.NotFoundError, lambda: client.responses.retrieve(gone.id), "store false: it is not")
    run = c.json("GET", "/api/v1/runs/" + raw["croft"]["run"])[1]
    tap.ok(run["run"]["kind"] == "response" and run["run"]["attributes"]["response"] == r.id, "a response is a run", run)
    code, out, err = c.cli("replay", raw["croft"]["run"])
    tap.ok(code == 0 and out.startswith("reproduced: 1 answer"), "which can be asked again", out + err)
    logged = client.responses.create(**COLD, input="Hi", max_output_tokens=3, top_logprobs=2,
                                     include=["message.output_text.logprobs"]).output[0].content[0]
    tap.ok(len(logged.logprobs) == 3 and all(len(t.top_logprobs) == 2 for t in logged.logprobs)
           and "".join(t.token for t in logged.logprobs) == logged.text, "log probabilities of the tokens", logged)


def tools(client):
    ask = "What is the weather in Bonn?"
    r = client.responses.create(model=CHAT, input=ask, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
    call = r.output[0]
    tap.ok(len(r.output) == 1 and call.type == "function_call" and set(json.loads(call.arguments)) == {"city", "unit"}
           and call.call_id and call.id.startswith("fc_") and r.status == "completed", "a valid call", r)
    events = list(client.responses.create(model=CHAT, input=ask, tools=TOOLS, stream=True, parallel_tool_calls=False,
                                          tool_choice={"type": "function", "name": "get_weather"}))
    tap.same(kinds(events), TEXT_ORDER[:3] + ["response.function_call_arguments.delta",
                                              "response.function_call_arguments.done", "response.output_item.done",
                                              "response.completed"], "a call, streamed")
    whole = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    end = events[-1].response.output[0]
    tap.ok(whole == end.arguments and events[-3].arguments == whole and events[-3].name == "get_weather", "in full")
    said = client.responses.create(model=CHAT, previous_response_id=r.id, tools=TOOLS, tool_choice="none",
                                   max_output_tokens=20, input=[
                                       {"type": "function_call_output", "call_id": call.call_id,
                                        "output": "21 degrees"}])
    tap.ok(said.output_text, "a result goes round", said)
    items = client.responses.input_items.list(said.id, order="asc")
    tap.same([i.type for i in items], ["message", "function_call", "function_call_output"], "all that it was made from")
    echoed = client.responses.create(model=CHAT, tools=TOOLS, tool_choice="none", max_output_tokens=20, temperature=0,
                                     input=[{"role": "user", "content": ask}, *r.output,
                                            {"type": "function_call_output", "call_id": call.call_id, "output": [
                                                {"type": "input_text", "text": "21 degrees"}]}])
    tap.same(echoed.usage.input_tokens, said.usage.input_tokens, "so it does when all is sent again")


class Cat(BaseModel):
    name: str = Field(max_length=20)
    coat: Literal["black", "red", "striped"]


def structured(client):
    ask = {"model": CHAT, "input": "Invent a cat.", "text_format": Cat, "max_output_tokens": 200}
    r = client.responses.parse(**ask)
    tap.ok(isinstance(r.output_parsed, Cat), "parse: a text held to a schema", r)
    with client.responses.stream(**ask) as stream:
        deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
        end = stream.get_final_response()
    tap.ok(isinstance(end.output_parsed, Cat) and "".join(deltas) == end.output_text, "the client's own stream", end)


def chain(client):
    first = client.responses.create(**COLD, input="My name is Ada.", max_output_tokens=12)
    second = client.responses.create(**COLD, input="What is my name?", previous_response_id=first.id,
                                     max_output_tokens=12)
    whole = client.responses.create(**COLD, max_output_tokens=12, input=[
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": [{"type": "output_text", "text": first.output_text}]},
        {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]}])
    tap.same(second.output_text, whole.output_text, "previous_response_id: as if all had been sent")
    tap.same(second.usage.input_tokens, whole.usage.input_tokens, "and read the same")
    referred = client.responses.create(**COLD, max_output_tokens=12, input=[
        {"role": "user", "content": "My name is Ada."}, {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "What is my name?"}])
    tap.same(referred.output_text, whole.output_text, "an item_reference stands for the item")
    page = client.responses.input_items.list(second.id, limit=2)
    tap.ok(len(page.data) == 2 and page.has_more, "input_items: a page", page)
    tap.same([i.content[0].text for i in page],
             ["What is my name?", first.output_text, "My name is Ada."], "newest first, to the end")
    client.responses.delete(first.id)
    tap.raises(openai.NotFoundError, lambda: client.responses.retrieve(first.id), "deleted: it is gone")
    e = tap.raises(openai.BadRequestError, lambda: client.responses.create(
        model=CHAT, input="And?", previous_response_id=second.id), "what it began cannot go on")
    tap.ok(e and e.code == "previous_response_not_found" and first.id in str(e), "and it says which one is missing", e)


def conversations(client):
    c = client.conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "My name is Ada."}])
    tap.ok(c.id.startswith("conv_") and c.metadata == {"a": "b"}, "a conversation", c)
    added = client.conversations.items.create(c.id, items=[
        {"type": "message", "role": "assistant", "content": "Hello Ada."}])
    tap.same(added.data[0].content[0].text, "Hello Ada.", "items are added")
    r = client.responses.create(**COLD, input="What is my name?", conversation=c.id, max_output_tokens=12)
    whole = client.responses.create(**COLD, max_output_tokens=12, input=[
        {"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "What is my name?"}])
    tap.same(r.output_text, whole.output_text, "a response goes on with it")
    texts = [i.content[0].text for i in client.conversations.items.list(c.id, order="asc", limit=2)]
    tap.same(texts, ["My name is Ada.", "Hello Ada.", "What is my name?", r.output_text], "and becomes a part of it")
    list(client.responses.create(**COLD, input="Again?", conversation={"id": c.id}, max_output_tokens=5, stream=True))
    items = client.conversations.items.list(c.id).data
    tap.same(len(items), 6, "streamed ones too")
    one = client.conversations.items.retrieve(items[0].id, conversation_id=c.id)
    tap.same(one, items[0], "one item")
    client.conversations.items.delete(items[0].id, conversation_id=c.id)
    tap.raises(openai.NotFoundError, lambda: client.conversations.items.retrieve(items[0].id, conversation_id=c.id),
               "which can be deleted")
    tap.same(client.conversations.update(c.id, metadata={"x": "y"}).metadata, {"x": "y"}, "other metadata")
    tap.same(client.conversations.retrieve(c.id).metadata, {"x": "y"}, "which stay")
    tap.raises(openai.BadRequestError, lambda: client.responses.create(
        model=CHAT, input="?", previous_response_id=r.id), "its responses go on within it only")
    tap.ok(client.conversations.delete(c.id).deleted, "it is deleted")
    tap.raises(openai.NotFoundError, lambda: client.conversations.retrieve(c.id), "and gone")
    tap.same(client.responses.retrieve(r.id).output_text, r.output_text, "its responses stay")


def wait(client, r, seconds=60):
    end = time.time() + seconds
    while r.status in ("queued", "in_progress") and time.time() < end:
        time.sleep(0.05)
        r = client.responses.retrieve(r.id)
    return r


def background(c, client):
    ask = {**COLD, "input": "Tell me a story.", "max_output_tokens": 30}
    known = client.responses.create(**ask).output_text
    r = client.responses.create(**ask, background=True)
    tap.ok(r.background and r.status in ("queued", "in_progress") and r.output == [], "in the background", r)
    tap.same(wait(client, r).output_text, known, "the same answer, later")
    events = list(client.responses.create(**ask, background=True, stream=True))
    tap.same(kinds(events), ["response.created", "response.queued", "response.in_progress"] + TEXT_ORDER[2:] +
             ["response.incomplete"], "in the background, followed at once")
    tap.ok(gapless(events), "numbers without a gap")
    id = events[0].response.id
    rest = list(client.responses.retrieve(id, stream=True, starting_after=9))
    tap.same(rest, events[10:], "followed again, from the middle")
    whole = client.responses.retrieve(id, stream=True)
    tap.same(list(whole), events, "and from the beginning")
    long = {"model": CHAT, "input": "Tell me a long story.", "extra_body": ENDLESS}
    r = client.responses.create(**long, background=True, stream=True)
    seen = [e for e, _ in zip(r, range(20))]
    cancelled = client.responses.cancel(seen[0].response.id)
    tap.same(cancelled.status, "cancelled", "cancelled in the middle")
    last = list(r)[-1]
    tap.ok(last.type == "response.incomplete" and last.response.status == "cancelled", "who follows is told", last)
    tap.same(client.responses.cancel(cancelled.id).status, "cancelled", "twice is as good")
    tap.same(list(client.responses.retrieve(cancelled.id, stream=True))[-1].type, "response.incomplete",
             "and who asks later")
    plain = client.responses.create(**ask)
    tap.raises(openai.BadRequestError, lambda: client.responses.cancel(plain.id), "no other can be cancelled")
    tap.raises(openai.BadRequestError, lambda: client.responses.retrieve(plain.id, stream=True), "nor followed")
    tap.raises(openai.BadRequestError, lambda: client.responses.create(**ask, background=True, store=False),
               "background needs store")


def gone(client):
    stream = client.responses.create(model=CHAT, input="Tell me a long story.", stream=True, extra_body=ENDLESS)
    id = [e for e, _ in zip(stream, range(12))][0].response.id
    stream.close()
    end, status = time.time() + 20, None
    while status != "cancelled" and time.time() < end:
        time.sleep(0.05)
        try:
            r = client.responses.retrieve(id)
            status = r.status
        except openai.NotFoundError:  # it is stored when it has ended
            pass
    tap.ok(status == "cancelled" and r.output[0].status == "incomplete" and r.output_text,
           "a client that goes away cancels it; what there is of it is kept", status)


def at_once(client):
    c = client.conversations.create()
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: client.responses.create(
            model=CHAT, input=f"Say {i}.", conversation=c.id, max_output_tokens=4), range(6)))
    items = list(client.conversations.items.list(c.id, order="asc"))
    pairs = sorted((items[i].content[0].text, items[i + 1].content[0].text) for i in range(0, 12, 2))
    tap.same(pairs, sorted((f"Say {i}.", r.output_text) for i, r in enumerate(made)),
             "six at once in one conversation: each question with its answer")


def killed(c, client):
    """kill -9 in the middle: it goes on, with the same answer and the same events."""
    ask = {"model": CHAT, "temperature": 0.9, "input": "Tell me a story.", "max_output_tokens": 300,
           "extra_body": {"seed": 7}}
    known = client.responses.create(**ask)
    stream = client.responses.create(**ask, background=True, stream=True)
    seen = [e for e, _ in zip(stream, range(25))]
    quiet = client.responses.create(**ask, background=True)
    c.kill()
    c.start()
    client = client_of(c)
    tap.same(client.responses.retrieve(known.id).output, known.output, "stored ones survive kill -9")
    id = seen[0].response.id
    tap.ok(client.responses.retrieve(id).status in ("queued", "in_progress"), "one in work is not lost")
    rest = list(client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number))
    text = "".join(e.delta for e in seen + rest if e.type == "response.output_text.delta")
    tap.same(text, known.output_text, "it goes on: the events before and after are one answer")
    tap.same(rest[-1].response.output_text, known.output_text, "the same as uninterrupted")
    tap.same(wait(client, quiet).output_text, known.output_text, "one that nobody followed too")
    return client


def commands(c, client):
    r = client.responses.create(**COLD, input="Count to three.", max_output_tokens=4)
    code, out, _ = c.cli("responses", "-n", "2")
    lines = out.splitlines()
    tap.ok(code == 0 and len(lines) == 3 and lines[1].startswith(r.id) and "incomplete" in lines[1]
           and lines[1].endswith("Count to three.") and max(map(len, lines)) <= 80, "croft responses", out)
    code, out, _ = c.cli("responses", "show", r.id)
    tap.ok(code == 0 and "user\nCount to three.\n\nassistant\n" + r.output_text in out and r.croft["run"] in out,
           "croft responses show", out)
    code, out, _ = c.cli("responses", "show", r.id, "--json")
    tap.same(json.loads(out)["id"], r.id, "as JSON")
    tap.same(c.cli("responses", "delete", r.id)[0], 0, "croft responses delete")
    code, _, err = c.cli("responses", "show", r.id)
    tap.ok(code == 4 and r.id in err, "and it is gone", err)


def refused(c, client):
    def no(what, param, kind=openai.BadRequestError, **more):
        e = tap.raises(kind, lambda: client.responses.create(**{"model": CHAT, "input": "Hi", **more}), what)
        tap.ok(e is None or (e.body["message"] and e.body["param"] == param), what + ": by name", e and e.body)
    no("an unknown model", "model", openai.NotFoundError, model="nobody")
    for tool in ("web_search", "computer_use_preview", "code_interpreter", "mcp", "image_generation"):
        no("the tool " + tool, "tools[0].type", tools=[{"type": tool}])
    image = {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]}
    no("an image", "input[0].content[0]", input=[image])
    no("a file", "input[0].content[0]", input=[{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}])
    no("an unknown item", "input[0]", input=[{"type": "computer_call", "id": "x"}])
    no("a prompt of the platform", "prompt", prompt={"id": "pmpt_1"})
    no("an unknown previous response", "previous_response_id", previous_response_id="resp_nothing")
    no("one that was never there", "previous_response_id", previous_response_id="resp_" + "0" * 31 + "1")
    no("an unknown conversation", "conversation", openai.NotFoundError, conversation="conv_1")
    no("both", "previous_response_id", previous_response_id="resp_1", conversation="conv_1")
    no("a schema that cannot be kept to", "text.format.schema", text={"format": {
        "type": "json_schema", "name": "x", "schema": {"type": "string", "pattern": "(?=a)b"}}})
    no("too much input", "input", input="word " * 3000)
    no("no input", "input", input=None)
    long = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"{i} " + "word " * 30} for i in range(41)]
    no("a long conversation", "input", input=long)
    r = client.responses.create(model=CHAT, input=long, truncation="auto", max_output_tokens=16, temperature=0)
    dropped = r.croft["dropped_messages"]
    tap.ok(0 < dropped < 40 and dropped % 2 == 0, "truncation auto: whole turns are left out, and it says how many", r)
    short = client.responses.create(model=CHAT, input=long[dropped:], max_output_tokens=16, temperature=0)
    tap.same(r.output_text, short.output_text, "the answer is that to the rest")
    bodies = [b"", b"[]", b"{", b'{"input":{}}', b'{"input":[1]}', b'{"input":[{"role":"user"}]}', b'{"input":"\\u0000","max_output_tokens":3}',
              b'{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"' + b"\xff" + b'"}]}]}',
              b'{"input":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"input":[],"instructions":7}',
              b'{"input":"x","metadata":{"a":1}}', b'{"input":"x","include":["everything"]}']
    codes = [c.request("POST", "/v1/responses", b)[0] for b in bodies]
    tap.ok(all(s in (200, 400) for s in codes) and codes.count(200) == 1, "hostile bodies", codes)
    for path in ("resp_%00", "resp_..%2f..", "x" * 3000, "%ff", "resp_" + "f" * 32):
        tap.ok(c.get("/v1/responses/" + path)[0] in (400, 404), "no response " + path[:20])
    c.cli("project", "add", "other")
    other = client_of(c, default_headers={"x-croft-project": "other"})
    mine = client.responses.create(model=CHAT, input="Hi", max_output_tokens=2)
    tap.raises(openai.NotFoundError, lambda: other.responses.retrieve(mine.id), "another project does not see it")
    tap.raises(openai.NotFoundError, lambda: other.responses.delete(mine.id), "nor delete it")
    tap.raises(openai.BadRequestError, lambda: other.responses.create(
        model=CHAT, input="?", previous_response_id=mine.id), "nor go on with it")
    tap.raises(openai.NotFoundError, lambda: other.responses.create(
        model=CHAT, input=[{"type": "item_reference", "id": mine.output[0].id}]), "nor refer to it")


def full(client):
    ask = {"model": CHAT, "input": "Tell me a long story.", "background": True, "extra_body": ENDLESS}
    made = []
    tap.raises(openai.RateLimitError, lambda: [made.append(client.responses.create(**ask)) for _ in range(5)],
               "more than may wait are refused")
    states = [client.responses.cancel(r.id).status for r in made]
    tap.ok(2 <= len(made) <= 3 and set(states) == {"cancelled"}, "those that wait can be cancelled", states)
    end, room = time.time() + 20, False
    while not room and time.time() < end:
        try:
            room = client.responses.create(**COLD, input="Hi", max_output_tokens=2, background=True).id
        except openai.RateLimitError:
            time.sleep(0.1)
    tap.ok(room, "and make room")


def elsewhere(c, client):
    """A provider behind a name, which is this server itself."""
    c.cli("endpoint", "add", "far", "--url", c.base + "/v1", "--model", CHAT)
    ask = {"input": "Count to three.", "max_output_tokens": 8, "temperature": 0}
    known = client.responses.create(model=CHAT, **ask)
    raw = client.responses.with_raw_response.create(model="far", **ask)
    r = raw.parse()
    tap.ok(r.output_text == known.output_text and r.model == "far" and raw.headers["x-croft-provider"] == "far",
           "a remote provider answers", r)
    events = list(client.responses.create(model="far", **ask, stream=True, tools=TOOLS))
    tap.ok(kinds(events)[-1] in ("response.completed", "response.incomplete") and gapless(events), "as a stream", events)
    tap.same(wait(client, client.responses.create(model="far", **ask, background=True)).output_text,
             known.output_text, "and in the background")
    tap.raises(openai.BadRequestError, lambda: client.responses.create(model="far", input="Hi", truncation="auto"),
               "its tokens are not known here")


def retention(c, client):
    first = client.responses.create(model=CHAT, input="Expire me.", max_output_tokens=2)
    second = client.responses.create(model=CHAT, input="Hi", max_output_tokens=2, previous_response_id=first.id)
    c.stop()
    c.settings.update({"responses.workers": 1, "responses.queue_max": 2})
    c.sql("UPDATE api_response SET expires_ms = 1 WHERE title = 'Expire me.'")
    c.start()
    client = client_of(c)
    tap.raises(openai.NotFoundError, lambda: client.responses.retrieve(first.id), "an expired response is not shown")
    third = client.responses.create(model=CHAT, input="Hi", max_output_tokens=2, previous_response_id=second.id)
    tap.same(len(client.responses.input_items.list(third.id).data), 5, "but kept while another continues it")
    return client


with Croft(models=True, settings={"chat.context_tokens": 1024}) as c:
    client = client_of(c)
    plain(c, client)
    tools(client)
    structured(client)
    chain(client)
    conversations(client)
    background(c, client)
    gone(client)
    at_once(client)
    client = killed(c, client)
    commands(c, client)
    refused(c, client)
    elsewhere(c, client)
    full(retention(c, client))
tap.done()
