import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, EMBED, Croft, Tap  # noqa: E402

import anthropic  # noqa: E402

tap = Tap()
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["city", "unit"], "properties": {
    "city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}}}
TOOLS = [{"name": "get_weather", "description": "The weather of a city", "input_schema": SCHEMA}]
COLD = {"temperature": 0}  # this client has no such parameter any more
ASK = [{"role": "user", "content": "What is the weather in Bonn?"}]


def valid(block):
    return (block.type == "tool_use" and block.name == "get_weather" and set(block.input) == {"city", "unit"}
            and block.input["unit"] in ("celsius", "fahrenheit"))


def plain(client):
    r = client.messages.create(model=CHAT, max_tokens=12, extra_body=COLD, system="Be brief.",
                               messages=[{"role": "user", "content": [{"type": "text", "text": "Count to three."}]}])
    tap.ok(r.type == "message" and r.role == "assistant" and r.model == CHAT and r.id.startswith("msg_"), "a message", r)
    tap.ok(r.content[0].type == "text" and r.content[0].text, "with text", r)
    tap.same(r.stop_reason, "max_tokens" if r.usage.output_tokens == 12 else "end_turn", "why it ended")
    counted = client.messages.count_tokens(model=CHAT, system="Be brief.",
                                           messages=[{"role": "user", "content": "Count to three."}])
    seen = r.usage.input_tokens + r.usage.cache_read_input_tokens
    tap.same(counted.input_tokens, seen, "count_tokens: what the answer used")
    with client.messages.stream(model=CHAT, max_tokens=12, extra_body=COLD, system="Be brief.",
                                messages=[{"role": "user", "content": "Count to three."}]) as stream:
        kinds = [e.type for e in stream if e.type not in ("text", "ping")]
        end = stream.get_final_message()
    tap.same(end.content[0].text, r.content[0].text, "streamed: the same text")
    tap.same([kinds[0], kinds[1], kinds[-3], kinds[-2], kinds[-1]],
             ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"],
             "the order of events")
    tap.same(end.usage.output_tokens, r.usage.output_tokens, "streamed: the usage")
    stop = client.messages.create(model=CHAT, max_tokens=40, extra_body=COLD, stop_sequences=["e"], messages=ASK)
    tap.ok(stop.stop_reason == "stop_sequence" and stop.stop_sequence == "e" and "e" not in stop.content[0].text,
           "a stop sequence", stop)


def tools(client):
    r = client.messages.create(model=CHAT, max_tokens=200, messages=ASK, tools=TOOLS,
                               tool_choice={"type": "any", "disable_parallel_tool_use": True})
    tap.ok(r.stop_reason == "tool_use" and len(r.content) == 1 and valid(r.content[0]), "any: a valid call", r)
    with client.messages.stream(model=CHAT, max_tokens=200, messages=ASK, tools=TOOLS,
                                tool_choice={"type": "tool", "name": "get_weather"}) as stream:
        end = stream.get_final_message()
    tap.ok(end.stop_reason == "tool_use" and all(map(valid, end.content)), "tool: streamed", end)
    call = r.content[0]
    more = ASK + [{"role": "assistant", "content": r.content}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21 degrees"}]},
        {"type": "text", "text": "So?"}]}]
    said = client.messages.create(model=CHAT, max_tokens=20, messages=more, tools=TOOLS,
                                  tool_choice={"type": "none"})
    tap.ok(said.content and said.content[0].type == "text", "a result goes round", said)
    held = client.messages.create(model=CHAT, max_tokens=200, messages=ASK, extra_body={
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}})
    tap.ok(set(json.loads(held.content[0].text)) == {"city", "unit"}, "held to a schema", held)


def wrong(client, base):
    def refused(kind, what, **more):
        try:
            client.messages.create(**{"model": CHAT, "max_tokens": 5, "messages": ASK, **more})
            tap.ok(False, what)
        except kind as e:
            tap.ok(e.body["type"] == "error" and e.body["error"]["message"], what, e)
            return e.body["error"]
    bad = anthropic.BadRequestError
    refused(anthropic.NotFoundError, "an unknown model", model="nobody")
    refused(bad, "an image", messages=[{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}]}])
    refused(bad, "a tool of the vendor", tools=[{"type": "bash_20250124", "name": "bash"}])
    refused(bad, "no messages", messages=[])
    refused(bad, "a temperature of 2", extra_body={"temperature": 2})
    refused(bad, "a prompt that is too long", messages=[{"role": "user", "content": "a b c " * 9000}])
    refused(bad, "a tool that is not there", tools=TOOLS, tool_choice={"type": "tool", "name": "other"})
    error = refused(anthropic.AuthenticationError, "a wrong key", extra_headers={"Authorization": "Bearer no"})
    tap.same(error and error["type"], "authentication_error", "its type")


def models(client, c):
    page = client.models.list()
    tap.same([m.id for m in page.data], [CHAT], "models: those that answer messages")
    tap.ok(page.data[0].type == "model" and page.data[0].created_at.year >= 2024 and page.has_more is False
           and page.first_id == page.last_id == CHAT, "as this client reads them", page)
    tap.same(client.models.retrieve(CHAT).display_name, CHAT, "one of them")
    tap.raises(anthropic.NotFoundError, lambda: client.models.retrieve("nobody"), "none of that name")
    tap.raises(anthropic.NotFoundError, lambda: client.models.retrieve(EMBED), "one that only embeds")
    tap.same([m.id for m in client.models.list(after_id=CHAT)], [], "nothing after the last")
    tap.raises(anthropic.BadRequestError, lambda: client.models.list(limit=0), "a page of none")
    tap.same(len(c.json("GET", "/v1/models")[1]["data"]), 2, "without the header: OpenAI's shape, all of them")


with Croft(models=True, key="test-key") as c:
    for header in ({"api_key": "test-key"}, {"auth_token": "test-key"}):
        client = anthropic.Anthropic(base_url=c.base, max_retries=0, timeout=120, **header)
        tap.ok(client.messages.create(model=CHAT, max_tokens=1, messages=ASK).id, f"signed in by {next(iter(header))}")
    plain(client)
    tools(client)
    wrong(client, c.base)
    models(client, c)
tap.done()
