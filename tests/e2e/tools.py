import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, Croft, Tap  # noqa: E402

from typing import Literal  # noqa: E402

import openai  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field  # noqa: E402

tap = Tap()
ASK = [{"role": "user", "content": "What is the weather in Bonn, and how much is 2 + 3?"}]


class Weather(BaseModel):
    model_config = ConfigDict(extra="forbid")
    city: str = Field(max_length=20)
    unit: Literal["celsius", "fahrenheit"]


class Add(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = Field(ge=-99, le=99)
    b: int = Field(ge=-99, le=99)


KINDS = {"get_weather": Weather, "add": Add}
TOOLS = [{"type": "function", "function": {"name": name, "description": f"Calls {name}.",
                                           "parameters": kind.model_json_schema()}}
         for name, kind in KINDS.items()]


def ask(client, messages=ASK, **more):
    more = {"max_tokens": 200, "temperature": 1, "seed": 1, "tools": TOOLS, **more}
    return client.chat.completions.create(model=CHAT, messages=messages, **more)


def valid(call):
    try:
        KINDS[call.function.name].model_validate_json(call.function.arguments)
        return call.type == "function" and call.id.startswith("call_")
    except (KeyError, ValueError) as e:
        tap.note(e)
        return False


def required(client):
    good = []
    for seed in range(10):
        choice = ask(client, seed=seed, tool_choice="required").choices[0]
        calls = choice.message.tool_calls or []
        good.append(choice.finish_reason == "tool_calls" and choice.message.content is None
                    and len(calls) >= 1 and all(map(valid, calls)))
    tap.ok(all(good), "required: each of ten answers is a valid call", good)
    for name in KINDS:
        choice = ask(client, tool_choice={"type": "function", "function": {"name": name}}).choices[0]
        calls = choice.message.tool_calls
        tap.ok([c.function.name for c in calls] == [name] * len(calls) and all(map(valid, calls)),
               f"named: {name} it is", choice)
    allowed = {"type": "allowed_tools", "allowed_tools": {
        "mode": "required", "tools": [{"type": "function", "function": {"name": "add"}}]}}
    calls = ask(client, tool_choice=allowed).choices[0].message.tool_calls
    tap.ok({c.function.name for c in calls} == {"add"} and all(map(valid, calls)), "allowed_tools", calls)
    calls = ask(client, tool_choice="required", parallel_tool_calls=False).choices[0].message.tool_calls
    tap.ok(len(calls) == 1 and valid(calls[0]), "parallel_tool_calls false: one call", calls)
    r = ask(client, tool_choice="required", n=3)
    tap.ok(len(r.choices) == 3 and all(valid(c) for ch in r.choices for c in ch.message.tool_calls),
           "n: three answers, each with calls", r)


def streamed(client):
    whole = ask(client, tool_choice="required", seed=5)
    calls, role, why, deltas = {}, None, [], 0
    for chunk in ask(client, tool_choice="required", seed=5, stream=True):
        choice = chunk.choices[0]
        role = choice.delta.role or role
        why += [choice.finish_reason] if choice.finish_reason else []
        for d in choice.delta.tool_calls or []:
            deltas += 1
            if d.index not in calls:
                calls[d.index] = [d.id, d.function.name, d.type, ""]
            elif d.id or d.function.name or d.type:
                tap.ok(False, "the identity of a call comes once", d)
            calls[d.index][3] += d.function.arguments
    want = [[c.id, c.function.name, c.type, c.function.arguments]
            for c in whole.choices[0].message.tool_calls]
    tap.same([calls[i] for i in sorted(calls)], want, "streamed: the same calls as whole")
    tap.ok(role == "assistant" and why == ["tool_calls"], "streamed: a role, and one reason", why)
    tap.ok(deltas > 3 * len(calls), "streamed: arguments come in pieces", deltas)
    with client.beta.chat.completions.stream(model=CHAT, messages=ASK, tools=[
            openai.pydantic_function_tool(Add, name="add")], tool_choice="required", seed=3,
            max_tokens=200) as s:
        kinds = {e.type for e in s}
        message = s.get_final_completion().choices[0].message
    tap.ok("tool_calls.function.arguments.done" in kinds, "the client's own helper sees the call", kinds)
    parsed = message.tool_calls[0].function.parsed_arguments
    tap.ok(isinstance(parsed, Add), "and reads it as its type", message)


def round_trip(client):
    first = ask(client, tool_choice="required", parallel_tool_calls=False).choices[0].message
    messages = ASK + [first.model_dump(exclude_none=True), {
        "role": "tool", "tool_call_id": first.tool_calls[0].id, "content": '{"result": 21}'}]
    second = ask(client, messages, tool_choice="none", max_tokens=40).choices[0]
    tap.ok(second.message.content and not second.message.tool_calls,
           "the result goes back, and text comes", second)
    auto = ask(client, messages, max_tokens=40).choices[0]
    tap.ok(auto.message.content is not None or all(map(valid, auto.message.tool_calls)),
           "auto: text, or valid calls", auto)


def old(client):
    r = client.chat.completions.create(
        model=CHAT, messages=ASK, max_tokens=200, seed=1, functions=[t["function"] for t in TOOLS],
        function_call={"name": "add"}).choices[0]
    call = r.message.function_call
    tap.ok(r.finish_reason == "function_call" and call.name == "add"
           and Add.model_validate_json(call.arguments), "functions: the deprecated way", r)


def schemas(client):
    """References stay within their own schema; what cannot be enforced is refused by name."""
    node = {"type": "object", "additionalProperties": False, "required": ["op", "left"],
            "properties": {"op": {"enum": ["neg"]}, "left": {"$ref": "#/$defs/leaf"}}}
    tree = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/node"}}, "required": ["tree"],
            "$defs": {"node": node, "leaf": {"type": "integer", "minimum": 0, "maximum": 9}}}
    tool = {"type": "function", "function": {"name": "eval", "parameters": tree}}
    call = ask(client, tools=[tool, TOOLS[1]], parallel_tool_calls=False, seed=2,
               tool_choice={"type": "function", "function": {"name": "eval"}}).choices[0]
    args = json.loads(call.message.tool_calls[0].function.arguments)
    tap.ok(set(args) == {"tree"} and args["tree"]["op"] == "neg", "a schema with references", args)
    bad = {"type": "function", "function": {"name": "odd", "strict": True, "parameters": {
        "type": "object", "properties": {"x": {"type": "string", "pattern": "(a)\\1"}}, "required": ["x"]}}}
    e = tap.raises(openai.BadRequestError, lambda: ask(client, tools=[bad]), "a schema that cannot be kept")
    tap.ok(e and "odd" in str(e), "is named", e)
    e = tap.raises(openai.BadRequestError, lambda: ask(client, tools=[bad], tool_choice="required"),
                   "so too when a call is required")
    loose = {"type": "function", "function": {**bad["function"], "strict": False}}
    tap.ok(ask(client, tools=[loose], max_tokens=20).choices[0].message, "auto, not strict: it is tried")


