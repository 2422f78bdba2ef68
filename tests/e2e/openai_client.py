import base64
import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, EMBED, Croft, Tap  # noqa: E402

import openai  # noqa: E402

tap = Tap()
KEY = "test-key"
ASK = [{"role": "user", "content": "Name three colours."}]


def run_of(c, kind, status=None):
    q = f"/api/v1/runs?kind={kind}" + (f"&status={status}" if status else "")
    return c.json("GET", q)[1]["runs"]


def chat(client):
    r = client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=24, temperature=0)
    text = r.choices[0].message.content
    tap.ok(r.object == "chat.completion" and r.id.startswith("chatcmpl-"), "chat: object and id", r)
    tap.ok(len(text) > 0 and r.choices[0].message.role == "assistant", "chat: has text", r)
    tap.ok(r.choices[0].finish_reason in ("stop", "length"), "chat: finish_reason", r)
    u = r.usage
    tap.ok(u.prompt_tokens > 0 and 0 < u.completion_tokens <= 24 and
           u.total_tokens == u.prompt_tokens + u.completion_tokens, "chat: usage", u)
    tap.same(r.model, CHAT, "chat: model")
    tap.ok(r._request_id, "chat: request id")
    again = client.chat.completions.create(model="default", messages=ASK, max_tokens=24,
                                           temperature=0)
    tap.same(again.choices[0].message.content, text, "chat: greedy is the same again, as default")
    a, b = (client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=12, seed=7,
                                           temperature=1).choices[0].message.content
            for _ in range(2))
    tap.same(a, b, "chat: the same seed gives the same answer")
    r = client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=4, n=3, seed=1)
    tap.same([c.index for c in r.choices], [0, 1, 2], "chat: n=3")
    r = client.chat.completions.create(
        model=CHAT, max_tokens=4, temperature=0,
        messages=[{"role": "developer", "content": "Be brief."},
                  {"role": "user", "content": [{"type": "text", "text": "Hello"}]}])
    tap.ok(r.choices[0].message.content is not None, "chat: developer role and text parts")
    return text


def stream(client, whole):
    chunks = list(client.chat.completions.create(
        model=CHAT, messages=ASK, max_tokens=24, temperature=0, stream=True,
        stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    tap.same(text, whole, "stream: the same text as without stream")
    tap.same(chunks[0].choices[0].delta.role, "assistant", "stream: role first")
    tap.same(len({c.id for c in chunks}), 1, "stream: one id")
    tap.ok(not chunks[-1].choices and chunks[-1].usage.completion_tokens > 0, "stream: usage last")
    tap.ok(chunks[-2].choices[0].finish_reason in ("stop", "length"), "stream: reason before it")
    tap.ok(all(c.usage is None for c in chunks[:-1]), "stream: usage nowhere else")
    chunks = list(client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=5,
                                                 stream=True))
    tap.ok(all(c.usage is None for c in chunks), "stream: no usage unasked")
    stop = whole.split()[2]  # so that it ends by itself: the helper raises on "length"
    with client.chat.completions.stream(model=CHAT, messages=ASK, max_tokens=24,
                                        temperature=0, stop=[stop]) as s:
        final = s.get_final_completion()
    tap.ok(final.choices[0].message.content and whole.startswith(final.choices[0].message.content),
           "stream: the client's own helper puts it together", final)


def details(client, whole):
    r = client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=5, temperature=0,
                                       logprobs=True, top_logprobs=3)
    content = r.choices[0].logprobs.content
    tap.same(len(content), r.usage.completion_tokens, "logprobs: one entry for each token")
    tap.ok(all(len(t.top_logprobs) == 3 for t in content), "logprobs: top 3")
    tap.ok(all(t.logprob <= 0 and abs(t.logprob - t.top_logprobs[0].logprob) < 1e-4
               for t in content), "logprobs: greedy takes the likeliest", content)
    joined = b"".join(bytes(t.bytes) for t in content).decode("utf-8", "ignore")
    tap.ok(joined.startswith(r.choices[0].message.content), "logprobs: bytes are the text", joined)
    words = whole.split()
    if len(words) > 2:
        stop = words[2]
        r = client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=24,
                                           temperature=0, stop=[stop])
        tap.ok(stop not in r.choices[0].message.content and
               r.choices[0].finish_reason == "stop", "stop: the text ends before it", r)
    told = client.completions.create(model=CHAT, prompt="Once upon a time", max_tokens=6,
                                     temperature=0, logprobs=1).choices[0]
    ids = client.completions.create(model=CHAT, prompt="Once upon a time" + told.text, max_tokens=1,
                                    temperature=0, logprobs=1, echo=True).choices[0]
    lp = ids.logprobs
    tap.ok(ids.text.startswith("Once upon a time" + told.text) and lp.token_logprobs[0] is None
           and lp.top_logprobs[0] is None and len(lp.tokens) == len(lp.token_logprobs)
           == len(lp.top_logprobs), "echo: the prompt is told with its own log probabilities", ids)
    tap.ok(lp.tokens[-7:-1] == told.logprobs.tokens and all(
        abs(a - b) < 1e-2 for a, b in zip(lp.token_logprobs[-7:-1], told.logprobs.token_logprobs))
        and all(max(top, key=top.get) == t for t, top in zip(lp.tokens[-7:-1], lp.top_logprobs[-7:-1])),
        "echo: they are those that the tokens were chosen by", (lp, told.logprobs))
    r = client.completions.create(model=CHAT, prompt="Once upon a time", max_tokens=6,
                                  temperature=0)
    tap.ok(r.object == "text_completion" and r.choices[0].text, "completions", r)
    s = list(client.completions.create(model=CHAT, prompt="Once upon a time", max_tokens=6,
                                       temperature=0, stream=True))
    tap.same("".join(c.choices[0].text for c in s), r.choices[0].text, "completions: stream")


