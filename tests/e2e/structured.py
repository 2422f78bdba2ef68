import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import BINARY, CHAT, Croft, Tap  # noqa: E402

from typing import Literal  # noqa: E402

import openai  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

tap = Tap()
SUM = 'root ::= root " "? [-+] " "? t | t\nt ::= [0-9]{1,4} | "(" root ")"\n'


def ask(client, text, seed=0, max_tokens=64, **more):
    r = client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": text}],
                                       max_tokens=max_tokens, temperature=1.3, seed=seed, **more)
    return r.choices[0].finish_reason, r.choices[0].message.content


def objects(client):
    def one(seed):
        return ask(client, "Describe a cat as JSON.", seed, 96, response_format={"type": "json_object"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(24)))
    stopped = [text for how, text in answers if how == "stop"]
    bad = []
    for text in stopped:
        try:
            if not isinstance(json.loads(text), dict):
                bad.append(text)
        except ValueError:
            bad.append(text)
    tap.note(f"{len(stopped)} of {len(answers)} objects ended by themselves")
    tap.ok(stopped and not bad, "json_object: what ends is an object", bad)
    tap.ok(all(text.lstrip().startswith("{") for _, text in answers), "json_object: all begin as one", answers)
    tap.same(one(3), answers[3], "json_object: the same seed gives the same, alone or not")


class Ingredient(BaseModel):
    name: str = Field(max_length=20)
    grams: int = Field(ge=1, le=900)


class Recipe(BaseModel):
    title: str = Field(min_length=3, max_length=30)
    course: Literal["starter", "main", "dessert"]
    ingredients: list[Ingredient] = Field(min_length=1, max_length=3)
    note: str | None = Field(max_length=20)


def schemas(client):
    def one(seed):
        r = client.chat.completions.parse(
            model=CHAT, messages=[{"role": "user", "content": "Write a recipe as JSON."}],
            response_format=Recipe, temperature=1.2, seed=seed)
        return r.choices[0].finish_reason, r.choices[0].message.parsed

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(8)))
    tap.ok(all(how == "stop" and isinstance(got, Recipe) for how, got in answers),
           "parse: a Pydantic model, each time", answers)
    tap.note(repr(answers[0][1]))
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}},
              "required": ["n"], "additionalProperties": False}
    for where in ({"guided_json": schema}, {"guided_json": json.dumps(schema)}, {"json_schema": schema},
                  {"structured_outputs": {"json": schema}},
                  {"response_format": {"type": "json_object", "schema": schema}}):
        how, text = ask(client, "A number?", 5, extra_body=where)
        tap.ok(how == "stop" and json.loads(text)["n"] in (3, 4, 5), f"schema: by {list(where)[0]}",
               text)
    with client.chat.completions.stream(
            model=CHAT, messages=[{"role": "user", "content": "Write a recipe as JSON."}],
            response_format=Recipe, seed=3) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    tap.ok(isinstance(final.choices[0].message.parsed, Recipe), "stream: a Pydantic model", final)
    e = tap.raises(openai.BadRequestError, lambda: ask(
        client, "x", response_format={"type": "json_schema", "json_schema": {
            "name": "thing", "strict": True, "schema": {"type": "object", "properties": {
                "a": {"$ref": "https://example.com/a.json"}}}}}), "schema: what is not enforced is refused")
    tap.ok(e and e.param == "response_format" and e.type == "invalid_request_error" and
           e.message.startswith("Error code: 400") and
           "Invalid schema for response_format 'thing': in the schema at #/properties/a" in e.message,
           "schema: and where", e)


