#!/usr/bin/env python3
"""Reading traces: conventions in one form, lists by filter, the live stream, feedback, commands."""
import http.client
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import BINARY, Croft, Tap

tap = Tap()
T0 = 1_790_000_000_000_000_000


def any_value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    if isinstance(v, list):
        return {"arrayValue": {"values": [any_value(x) for x in v]}}
    if isinstance(v, dict):
        return {"kvlistValue": {"values": attributes(v)}}
    return {"stringValue": v}


def attributes(d):
    return [{"key": k, "value": any_value(v)} for k, v in d.items()]


def span(trace, sid, parent=0, name="x", start=0, ms=100, attrs=None, error=None, events=()):
    s = {"traceId": f"{trace:032x}", "spanId": f"{sid:016x}", "name": name, "kind": 1,
         "startTimeUnixNano": str(T0 + start * 1_000_000), "attributes": attributes(attrs or {}),
         "events": [{"name": n, "timeUnixNano": str(T0), "attributes": attributes(a)} for n, a in events]}
    if ms is not None:
        s["endTimeUnixNano"] = str(T0 + (start + ms) * 1_000_000)
    if parent:
        s["parentSpanId"] = f"{parent:016x}"
    if error:
        s["status"] = {"code": 2, "message": error}
    return s


def send(c, *spans):
    status, body = c.json("POST", "/v1/traces", {"resourceSpans": [{
        "resource": {"attributes": attributes({"service.name": "shop"})},
        "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": list(spans)}]}]})
    assert (status, body) == (200, {}), (status, body)


def view(c, attrs, events=()):
    view.n += 1
    send(c, span(view.n, 1, attrs=attrs, events=events))
    return c.json("GET", f"/api/v1/traces/{view.n:032x}/spans/{1:016x}")[1]


view.n = 1000


def texts(messages):
    return [(m["role"], [p.get("text", p.get("name", p.get("result"))) for p in m["parts"]]) for m in messages]