def embeddings(client):
    texts = ["The cat sits on the mat.", "A feline rests on a rug.", "Stock prices fell today."]
    f = client.embeddings.create(model=EMBED, input=texts, encoding_format="float")
    b = client.embeddings.create(model=EMBED, input=texts, encoding_format="base64")
    floats = [d.embedding for d in f.data]
    packed = []
    for d in b.data:
        raw = base64.b64decode(d.embedding) if isinstance(d.embedding, str) else None
        packed.append(list(struct.unpack(f"<{len(raw) // 4}f", raw)) if raw else d.embedding)
    as32 = [[struct.unpack("<f", struct.pack("<f", x))[0] for x in v] for v in floats]
    tap.ok(as32 == packed, "embeddings: float and base64 are bit for bit the same")
    tap.same([d.index for d in f.data], [0, 1, 2], "embeddings: order")
    tap.same(len(floats[0]), 384, "embeddings: dimension")

    def dot(x, y):
        return sum(p * q for p, q in zip(x, y))

    tap.ok(abs(dot(floats[0], floats[0]) - 1) < 1e-4, "embeddings: of length 1")
    tap.ok(dot(floats[0], floats[1]) > dot(floats[0], floats[2]) + 0.2, "embeddings: mean something")
    tap.ok(f.usage.prompt_tokens > 10 and f.usage.total_tokens == f.usage.prompt_tokens,
           "embeddings: usage", f.usage)
    one = client.embeddings.create(model=EMBED, input=texts[0])
    alone = [struct.unpack("<f", struct.pack("<f", x))[0] for x in one.data[0].embedding]
    tap.ok(alone == as32[0], "embeddings: alone as in a batch, in the client's default format")
    many = client.embeddings.create(model=EMBED, input=[f"text {i % 64}" for i in range(2048)], dimensions=384)
    tap.ok([d.index for d in many.data] == list(range(2048)) and many.data[2047].embedding == many.data[63].embedding
           and many.data[0].embedding != many.data[1].embedding, "embeddings: 2,048 inputs in one request")
    e = tap.raises(openai.BadRequestError, lambda: client.embeddings.create(model=EMBED, input=["a"] * 2049),
                   "embeddings: not 2,049")
    tap.ok(e and e.param == "input" and "2048" in e.message, "embeddings: and it says how many", e)
    read = client.post("/../tokenize", body={"model": EMBED, "prompt": texts[0]}, cast_to=object)["tokens"]
    ids = client.embeddings.create(model=EMBED, input=[read] * 3)
    tap.ok(all(d.embedding == one.data[0].embedding for d in ids.data) and ids.usage.prompt_tokens == 3 * len(read),
           "embeddings: lists of token ids as the text", ids.usage)
    tap.raises(openai.BadRequestError, lambda: client.embeddings.create(model=EMBED, input=[[30522]]),
               "embeddings: an id that is none")


def errors(c, client):
    e = tap.raises(openai.NotFoundError,
                   lambda: client.chat.completions.create(model="gpt-9", messages=ASK),
                   "errors: unknown model")
    tap.ok(e and e.code == "model_not_found" and e.param == "model", "errors: its code", e)
    e = tap.raises(openai.NotFoundError, lambda: client.models.retrieve("gpt-9"),
                   "errors: unknown model retrieved")
    e = tap.raises(openai.BadRequestError,
                   lambda: client.chat.completions.create(
                       model=CHAT, messages=[{"role": "user", "content": "word " * 9000}]),
                   "errors: too long")
    tap.ok(e and e.code == "context_length_exceeded" and
           sum(w.strip(".,;:()").isdigit() for w in e.message.split()) >= 2,
           "errors: too long says both numbers", e)
    e = tap.raises(openai.BadRequestError,
                   lambda: client.chat.completions.create(
                       model=CHAT, messages=ASK, response_format={"type": "xml"}),
                   "errors: an unknown format is refused, not ignored")
    tap.ok(e and e.param == "response_format.type", "errors: and named", e)
    tool = {"type": "custom", "custom": {"name": "f"}}
    tap.raises(openai.BadRequestError,
               lambda: client.chat.completions.create(model=CHAT, messages=ASK, tools=[tool]),
               "errors: tools that are no functions are refused")
    tap.raises(openai.BadRequestError,
               lambda: client.embeddings.create(model=EMBED, input="x", dimensions=7),
               "errors: dimensions")
    tap.raises(openai.AuthenticationError,
               lambda: openai.OpenAI(base_url=c.base + "/v1", api_key="wrong",
                                     max_retries=0).models.list(), "errors: wrong key")