def languages(client):
    date = r"(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    for where in ({"guided_regex": date}, {"structured_outputs": {"regex": date}}):
        how, text = ask(client, "When was that?", extra_body=where)
        tap.ok(how == "stop" and re.fullmatch(date, text), f"regex: by {list(where)[0]}", text)
    words = ["red", "dark red", "green"]
    for where in ({"guided_choice": words}, {"structured_outputs": {"choice": words}}):
        how, text = ask(client, "What colour is grass?", 1, extra_body=where)
        tap.ok(how == "stop" and text in words, f"choice: by {list(where)[0]}", text)
    for where in ({"grammar": SUM}, {"guided_grammar": SUM}, {"structured_outputs": {"grammar": SUM}}):
        how, text = ask(client, "Write a sum.", 2, extra_body=where)
        tap.ok(re.fullmatch(r"[-+0-9() ]+", text), f"grammar: by {list(where)[0]}", text)
    how, text = ask(client, "Hello", 3, extra_body={"structured_outputs": {"json_object": True}})
    tap.ok(text.lstrip().startswith("{"), "structured_outputs.json_object", text)
    how, text = ask(client, "Hello", 3, 4, extra_body={"grammar": "", "guided_choice": None})
    tap.ok(text, "no grammar: any text", text)


def ways(client):
    chunks = list(client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Grass is"}], stream=True, seed=4,
        extra_body={"guided_choice": ["green", "blue"]}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    tap.ok(text in ("green", "blue") and chunks[-1].choices[0].finish_reason == "stop",
           "stream: the same", text)
    r = client.completions.create(model=CHAT, prompt=["Grass is", "The sky is"], n=2, seed=5,
                                  extra_body={"guided_choice": [" green", " blue"]})
    tap.ok(len(r.choices) == 4 and all(c.text in (" green", " blue") and c.finish_reason == "stop"
                                       for c in r.choices), "completions: the same", r)
    r = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Hi"}], temperature=0, logprobs=True,
        top_logprobs=2, extra_body={"guided_choice": ["\u03c9"]})
    first = r.choices[0].logprobs.content[0]
    tap.ok(r.choices[0].message.content == "\u03c9" and
           first.logprob < first.top_logprobs[0].logprob, "logprobs: the model's own", first)


def errors(client):
    for body, param, part in (
            ({"grammar": "root ::= x"}, "grammar", "rule 'x' is used, but nowhere defined"),
            ({"guided_regex": "(a"}, "guided_regex", ""),
            ({"guided_regex": r"(a)\1"}, "guided_regex", ""),
            ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", "both")):
        e = tap.raises(openai.BadRequestError, lambda: ask(client, "x", extra_body=body),
                       f"errors: {body} is refused")
        tap.ok(e and e.param == param and part in e.message, "errors: and says why", e)
    ambiguous = 'root ::= root root | [a-zA-Z ]+ | "(" root ")"'
    e = tap.raises(openai.UnprocessableEntityError,
                   lambda: ask(client, "x", extra_body={"grammar": ambiguous}),
                   "errors: too ambiguous")
    tap.ok(e and "too many ways" in e.message, "errors: and says so", e)


def accept(*args, stdin):
    r = subprocess.run([BINARY, *args], input=stdin.encode(), capture_output=True)
    return r.returncode, (r.stdout + r.stderr).decode()


def commands():
    with tempfile.NamedTemporaryFile("w", suffix=".gbnf") as f:
        f.write(SUM)
        f.flush()
        tap.same(accept("grammar", "accept", f.name, "-", stdin="1 + (2-3)\n"),
                 (0, "accepted, 9 bytes\n"), "grammar accept")
        code, text = accept("grammar", "accept", f.name, "-", stdin="1 + x\n")
        tap.ok(code == 2 and 'byte 5 of the text, after "1 + "' in text, "grammar accept: where",
               text)
        code, text = accept("grammar", "accept", f.name, "-", stdin="1 +")
        tap.ok(code == 2 and "ends too early" in text, "grammar accept: too early", text)
    tap.same(accept("regex", "accept", r"\d{4}-\d\d", "-", "--json", stdin="2026-11\n"),
             (0, '{"accepted":true,"bytes":7}\n'), "regex accept")
    tap.same(accept("regex", "accept", "a", "-", "--exact", stdin="a\n")[0], 2, "regex accept: exact")


commands()
with Croft(models=True, key="test-key") as c:
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=120)
    objects(client)
    held = c.json("GET", "/api/v1/runs?kind=chat")[1]["runs"][0]["attributes"].get("held_to")
    tap.same(held, "response_format", "the run says what held the answer")
    schemas(client)
    languages(client)
    ways(client)
    errors(client)
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
