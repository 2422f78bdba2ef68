"""Families whose calls are written otherwise, with a real model under their templates: what it must
write is held to their syntax, and comes out as OpenAI's calls."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import MODELS, ROOT, Croft, Tap, skip_all  # noqa: E402

tap = Tap()
SMOLLM2 = os.path.join(MODELS, "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
if not os.path.exists(SMOLLM2):
    skip_all(f"the test models are not in {MODELS} (CROFT_TEST_MODELS)")
FAMILIES = ("qwen3-coder", "gpt-oss", "functionary-v3.2", "mistral-small-3.2")
WEATHER = {"type": "object", "required": ["city", "days"], "additionalProperties": False, "properties": {
    "city": {"type": "string", "pattern": "^[A-Z][a-z ]{2,12}$"}, "unit": {"enum": ["celsius", "fahrenheit"]},
    "days": {"type": "integer", "minimum": 1, "maximum": 9},
    "note": {"anyOf": [{"type": "string", "maxLength": 30}, {"type": "null"}]}}}
ADD = {"type": "object", "required": ["a", "b"], "properties": {
    "a": {"type": "integer", "minimum": -99, "maximum": 99}, "b": {"$ref": "#/$defs/b"}},
    "$defs": {"b": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}}}
TOOLS = [{"type": "function", "function": {"name": n, "description": f"Calls {n}.", "parameters": p}}
         for n, p in (("get_weather", WEATHER), ("add", ADD))]
ASK = [{"role": "user", "content": "What is the weather in Bonn for 3 days?"}]
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def with_template(out, template):
    """SmolLM2's file with another chat template."""
    with open(SMOLLM2, "rb") as f:
        data = f.read()
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    at, found = 24, None

    def text(at):
        return at + 8 + struct.unpack_from("<Q", data, at)[0]

    def value(at, kind):
        if kind == 8:
            return text(at)
        if kind != 9:
            return at + SIZES[kind]
        kind, n = struct.unpack_from("<IQ", data, at)
        at += 12
        if kind != 8:
            return at + n * SIZES[kind]
        for _ in range(n):
            at = text(at)
        return at
    for _ in range(keys):
        name, at = data[at + 8:text(at)], text(at)
        kind = struct.unpack_from("<I", data, at)[0]
        end = value(at + 4, kind)
        if name == b"tokenizer.chat_template":
            found = (at + 4, end)
        at = end
    for _ in range(tensors):
        at = text(at)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
    new = template.encode()
    head = data[:found[0]] + struct.pack("<Q", len(new)) + new + data[found[1]:at]
    with open(out, "wb") as f:
        f.write(head + bytes(-len(head) % 32) + data[(at + 31) // 32 * 32:])


def valid(call):
    args = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "add":
        return set(args) == {"a", "b"} and isinstance(args["a"], int) and 1 <= len(args["b"]) <= 3 \
            and all(isinstance(b, bool) for b in args["b"])
    return args["city"][0].isupper() and 1 <= args["days"] <= 9 and set(args) <= set(WEATHER["properties"]) \
        and args.get("unit", "celsius") in WEATHER["properties"]["unit"]["enum"] \
        and (args.get("note") is None or len(args["note"]) <= 30)


def ask(c, model, **more):
    body = {"model": model, "messages": ASK, "tools": TOOLS, "max_tokens": 300, "seed": 1, "temperature": 1, **more}
    status, got = c.json("POST", "/v1/chat/completions", body)
    if status != 200:
        tap.ok(False, f"{model}: an answer", got)
        return {"finish_reason": "", "message": {}}
    return got["choices"][0]


def family(c, name):
    all_good = []
    for seed in range(4):
        choice = ask(c, name, seed=seed, tool_choice="required")
        calls = choice["message"].get("tool_calls") or []
        all_good.append(choice["finish_reason"] == "tool_calls" and calls and all(map(valid, calls))
                        and not choice["message"].get("content"))
    tap.ok(all(all_good), f"{name}: four answers that must be calls are", choice)
    forced = ask(c, name, tool_choice={"type": "function", "function": {"name": "add"}}, parallel_tool_calls=False)
    calls = forced["message"].get("tool_calls") or []
    tap.ok(len(calls) == 1 and calls[0]["function"]["name"] == "add" and valid(calls[0]),
           f"{name}: a certain one, once", forced)
    status, text = c.json("POST", "/v1/chat/completions", {
        "model": name, "temperature": 0, "max_tokens": 20, "messages": ASK + [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": "21"}],
        "tools": TOOLS, "tool_choice": "none"})
    tap.ok(status == 200 and text["choices"][0]["message"]["content"], f"{name}: results go back, text comes", text)
    made = ask(c, name, tools=None, response_format={"type": "json_object"}, max_tokens=60)
    tap.ok((made["message"].get("content") or "").lstrip().startswith("{"), f"{name}: a format, and no header", made)


with Croft(models=True) as c:
    for name in FAMILIES:
        with open(os.path.join(ROOT, "tests/golden/templates", name + ".json"), encoding="utf-8") as f:
            template = json.load(f)["template"]
        path = os.path.join(c.home, name + ".gguf")
        with_template(path, template)
        code, out, err = c.cli("pull", path, "--name", name)
        tap.ok(code == 0, f"{name}: installed", out + err)
        os.remove(path)
        family(c, name)
        c.json("POST", f"/api/v1/models/{name}/unload", {})
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