def disconnect(c, client):
    """A client that leaves in mid-stream frees the model at once."""
    s = client.chat.completions.create(model=CHAT, stream=True, max_tokens=3000, temperature=1,
                                       messages=[{"role": "user", "content": "Count to 10000."}],
                                       logit_bias={"2": -100})
    for _, _chunk in zip(range(4), s):
        pass
    left = time.time()
    s.close()
    end = left + 8
    while time.time() < end and c.metric("croft_http_workers_busy") > 1:
        time.sleep(0.02)
    took = time.time() - left
    # the request that asks is itself one busy worker
    tap.ok(took < 8, f"disconnect: the worker is free after {took:.2f} s")
    time.sleep(0.3)
    failed = run_of(c, "chat", "error")
    tap.ok(failed and "client went away" in (failed[0]["error"] or ""),
           "disconnect: the run says why", failed[:1])


def concurrent(client):
    texts, faults = {}, []

    def one(i):
        try:
            texts[i] = "".join(
                ch.choices[0].delta.content or "" for ch in client.chat.completions.create(
                    model=CHAT, messages=[{"role": "user", "content": f"Say {i % 4}."}],
                    max_tokens=16, temperature=0, stream=True) if ch.choices)
        except Exception as e:
            faults.append(repr(e))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tap.ok(not faults and len(texts) == 12, "concurrent: 12 streams", faults)
    tap.ok(all(texts.get(i) == texts.get(i % 4) for i in range(12)),
           "concurrent: equal requests have equal answers", texts)


def overload(c, client):
    """More than the model takes and queues: the excess is told so at once, all else is served."""
    outcome, lock = {}, threading.Lock()

    def one():
        began = time.time()
        try:
            client.chat.completions.create(model=CHAT, messages=ASK, max_tokens=2)
            what = "answered"
        except openai.RateLimitError as e:
            what = "busy" if e.response.headers.get("retry-after") else "busy without retry-after"
            if time.time() - began > 15:
                what = "busy, told late"
        except Exception as e:
            what = repr(e)
        with lock:
            outcome[what] = outcome.get(what, 0) + 1

    threads = [threading.Thread(target=one) for _ in range(100)]
    for t in threads:
        t.start()
    slowest = 0
    while any(t.is_alive() for t in threads):
        began = time.time()
        good = c.get("/healthz")[0] == 200
        slowest = max(slowest, time.time() - began) if good else 99
        time.sleep(0.05)
    tap.ok(set(outcome) <= {"answered", "busy"} and outcome.get("answered", 0) >= 72,
           "overload: 100 at once are answered or told to come back", outcome)
    tap.note(f"{outcome}, slowest /healthz {slowest * 1000:.0f} ms")
    tap.ok(slowest < 2, "overload: everything else is served meanwhile", slowest)


def runs(c):
    ok = [r for r in run_of(c, "chat", "ok")]
    tap.ok(ok and ok[0]["attributes"].get("completion_tokens", 0) > 0, "runs: chat, with tokens")
    detail = c.json("GET", "/api/v1/runs/" + ok[0]["id"])[1]
    names = [s["name"] for s in detail["spans"]]
    tap.ok("prompt" in names and "generate" in names, "runs: spans", names)
    emb = run_of(c, "embedding", "ok")
    tap.ok(emb and emb[0]["attributes"].get("prompt_tokens", 0) > 0, "runs: embedding")


with Croft(models=True, key=KEY) as c:
    client = openai.OpenAI(base_url=c.base + "/v1", api_key=KEY, max_retries=0, timeout=120)
    ids = [m.id for m in client.models.list()]
    tap.ok(CHAT in ids and EMBED in ids, "models: list", ids)
    tap.same(client.models.retrieve(CHAT).id, CHAT, "models: retrieve")
    whole = chat(client)
    stream(client, whole)
    details(client, whole)
    embeddings(client)
    errors(c, client)
    disconnect(c, client)
    concurrent(client)
    overload(c, client)
    runs(c)
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
