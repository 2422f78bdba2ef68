import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, EMBED, ROOT, Croft, Tap  # noqa: E402

tap = Tap()
TEXTS = ["Hello, 世界! 123", "  two  spaces\n\n\nand lines\r\n", "naïve 👩‍👩‍👧 e\u0301", "<|im_end|>", " ", ""]


def oracle(c, model, name):
    with open(os.path.join(ROOT, "tests", "golden", "tokenizers", name + ".json")) as f:
        texts = [t for t in json.load(f)["texts"] if "ids" in t]
    wrong = []
    for t in texts:
        got = c.json("POST", "/tokenize", {"model": model, "prompt": t["text"], "add_special_tokens": False})[1]
        if got["tokens"] != t["ids"] or got["count"] != len(t["ids"]):
            wrong.append((t, got))
    tap.ok(texts and not wrong, f"{model}: {len(texts)} texts as the reference library reads them", wrong[:2])


def there_and_back(c):
    for text in TEXTS:
        got = c.json("POST", "/tokenize", {"prompt": text, "return_token_strs": True})[1]
        tap.ok(len(got["token_strs"]) == len(got["tokens"]) == got["count"], f"pieces of {text!r}", got)
        tap.same(c.json("POST", "/detokenize", {"tokens": got["tokens"]})[1], {"prompt": text}, f"back to {text!r}")


def counts(c):
    ask = {"model": CHAT, "messages": [{"role": "system", "content": "Be brief."},
                                       {"role": "user", "content": "Name three colours."}]}
    said = c.json("POST", "/v1/chat/completions", {**ask, "max_tokens": 1})[1]["usage"]["prompt_tokens"]
    tap.same(c.json("POST", "/tokenize", ask)[1]["count"], said, "a conversation has the tokens that an answer counts")
    text = {"model": CHAT, "prompt": "It was a dark and stormy night"}
    said = c.json("POST", "/v1/completions", {**text, "max_tokens": 1})[1]["usage"]["prompt_tokens"]
    tap.same(c.json("POST", "/tokenize", text)[1]["count"], said, "and so has a text")
    said = c.json("POST", "/v1/embeddings", {"model": EMBED, "input": "one two"})[1]["usage"]["prompt_tokens"]
    got = c.json("POST", "/tokenize", {"model": EMBED, "prompt": "one two", "return_token_strs": True})[1]
    tap.same((got["count"], got["token_strs"][0]), (said, "[CLS]"), "and a text to embed")


def info(c):
    got = c.json("GET", "/tokenizer_info")[1]
    tap.ok(got["model"] == CHAT and got["eos_token"] == "<|im_end|>" and "im_start" in got["chat_template"],
           "what the tokenizer is", got)
    ids = c.json("POST", "/tokenize", {"prompt": got["eos_token"], "add_special_tokens": False})[1]["tokens"]
    tap.same(len(ids), 1, "its end token is one token")
    tap.same(c.json("GET", f"/tokenizer_info?model={EMBED}")[1]["chat_template"], None, "an embedder has no template")


def wrong(c):
    for path, body, status, param in (
            ("/tokenize", {}, 400, "prompt"), ("/tokenize", {"prompt": 3}, 400, "prompt"),
            ("/tokenize", {"prompt": "a", "messages": []}, 400, "prompt"),
            ("/tokenize", {"prompt": "a", "model": "no-such"}, 404, "model"),
            ("/tokenize", {"model": EMBED, "messages": [{"role": "user", "content": "a"}]}, 400, "messages"),
            ("/tokenize", {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": False}, 400,
             "add_generation_prompt"),
            ("/detokenize", {}, 400, "tokens"), ("/detokenize", {"tokens": "a"}, 400, "tokens"),
            ("/detokenize", {"tokens": [10 ** 8]}, 400, "tokens"), ("/detokenize", {"tokens": [-1]}, 400, "tokens")):
        got = c.json("POST", path, body)
        tap.same((got[0], got[1]["error"]["param"]), (status, param), f"refused: {path} {body}")


def commands(c):
    ids = c.json("POST", "/tokenize", {"prompt": "Hello world"})[1]["tokens"]
    out = c.cli("tokenize", "Hello", "world")
    tap.same([line.split(None, 1) for line in out[1].splitlines()],
             [[str(ids[0]), '"Hello"'], [str(ids[1]), '" world"']], "croft tokenize")
    tap.same(c.cli("tokenize", "--count", "-", input="Hello world")[1], "2\n", "--count of standard input")
    tap.same(c.cli("tokenize", "--ids", str(ids))[1], "Hello world", "--ids, as a list is printed")
    tap.same(json.loads(c.cli("tokenize", "--json", "Hello world")[1])["tokens"], ids, "--json")
    tap.same(json.loads(c.cli("tokenize", "-m", EMBED, "--special", "--json", "one")[1])["count"], 3, "--special")
    tap.same(c.cli("tokenize", "--ids", "x1")[0], 2, "an id that is no number")


with Croft(models=True) as c:
    oracle(c, EMBED, "minilm")
    oracle(c, CHAT, "smollm2")
    there_and_back(c)
    counts(c)
    info(c)
    wrong(c)
    commands(c)
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
