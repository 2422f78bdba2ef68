#!/usr/bin/env python3
"""Remote providers: a second Croft behind a name, a stub that injects faults, retries, the circuit
breaker, fallbacks, cancellation, keys, and who may add what."""
import http.client
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import CHAT, EMBED, Croft, Tap  # noqa: E402
from provider_stub import Stub  # noqa: E402

tap = Tap()


def chat(c, model, stream=False, headers=None, **more):
    """(status, headers, text or error, seconds)"""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream,
            "temperature": 0, "max_tokens": 8, **more}
    conn = http.client.HTTPConnection(c.address, timeout=60)
    begin = time.time()
    conn.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    rs = conn.getresponse()
    data = rs.read().decode()
    took = time.time() - begin
    head = {k.lower(): v for k, v in rs.getheaders()}
    conn.close()
    if rs.status != 200 or not stream:
        value = json.loads(data)
        text = value["choices"][0]["message"]["content"] if rs.status == 200 else value["error"]["message"]
        return rs.status, head, text, took
    events = [json.loads(line[6:]) for line in data.splitlines()
              if line.startswith("data: ") and line != "data: [DONE]"]
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e.get("choices"))
    errors = [e["error"]["message"] for e in events if "error" in e]
    return rs.status, head, errors[0] if errors else text, took


def add(c, name, url, model, **more):
    return c.json("POST", "/api/v1/endpoints", {"name": name, "url": url, "model": model, **more})


def receipt(c, head):
    status, run = c.json("GET", "/api/v1/runs/" + head["x-croft-run"])
    attributes = run.get("attributes") or run["run"]["attributes"]
    value = attributes["receipt"]
    return json.loads(value) if isinstance(value, str) else value


def run_span_names(c, head):
    return [s["name"] for s in c.json("GET", "/api/v1/runs/" + head["x-croft-run"])[1]["spans"]]


QUICK = {"remote.retry_pause": "20ms", "remote.breaker_pause": "1s", "remote.breaker_failures": 3,
         "remote.idle_timeout": "1s"}