IN = [{"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
      {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather",
                                       "arguments": {"city": "Paris"}}]},
      {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rain"}]}]
OUT = [{"role": "assistant", "parts": [{"type": "text", "content": "It rains."}], "finish_reason": "stop"}]
WANT_IN = [("user", ["Weather in Paris?"]), ("assistant", ["weather"]), ("tool", ["rain"])]
WANT_OUT = [("assistant", ["It rains."])]

with Croft() as c:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    # OpenTelemetry 1.37 and later: JSON texts or structured values
    s = view(c, {**chat, "gen_ai.input.messages": json.dumps(IN), "gen_ai.output.messages": json.dumps(OUT),
                 "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}])})
    tap.same(texts(s["view"]["messages_in"]), [("system", ["Be brief."])] + WANT_IN, "gen_ai messages as JSON: in")
    tap.same(texts(s["view"]["messages_out"]), WANT_OUT, "out")
    tap.same(s["view"]["messages_out"][0]["finish"], "stop", "why it ended")
    tap.same(s["view"]["messages_in"][2]["parts"][0],
             {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}}, "a tool's call")
    s = view(c, {**chat, "gen_ai.input.messages": IN, "gen_ai.output.messages": OUT})
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"])), (WANT_IN, WANT_OUT), "structured")
    # before: an event for each message
    s = view(c, chat, [("gen_ai.user.message", {"content": "Weather in Paris?"}),
                       ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"role":"assistant","content":"It rains."}'})])
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"])), (WANT_IN[:1], WANT_OUT), "events")
    # Traceloop
    s = view(c, {**chat, "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Weather in Paris?",
                 "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "It rains.",
                 "gen_ai.usage.prompt_tokens": 5, "gen_ai.usage.completion_tokens": 2})
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"])), (WANT_IN[:1], WANT_OUT), "Traceloop")
    tap.same((s["kind"], s["tokens_in"], s["tokens_out"]), ("llm", 5, 2), "older names of tokens")
    # OpenInference
    m = "llm.input_messages."
    s = view(c, {"openinference.span.kind": "LLM", "llm.model_name": "m",
                 m + "0.message.role": "user",
                 m + "0.message.contents.0.message_content.type": "text",
                 m + "0.message.contents.0.message_content.text": "Weather in Paris?",
                 m + "1.message.role": "assistant",
                 m + "1.message.tool_calls.0.tool_call.id": "c1",
                 m + "1.message.tool_calls.0.tool_call.function.name": "weather",
                 m + "1.message.tool_calls.0.tool_call.function.arguments": '{"city":"Paris"}',
                 m + "2.message.role": "tool", m + "2.message.content": "rain", m + "2.message.tool_call_id": "c1",
                 "llm.output_messages.0.message.role": "assistant",
                 "llm.output_messages.0.message.content": "It rains.",
                 "llm.token_count.prompt": 9, "llm.token_count.completion": 3, "llm.cost.total": 0.5})
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"])), (WANT_IN, WANT_OUT), "OpenInference")
    tap.same(s["view"]["messages_in"][1]["parts"][0]["arguments"], {"city": "Paris"}, "its arguments")
    tap.same((s["tokens_in"], s["tokens_out"], s["cost"]), (9, 3, 0.5), "tokens and cost")
    s = view(c, {"openinference.span.kind": "RETRIEVER", "input.value": "paris",
                 "retrieval.documents.0.document.id": "d1", "retrieval.documents.0.document.content": "Paris is",
                 "retrieval.documents.0.document.score": 0.9,
                 "retrieval.documents.0.document.metadata": '{"page":3}',
                 "retrieval.documents.1.document.content": "Lyon is"})
    tap.same(s["view"]["documents"], [{"id": "d1", "text": "Paris is", "score": 0.9, "metadata": {"page": 3}},
                                      {"text": "Lyon is"}], "its documents")
    # Langfuse, MLflow: whole chat requests in one attribute
    s = view(c, {"langfuse.observation.type": "generation",
                 "langfuse.observation.input": json.dumps({"messages": [{"role": "user", "content": "Weather in Paris?"}]}),
                 "langfuse.observation.output": json.dumps({"role": "assistant", "content": "It rains."}),
                 "langfuse.observation.usage_details": '{"input":4,"output":1}'})
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"]), s["tokens_in"]),
             (WANT_IN[:1], WANT_OUT, 4), "Langfuse")
    s = view(c, {"mlflow.spanType": '"CHAT_MODEL"',
                 "mlflow.spanInputs": json.dumps({"messages": [{"role": "user", "content": "Weather in Paris?"}]}),
                 "mlflow.spanOutputs": json.dumps({"choices": [{"message": {"role": "assistant", "content": "It rains."}, "finish_reason": "stop"}]})})
    tap.same((texts(s["view"]["messages_in"]), texts(s["view"]["messages_out"])), (WANT_IN[:1], WANT_OUT), "MLflow")
    s = view(c, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "gen_ai.tool.call.id": "c1",
                 "gen_ai.tool.call.arguments": '{"city":"Paris"}', "gen_ai.tool.call.result": "rain"})
    tap.same(s["view"]["tool"], {"name": "weather", "id": "c1", "arguments": {"city": "Paris"}, "result": "rain"}, "a tool")
    hostile = {f"llm.input_messages.{i}.message.tool_calls.{i * 40}.x": "y" for i in range(100)}
    hostile["llm.input_messages.99999999.message.content"] = "far"
    hostile["llm.input_messages.0.message"] = "not an object"
    t = time.time()
    s = view(c, {"openinference.span.kind": "LLM", **hostile})
    tap.ok("view" in s and time.time() - t < 10 and len(json.dumps(s)) < 2_000_000, "hostile indexes")

    # ---- lists ----
    send(c, span(1, 1, name="answer", ms=900, attrs={"session.id": "s1", "input.value": "late parcel"}),
         span(1, 2, 1, "chat", 10, 500, {**chat, "gen_ai.usage.input_tokens": 100, "temperature": 0.5}),
         span(1, 3, 1, "find", 20, 50, {"gen_ai.operation.name": "execute_tool", "secret": "needle42"}, error="no order"))
    send(c, span(2, 1, name="open", ms=None))

    def ids(**query):
        from urllib.parse import urlencode
        status, r = c.json("GET", "/api/v1/traces?" + urlencode({"until": (T0 + 10**12) // 10**6, **query}))
        return [int(t["id"], 16) for t in r["traces"] if int(t["id"], 16) < 1000] if status == 200 else r["error"]["message"]

    for filter, want in (("name = 'answer'", [1]), ("status = 'running'", [2]), ("status = 'IN_PROGRESS'", [2]),
                         ("status != 'running' AND name LIKE 'ans%'", [1]),
                         ("duration_ms > 500 AND tokens >= 100", [1]), ("session = 's1'", [1]), ("errors > 0", [1]),
                         ("span.type = 'tool' AND span.status = 'error'", [1]),
                         ("span.type = 'llm' AND span.status = 'error'", []),
                         ("span.attributes.`secret` = 'needle42'", [1]), ("span.attributes.temperature < 0.6", [1]),
                         ("name IN ('open', 'x y')", [2]), ("session IS NULL AND name = 'open'", [2]),
                         ("trace.text LIKE '%needle42%'", [1]),
                         ("name = 'answer' OR name = 'open'", [2, 1]), ("NOT (name = 'open') AND errors > 0", [1]),
                         ("span.type IN ('EXECUTE_TOOL', 'x') AND span.duration_ms < 100", [1]),
                         ("span.type = 'llm' AND (span.status = 'error' OR span.name = 'find')", []),
                         ("name = 'answer' AND NOT span.type = 'agent'", [1]),
                         ("name RLIKE '^(ans|xyz)[a-z]{3}$'", [1]), ("text CONTAINS 'NEEDLE42' AND name != 'open'", [1])):
        tap.same(ids(filter=filter), want, "filter " + filter)
    two = "name IN ('answer', 'open')"
    for order, want in (("name", [1, 2]), ("name DESC", [2, 1]), ("duration_ms", [1, 2]), ("tokens DESC", [1, 2]),
                        ("timestamp_ms ASC", ids(filter=two)[::-1]), ("session", [1, 2])):
        tap.same(ids(filter=two, order_by=order), want, "ordered by " + order)
    page = c.json("GET", "/api/v1/traces?limit=1&order_by=name&filter=name%20IN%20('answer','open')")[1]
    tap.same([t["name"] for t in c.json("GET", "/api/v1/traces?limit=1&order_by=name&filter=name%20IN%20('answer','open')"
                                        f"&after={page['next']}")[1]["traces"]], ["open"], "the next page of an order")
    tap.same(ids(q="NEEDLE42"), [1], "a word from deep within")
    for wrong in ("name =", "name = 'a' AND", "colour = 'red'", "name > 'a'", "name RLIKE '(a'", "span.x = 'y'"):
        tap.ok(isinstance(ids(filter=wrong), str), f"not a filter: {wrong}", ids(filter=wrong))
    first = c.json("GET", "/api/v1/traces?limit=2")[1]
    rest, after = [t["id"] for t in first["traces"]], first["next"]
    while after:
        page = c.json("GET", f"/api/v1/traces?limit=2&after={after}")[1]
        rest += [t["id"] for t in page["traces"]]
        after = page["next"]
    tap.ok(len(rest) == len(set(rest)) == view.n - 1000 + 2, f"pages: {len(rest)} traces, each once")

    # ---- one trace ----
    t1 = c.json("GET", f"/api/v1/traces/{1:032x}")[1]
    tap.same([(s["name"], s["kind"], s["parent"] and int(s["parent"], 16)) for s in t1["spans"]],
             [("answer", "span", None), ("chat", "llm", 1), ("find", "tool", 1)], "a tree")
    tap.same((t1["trace"]["tokens_in"], t1["trace"]["errors"]), (100, 1), "its sums")
    s = c.json("GET", f"/api/v1/traces/{1:032x}/spans/{3:016x}")[1]
    tap.same((s["resource"], s["scope"]["name"], s["error"]), ({"service.name": "shop"}, "lib", "no order"), "a span's source")

    # ---- live ----
    got = []

    def listen():
        h = http.client.HTTPConnection(c.address, timeout=20)
        h.request("GET", "/api/v1/traces/live")
        r = h.getresponse()
        for line in r:
            if line.startswith(b"event: "):
                got.append(line[7:].strip().decode())
            if line.startswith(b"data: "):
                got[-1] = (got[-1], json.loads(line[6:]))
                if len(got) == 3:
                    break
        h.close()

    th = threading.Thread(target=listen)
    th.start()
    while not got:
        time.sleep(0.01)
    send(c, span(3, 2, 1, "child", attrs=chat), span(3, 1, name="root", ms=None))
    th.join()
    tap.same([(e, d.get("name"), d.get("kind")) for e, d in got[1:]], [("opened", "root", "span"), ("closed", "child", "llm")], "live")

    # ---- feedback ----
    path = f"/api/v1/runs/{1:032x}/feedback"
    status, f = c.json("POST", path, {"name": "helpful", "value": True, "rationale": "it was", "span": f"{2:016x}"})
    tap.same((status, f["value"], f["source"], f["version"], f["span"]), (201, True, "HUMAN", 1, f"{2:016x}"), "feedback")
    c.json("POST", path, {"name": "answer", "value": {"text": "tomorrow"}, "kind": "expectation", "source": "CODE"})
    status, f2 = c.json("PATCH", path + "/" + f["id"], {"value": False})
    tap.same((status, f2["value"], f2["rationale"], f2["version"]), (200, False, "it was", 2), "changed")
    tap.same(ids(filter="feedback.helpful = 'false'"), [1], "traces by feedback")
    tap.same(c.request("DELETE", path + "/" + f["id"])[0], 204, "taken back")
    tap.same([x["name"] for x in c.json("GET", path)[1]["feedback"]], ["answer"], "it is gone")
    tap.same([(x["version"], x["value"], x["deleted"]) for x in c.json("GET", path + "?history=true")[1]["feedback"]
              if x["name"] == "helpful"], [(1, True, False), (2, False, False), (3, False, True)], "but not its history")
    for body in ({"value": 1}, {"name": "x"}, {"name": "x", "value": 1, "source": "GOD"}, {"name": "x", "value": 1, "span": "zz"}):
        tap.same(c.json("POST", path, body)[0], 400, f"refused: {body}")
    tap.same(c.json("POST", f"/api/v1/runs/{99:032x}/feedback", {"name": "x", "value": 1})[0], 404, "no such run")

    # ---- commands ----
    code, out, err = c.cli("traces", "ls", "needle42")
    tap.ok(code == 0 and f"{1:032x}" in out and f"{2:032x}" not in out, "croft traces ls", out + err)
    code, out, err = c.cli("traces", "show", f"{1:032x}")
    tap.ok(code == 0 and out.index("answer") < out.index("  chat") and "no order" in out, "croft traces show", out + err)
    send(c, span(0xfe << 120, 1, name="the greatest id, and old", start=-3_600_000))
    listed = [r["id"] for r in c.json("GET", "/api/v1/runs?limit=1000")[1]["runs"]]
    times = [r["started"] for r in c.json("GET", "/api/v1/runs?limit=1000")[1]["runs"]]
    tap.ok(times == sorted(times, reverse=True) and len(times) > 5, "runs are listed by their time", times)
    tap.same(listed[-1], f"{0xfe << 120:032x}", "whatever their ids")
    paged, after = [], ""
    while after is not None and len(paged) < 2000:
        page = c.json("GET", f"/api/v1/runs?limit=3&after={after}" if after else "/api/v1/runs?limit=3")[1]
        paged += [r["id"] for r in page["runs"]]
        after = page["next"]
    tap.same(paged, listed, "also in pages")
    gone = c.json("GET", f"/api/v1/runs?after={0xfd << 120:032x}")[1]
    tap.same((gone["runs"], gone["next"]), ([], None), "after a trace that is gone the list ends")
    tail = subprocess.Popen([BINARY, "traces", "tail"], env=c.env(), stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    send(c, span(4, 1, name="tailed"))
    tap.ok("tailed" in tail.stdout.readline(), "croft traces tail")
    tail.terminate()
    tail.wait()

    # ---- deletion ----
    tap.same(c.request("DELETE", f"/api/v1/traces/{1:032x}")[0], 204, "deleted")
    tap.same(c.get(f"/api/v1/traces/{1:032x}")[0], 404, "is gone")
    status, audit = c.json("GET", "/api/v1/audit")
    tap.ok(status == 200 and any(r["action"] == "run.delete" for r in audit["records"]), "the audit log says so", str(audit)[:300])
tap.done()