def receipts(client):
    r = ask(client, tool_choice="required", seed=9, extra_body={"receipt": True})
    receipt = r.croft["receipt"]
    again = ask(client, tool_choice="required", seed=receipt["seed"])
    tap.same([c.function.arguments for c in again.choices[0].message.tool_calls],
             [c.function.arguments for c in r.choices[0].message.tool_calls], "the receipt's seed says it all")
    tap.ok(len(receipt["model_sha256"]) == 64 and receipt["engine"] and "cached_tokens" in receipt,
           "a receipt", receipt)
    return r.croft["run"], receipt


def wrong(client):
    for more, param in (({"tool_choice": "sometimes"}, "tool_choice"),
                        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
                        ({"tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice"),
                        ({"parallel_tool_calls": 3}, "parallel_tool_calls"),
                        ({"response_format": {"type": "json_object"}, "tool_choice": "required"}, "response_format")):
        e = tap.raises(openai.BadRequestError, lambda m=more: ask(client, **m), f"refused: {param}")
        tap.ok(e is not None and e.param == param, f"names {param}", e and e.body)


with Croft(models=True, key="test-key") as c:
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=120)
    required(client)
    streamed(client)
    round_trip(client)
    old(client)
    schemas(client)
    run, receipt = receipts(client)
    wrong(client)
    kept = c.json("GET", f"/api/v1/runs/{run}")[1]
    tap.same(json.loads(json.dumps(kept)).get("run", kept)["attributes"].get("receipt"), receipt,
             "the run keeps the receipt")
    out = c.cli("replay", run, "--json")
    tap.ok(json.loads(out[1])["reproduced"] is True, "replay: the run is reproduced", out)
    hot = client.chat.completions.create(model=CHAT, messages=ASK, temperature=1.2, max_tokens=30, n=2,
                                         extra_body={"receipt": True})
    out = c.cli("replay", hot.croft["run"])
    tap.ok(out[1].startswith("reproduced: 2 answers"), "replay: two answers with a seed of the house", out)
    code, out, err = c.cli("chat", "Name", "a", "river.", "--temperature", "0", "--max-tokens", "12")
    same = client.chat.completions.create(model=CHAT, temperature=0, max_tokens=12, messages=[
        {"role": "user", "content": "Name a river."}]).choices[0].message.content
    tap.same((code, out), (0, same + "\n"), "croft chat: the answer as it comes")
    code, out, err = c.cli("chat", "--json", "--temperature", "0", "--max-tokens", "8", input="Hi.\n\nAgain?\n")
    replies = [json.loads(line) for line in out.splitlines()]
    tap.ok(code == 0 and len(replies) == 2 and replies[1]["usage"]["prompt_tokens"]
           > replies[0]["usage"]["prompt_tokens"] + 8, "croft chat: lines are turns of one conversation", out)
    code, out, err = c.cli("chat", "x", "--temperature", "warm")
    tap.ok(code == 2 and "--temperature wants a number" in err, "croft chat: a bad option", (code, err))
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