with Croft(models=True) as upstream, Croft(models=True, settings=QUICK) as c:
    stub = Stub()

    # ---- another Croft, a real model ----
    status, made = add(c, "far", upstream.base + "/v1", CHAT, fallbacks=[])
    tap.same((status, made["name"], made["state"]["circuit"]), (201, "far", "closed"), "an endpoint is added")
    direct = chat(upstream, CHAT)
    through = chat(c, "far")
    tap.same(through[2], direct[2], "the answer through it is the model's own, byte for byte")
    tap.same((through[1].get("x-croft-provider"), through[1].get("x-croft-attempts")), ("far", "1"),
             "and says who gave it")
    tap.same(chat(c, "far", stream=True)[2], direct[2], "streamed too")
    got = receipt(c, through[1])
    tap.ok(got["provider"] == "far" and got["model"] == CHAT and got["reason"] == "first"
           and len(got["attempts"]) == 1, "the run has the receipt", got)
    tap.ok("attempt" in run_span_names(c, through[1]), "and a span for the attempt")
    add(c, "far-embed", upstream.base + "/v1", EMBED)
    texts = {"model": "far-embed", "input": ["one", "two words"]}
    a = c.json("POST", "/v1/embeddings", texts)[1]["data"]
    b = upstream.json("POST", "/v1/embeddings", dict(texts, model=EMBED))[1]["data"]
    close = max(abs(x - y) for i in (0, 1) for x, y in zip(a[i]["embedding"], b[i]["embedding"]))
    tap.ok(len(a[0]["embedding"]) == 384 and close < 1e-6, "embeddings are the same", close)
    status, got = c.json("POST", "/v1/embeddings", {"model": "far-embed", "input": [1, 2]})
    tap.same((status, got["error"]["param"], got["error"]["type"]), (400, "input", "invalid_request_error"),
             "token ids are not sent on, in OpenAI's shape")
    status, got = c.json("POST", "/v1/rerank", {"model": "far-embed", "query": "q", "documents": ["a"]})
    tap.ok(status == 400 and "local model" in got["message"], "nor is a ranking", got)
    names = [m["id"] for m in c.json("GET", "/v1/models")[1]["data"]]
    tap.ok("far" in names and CHAT in names, "it is among the models", names)
    code, out, err = c.cli("endpoint", "test", "far")
    tap.ok(code == 0 and " ms" in out, "croft endpoint test asks it", out + err)

    # ---- faults ----
    for model in ("ok", "500x2-ok", "429x1-ok", "500", "half", "garbage", "html", "redirect", "401", "400",
                  "slow", "long"):
        status, body = add(c, "s-" + model, stub.url, model, retries=2)
        if status != 201:
            tap.ok(False, "add " + model, body)
    s = chat(c, "s-500x2-ok")
    tap.same((s[0], s[2], s[1].get("x-croft-attempts")), (200, "fine", "3"), "two times 500: the third answers")
    got = receipt(c, s[1])
    tap.ok(got["reason"] == "retry" and [t.get("status") for t in got["attempts"]] == [500, 500, 200],
           "the receipt has all three", got)
    s = chat(c, "s-429x1-ok")
    tap.ok(s[0] == 200 and s[2] == "fine" and s[3] >= 1, "429: Retry-After is obeyed", s)
    s = chat(c, "s-500")
    tap.ok(s[0] == 502 and "stub says 500" in s[2] and stub.seen["500"] == 3, "500 for good: three attempts", s)
    s = chat(c, "s-half", stream=True)
    tap.ok(s[0] == 200 and stub.seen["half"] == 1 and "s-half" in s[2],
           "half a stream that was passed on ends with an error and is not repeated", s)
    s = chat(c, "s-garbage", stream=True)
    tap.ok(s[0] == 502 and stub.seen["garbage"] == 3, "garbage before the first word is tried again", s)
    s = chat(c, "s-html")
    tap.ok(s[0] == 502 and "text/html" in s[2], "a page instead of an API is an error that says so", s)
    s = chat(c, "s-redirect")
    tap.ok(s[0] == 502 and "redirected" in s[2] and stub.seen["redirect"] == 1, "redirects are not followed", s)
    s = chat(c, "s-400")
    tap.ok(s[0] == 400 and "stub says 400" in s[2] and stub.seen["400"] == 1, "the request's own fault comes back", s)
    s = chat(c, "s-401")
    tap.ok(s[0] == 502 and "key" in s[2] and "sk-secret" not in s[2] and stub.seen["401"] == 1,
           "a refused key is not the client's 401, and is not quoted", s)
    add(c, "s-hang", stub.url, "hang", timeout_ms=700, retries=3)
    s = chat(c, "s-hang")
    tap.ok(s[0] == 504 and 0.6 < s[3] < 2.5, "the time-out holds, repetitions included", s)
    add(c, "s-mute", stub.url, "mute", retries=0)
    s = chat(c, "s-mute", stream=True)
    tap.ok(0.9 < s[3] < 4 and "s-mute" in s[2], "a stream that falls silent is given up", s)
    add(c, "s-late", stub.url, "late", retries=0)
    s = chat(c, "s-late")
    tap.ok(s[2] == "late" and s[3] > 2, "an answer that comes whole may take its time", s)
    add(c, "s-closed", "http://127.0.0.1:1/v1", "m", retries=1)
    tap.ok(chat(c, "s-closed")[0] == 502, "nobody listens")
    s = chat(c, "s-ok", logprobs=True, top_logprobs=1)
    tap.ok(s[0] == 400 and "logprobs" in s[2], "what cannot be asked for is refused", s)

    # ---- streams pass at once ----
    conn = http.client.HTTPConnection(c.address, timeout=60)
    body = {"model": "s-slow", "messages": [{"role": "user", "content": "x"}], "stream": True}
    begin = time.time()
    conn.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    rs, times = conn.getresponse(), []
    for line in rs:
        if b'"content":"' in line and b'"content":""' not in line:
            times.append(time.time() - begin)
    tap.ok(len(times) == 4 and times[0] < 0.25 and all(0.2 < y - x < 0.45 for x, y in zip(times, times[1:])),
           "each piece is passed on as it comes", times)
    conn.close()

    # ---- tools ----
    add(c, "s-tools", stub.url, "tools")
    functions = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}}
                 for n in ("weather", "clock")]
    want = [("c1", "weather", '{"city":"Bern"}'), ("c2", "clock", "{}")]
    asked = {"model": "s-tools", "messages": [{"role": "user", "content": "x"}], "tools": functions,
             "tool_choice": "required"}
    status, got = c.json("POST", "/v1/chat/completions", asked)
    m = got["choices"][0]["message"] if status == 200 else got
    tap.same(([(t["id"], t["function"]["name"], t["function"]["arguments"]) for t in m.get("tool_calls") or []],
              m.get("reasoning_content"), got.get("choices", [{}])[0].get("finish_reason")),
             (want, "hm", "tool_calls"), "calls of tools come through, and reasoning apart")
    tap.ok(stub.body["tools"]["tool_choice"] == "required" and len(stub.body["tools"]["tools"]) == 2,
           "the provider is given the tools")
    data = c.request("POST", "/v1/chat/completions", dict(asked, stream=True))[1].decode()
    calls = {}
    for line in data.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                for t in choice["delta"].get("tool_calls") or []:
                    was = calls.setdefault(t["index"], ["", "", ""])
                    was[0] += t.get("id") or ""
                    was[1] += t["function"].get("name") or ""
                    was[2] += t["function"].get("arguments") or ""
    tap.same([tuple(calls[i]) for i in sorted(calls)], want, "streamed too")

    # ---- cancellation reaches upstream ----
    conn = http.client.HTTPConnection(c.address, timeout=60)
    conn.request("POST", "/v1/chat/completions", json.dumps(dict(body, model="s-long")),
                 {"content-type": "application/json"})
    rs = conn.getresponse()
    rs.read(200)
    rs.close()
    conn.close()
    left = time.time()
    while "long" not in stub.gone and time.time() - left < 5:
        time.sleep(0.02)
    tap.ok(stub.gone.get("long", left + 9) - left < 2, "a client that goes away is noticed by the provider")

    # ---- the circuit ----
    stub.healthy = False
    add(c, "s-flaky", stub.url, "flaky", retries=0)
    for _ in range(3):
        chat(c, "s-flaky")
    s = chat(c, "s-flaky")
    state = c.json("GET", "/api/v1/endpoints/s-flaky")[1]["state"]
    tap.ok(s[0] == 503 and "left alone" in s[2] and stub.seen["flaky"] == 3 and state["circuit"] == "open",
           "after three failures the provider is left alone", (s, state))
    tap.ok(b'croft_provider_circuit{endpoint="s-flaky"} 1' in c.get("/metrics")[1], "/metrics shows it")
    time.sleep(1.1)
    chat(c, "s-flaky")
    tap.ok(stub.seen["flaky"] == 4 and chat(c, "s-flaky")[0] == 503 and stub.seen["flaky"] == 4,
           "one request tries it again, and fails")
    stub.healthy = True
    time.sleep(1.1)
    tap.ok(chat(c, "s-flaky")[2] == "well" and chat(c, "s-flaky")[0] == 200, "it recovers")
    tap.same(c.json("GET", "/api/v1/endpoints/s-flaky")[1]["state"]["circuit"], "closed", "and the circuit is closed")

    # ---- fallbacks ----
    add(c, "chain", stub.url, "500", retries=0, fallbacks=["s-closed", "s-ok", CHAT])
    for streamed in (False, True):
        s = chat(c, "chain", stream=streamed)
        tap.same((s[0], s[2], s[1].get("x-croft-provider")), (200, "fine", "s-ok"),
                 "the fallback that works answers" + (", streamed" if streamed else ""))
    got = receipt(c, s[1])
    tap.ok(got["reason"] == "fallback" and got["model"] == "ok" and got["attempts"][0]["error"],
           "the receipt says why", got)
    add(c, "homeward", "http://127.0.0.1:1/v1", "m", retries=0, fallbacks=[CHAT])
    s = chat(c, "homeward")
    got = receipt(c, s[1])
    tap.ok(s[2] == direct[2] and s[1].get("x-croft-provider") == CHAT and got["local"]["model_sha256"],
           "a local model is a fallback", (s, got))
    s = chat(c, "chain", stream=True, max_tokens=8)
    add(c, "no-mix", stub.url, "half", retries=0, fallbacks=["s-ok"])
    s = chat(c, "no-mix", stream=True)
    tap.ok("fine" not in s[2], "two answers are never mixed", s)
    s = chat(c, "no-mix")
    tap.same((s[0], s[2]), (200, "fine"), "without a listener half an answer is thrown away, and the fallback asked")

    # ---- Anthropic ----
    c.cli("secret", "set", "claude", input="sk-very-secret-1234567890\n")
    status, made = add(c, "claude", stub.url, "claude-x", kind="anthropic", key_secret="claude")
    tap.same(status, 201, "a provider of the other kind")
    for streamed in (False, True):
        tap.same(chat(c, "claude", stream=streamed)[2], "Bonjour", f"answers (stream: {streamed})")
    sent = {k.lower(): v for k, v in stub.headers["claude-x"].items()}
    tap.same((sent.get("x-api-key"), sent.get("anthropic-version"), "authorization" in sent),
             ("sk-very-secret-1234567890", "2023-06-01", False), "with its headers and its key")
    everything = c.get("/api/v1/endpoints")[1] + c.get("/api/v1/audit")[1] + c.logged().encode()
    tap.ok(b"sk-very-secret" not in everything and b"claude" in everything, "the key is in no list, log or audit")

    # ---- Anthropic's API of another Croft, a real model ----
    status, made = add(c, "far-messages", upstream.base + "/v1", CHAT, kind="anthropic")
    tap.same(status, 201, "another Croft by its messages")
    for streamed in (False, True):
        s = chat(c, "far-messages", stream=streamed)
        tap.same((s[0], s[2]), (200, direct[2]), f"the answer is the model's own (stream: {streamed})")
    tool = {"name": "get_weather", "description": "The weather of a city", "parameters": {
        "type": "object", "required": ["city"], "additionalProperties": False,
        "properties": {"city": {"type": "string", "maxLength": 12}}}}
    asked = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather in Bonn?"}],
             "tools": [{"type": "function", "function": tool}], "tool_choice": "required", "temperature": 0, "max_tokens": 60}
    calls = []
    for server, model in ((upstream, CHAT), (c, "far"), (c, "far-messages")):
        status, r = server.json("POST", "/v1/chat/completions", {**asked, "model": model})
        if tap.ok(status == 200 and r["choices"][0]["finish_reason"] == "tool_calls", f"a call through {model}", r):
            calls.append([(x["function"]["name"], json.loads(x["function"]["arguments"]))
                          for x in r["choices"][0]["message"]["tool_calls"]])
    tap.same(calls, [calls[0]] * 3, "the same call, straight and through both kinds")
    heads = {"anthropic-version": "2023-06-01"}
    asked = {"max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}
    said = [s.json("POST", "/v1/messages", {**asked, "model": m}, headers=heads)[1]["content"][0]["text"]
            for s, m in ((upstream, CHAT), (c, "far"), (c, "far-messages"))]
    tap.same(said, [said[0]] * 3, "messages pass through both kinds as well")

    # ---- what may be added ----
    for url, want in (("ftp://h/v1", 400), ("http://u:p@h/v1", 400), ("http://h/v1?x=1", 400), ("http://", 400),
                      ("http://169.254.169.254/v1", 403), ("http://[fe80::1]/v1", 403),
                      ("http://metadata.google.internal/v1", 403)):
        tap.same(add(c, "bad", url, "m")[0], want, f"{url} is refused")
    for url in ("http://2852039166/v1", "http://0xa9fea9fe/v1", "http://[::ffff:169.254.169.254]/v1"):
        add(c, "meta", url, "m", retries=0)
        s = chat(c, "meta")
        tap.ok(s[0] == 403 and "metadata" in s[2], f"{url} is not connected to", s)
        c.request("DELETE", "/api/v1/endpoints/meta")
    tap.same(add(c, CHAT, stub.url, "m")[0], 409, "an installed model's name is taken")
    tap.same(add(c, "far", stub.url, "m")[0], 409, "so is an endpoint's")
    tap.same(add(c, "nokey", stub.url, "m", key_secret="none")[0], 400, "a secret that is not there")
    code, out, err = c.cli("endpoint", "add", "far", "--url", stub.url, "--model", "ok", "--replace", "--retries", "0")
    tap.ok(code == 0 and chat(c, "far")[2] == "fine", "it can be replaced, at once", err)
    code, out, err = c.cli("endpoint", "ls")
    tap.ok(code == 0 and "far" in out and "closed" in out, "croft endpoint ls", out)
    code, out, err = c.cli("endpoint", "show", "chain")
    tap.ok(code == 0 and "s-closed" in out, "croft endpoint show", out)
    code, out, err = c.cli("endpoint", "rm", "far")
    tap.ok(code == 0 and chat(c, "far")[0] == 404, "and removed", err)
    audit = c.get("/api/v1/audit")[1]
    tap.ok(all(a in audit for a in (b"endpoint.add", b"endpoint.change", b"endpoint.remove")), "all of it is audited")

    # ---- who may (last: from here on everybody needs a key) ----
    for words in (["project", "add", "beta"], ["user", "add", "boss", "--admin"],
                  ["role", "set", "modeller", "--permissions", "model.read,model.use,model.manage"],
                  ["user", "add", "mo", "--service", "--role", "modeller"],
                  ["user", "add", "bob", "--service"], ["member", "set", "bob", "admin", "--project", "beta"]):
        code, out, err = c.cli(*words)
        tap.ok(code == 0, "croft " + " ".join(words[:3]), err)
    as_ = {name: {"Authorization": "Bearer " + c.cli("key", "add", "--user", name)[1].strip()}
           for name in ("mo", "bob")}
    as_["bob"]["x-croft-project"] = "beta"
    mine = {"name": "mine", "url": stub.url, "model": "ok"}
    tap.same(c.json("POST", "/api/v1/endpoints", mine)[0], 401, "without a key nobody adds one")
    tap.same(c.json("POST", "/api/v1/endpoints", mine, headers=as_["bob"])[0], 403,
             "nor does the admin of a single project")
    tap.same(c.json("POST", "/api/v1/endpoints", dict(mine, key_secret="claude"), headers=as_["mo"])[0], 403,
             "who manages models but no secrets cannot have a key sent somewhere")
    tap.same(c.json("POST", "/api/v1/endpoints", mine, headers=as_["mo"])[0], 201, "but can add one without a key")
    moved = dict(url="http://127.0.0.1:1/v1", model="m", kind="anthropic", key_secret="claude")
    tap.same(c.json("PUT", "/api/v1/endpoints/claude", moved, headers=as_["mo"])[0], 403,
             "nor turn one with a key elsewhere")
    tap.same(c.json("DELETE", "/api/v1/endpoints/mine", headers=as_["bob"])[0], 403, "nor remove another's")
    stub.stop()
tap.done()
