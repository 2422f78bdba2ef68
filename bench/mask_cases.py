#!/usr/bin/env python3
"""mask_cases.py [SHARED-DATA]: languages with texts of theirs, as bench_mask and mask_peer.py read them.

JSON texts are records of the function-calling set in the shared data (what is absent is made up);
the others are drawn with a fixed seed. `peer` is the same language in llguidance's notation."""
import json
import os
import random
import sys

dice = random.Random(7)
WORDS = "total price of the red house in tax and rate before sum left right value item".split()
OBJECT = r'''root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})? ws
ws ::= | " " | "\n" [ \t]{0,20}
'''
OBJECT_PEER = r'''start: object
value: object | array | string | NUMBER ws | ("true" | "false" | "null") ws
object: "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array: "[" ws (value ("," ws value)*)? "]" ws
string: STRING ws
STRING: /"([^"\\\x00-\x1F]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,16})?([eE][-+]?[0-9]{1,2})?/
ws: WS?
WS: / |\n[ \t]{0,20}/
'''
SUM = r'''root ::= root " " [-+*/] " " term | term
term ::= name | [0-9]{1,6} ("." [0-9]{1,2})? | name "(" root (", " root)* ")" | "(" root ")"
name ::= [a-z] [a-z_]*
'''
SUM_PEER = r'''start: sum
sum: sum " " OP " " term | term
term: NAME | NUMBER | NAME "(" sum (", " sum)* ")" | "(" sum ")"
OP: /[-+*\/]/
NAME: /[a-z][a-z_]*/
NUMBER: /[0-9]{1,6}(\.[0-9]{1,2})?/
'''
RECIPE = {
    "type": "object", "additionalProperties": False, "required": ["title", "course", "ingredients", "note"],
    "properties": {
        "title": {"type": "string", "minLength": 3, "maxLength": 60},
        "course": {"enum": ["starter", "main", "dessert"]},
        "ingredients": {"type": "array", "minItems": 1, "maxItems": 8, "items": {
            "type": "object", "additionalProperties": False, "required": ["name", "grams"],
            "properties": {"name": {"type": "string", "maxLength": 40},
                           "grams": {"type": "integer", "minimum": 1, "maximum": 900}}}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
LINE = r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d (GET|POST|PUT) /[a-z/_-]{1,60} \d{3} [A-Za-z ,.']{0,200}"


def records(folder):
    path = os.path.join(folder or "", "eval/bfcl/parallel.json")
    if folder and os.path.exists(path):
        with open(path) as f:
            return [json.loads(line) for line in f][:40]
    return [{"id": i, "name": " ".join(dice.choices(WORDS, k=8)), "tags": dice.sample(WORDS, 4),
             "score": dice.random(), "of": {"kind": dice.choice(WORDS), "open": True}} for i in range(40)]


def term(depth):
    kind = dice.randrange(4 if depth else 2)
    name = "_".join(dice.choices(WORDS, k=dice.randint(1, 3)))
    if kind == 0:
        return name
    if kind == 1:
        return str(dice.randrange(10000)) + dice.choice(["", ".5", ".25"])
    if kind == 2:
        return name + "(" + ", ".join(total(depth - 1) for _ in range(dice.randint(1, 3))) + ")"
    return "(" + total(depth - 1) + ")"


def total(depth):
    return f" {dice.choice('+-*/')} ".join(term(depth) for _ in range(dice.randint(1, 4)))


def recipe():
    return json.dumps({
        "title": " ".join(dice.choices(WORDS, k=5)), "course": dice.choice(["starter", "main", "dessert"]),
        "ingredients": [{"name": " ".join(dice.choices(WORDS, k=3)), "grams": dice.randint(1, 900)}
                        for _ in range(dice.randint(1, 8))],
        "note": dice.choice([None, " ".join(dice.choices(WORDS, k=20))])})


def line():
    return (f"{dice.randint(1990, 2030)}-{dice.randint(1, 12):02}-{dice.randint(10, 28)} "
            f"{dice.choice(['GET', 'POST', 'PUT'])} /{'/'.join(dice.choices(WORDS, k=5))} {dice.randint(100, 599)} "
            + " ".join(dice.choices(WORDS, k=20)).capitalize() + ".")


def main():
    all_records = records(sys.argv[1] if len(sys.argv) > 1 else None)
    texts = [json.dumps(r, ensure_ascii=False, indent=i % 2 * 2 or None) for i, r in enumerate(all_records)]
    texts = [t for t in texts if "\\u" not in t]
    choices = sorted({" ".join(dice.choices(WORDS, k=dice.randint(1, 5))) for _ in range(500)})
    json.dump([
        {"name": "JSON object (grammar)", "kind": "grammar", "source": OBJECT, "peer": OBJECT_PEER, "texts": texts},
        {"name": "recipe (JSON Schema)", "kind": "schema", "source": json.dumps(RECIPE),
         "texts": [recipe() for _ in range(40)]},
        {"name": "sums, left recursive", "kind": "grammar", "source": SUM, "peer": SUM_PEER,
         "texts": [total(3) for _ in range(40)]},
        {"name": "log line (regex)", "kind": "regex", "source": LINE, "texts": [line() for _ in range(40)]},
        {"name": "one of 500 texts", "kind": "choice", "source": json.dumps(choices),
         "peer": "start: " + " | ".join(json.dumps(c) for c in choices), "texts": dice.sample(choices, 40)},
    ], sys.stdout)


main()
