"""The official OpenTelemetry SDK and OTLP/HTTP exporter for Python, unmodified, against a server."""
import json
import logging
import sys
import time

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from croft_server import Croft, Tap

tap = Tap()


def provider(base, compression):
    p = TracerProvider(resource=Resource.create({"service.name": "shop", "host.cores": 4}))
    p.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(
        endpoint=base + "/v1/traces", compression=compression)))
    return p


def one_trace(p):
    tracer = p.get_tracer("croft.test", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.41.0")
    with tracer.start_as_current_span("answer", kind=SpanKind.SERVER) as root:
        root.set_attribute("session.id", "s-1")
        root.set_attribute("input.value", "Where is my order?")
        with tracer.start_as_current_span("chat gpt-5", kind=SpanKind.CLIENT) as llm:
            llm.set_attributes({
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-5", "gen_ai.response.model": "gpt-5-2026",
                "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 30,
                "gen_ai.request.temperature": 1.0, "gen_ai.request.stream": True,
                "gen_ai.request.stop_sequences": ["a", "b"]})
            llm.add_event("first token", {"at": 3})
        with tracer.start_as_current_span(
                "execute_tool find", links=[Link(SpanContext(1, 2, True, TraceFlags(1)),
                                                 {"why": "retry"})]) as tool:
            tool.set_attribute("gen_ai.operation.name", "execute_tool")
            tool.record_exception(ValueError("no such order"))
            tool.set_status(Status(StatusCode.ERROR, "no such order"))
        root.set_attribute("output.value", "It is on its way.")
        return format(root.get_span_context().trace_id, "032x")


with Croft() as c:
    for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
        p = provider(c.base, compression)
        trace = one_trace(p)
        tap.ok(p.force_flush(), f"{compression.value}: the exporter is told of success")
        status, got = c.json("GET", "/api/v1/runs/" + trace)
        tap.same(status, 200, f"{compression.value}: the trace is there")
        p.shutdown()
    run, spans = got["run"], {s["name"]: s for s in got["spans"]}
    tap.same([run["kind"], run["name"], run["status"]], ["trace", "answer", "ok"], "the run is the root")
    tap.same(run["attributes"], {"input": "Where is my order?", "output": "It is on its way.",
                                 "service": "shop", "model": "gpt-5-2026", "session": "s-1"},
             "with what its spans say")
    tap.same([s["kind"] for s in (spans["answer"], spans["chat gpt-5"], spans["execute_tool find"])],
             ["server", "llm", "tool"], "types of spans")
    tap.same(spans["chat gpt-5"]["parent"], spans["answer"]["id"], "and the tree")
    tap.same([spans["execute_tool find"]["status"], spans["execute_tool find"]["error"]],
             ["error", "no such order"], "errors")
    a = spans["chat gpt-5"]["attributes"]
    tap.same([a["gen_ai.usage.input_tokens"], a["gen_ai.request.stop_sequences"], a["gen_ai.request.stream"]],
             [120, ["a", "b"], True], "attributes keep their types")
    # log records: Python's logging, and events, in a span and without one
    for compression in (Compression.NoCompression, Compression.Gzip):
        name = compression.value
        p = provider(c.base, compression)
        logs = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
        logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(
            endpoint=c.base + "/v1/logs", compression=compression)))
        log = logging.getLogger("shop." + name)
        log.setLevel(logging.DEBUG)
        log.propagate = False
        log.addHandler(LoggingHandler(logger_provider=logs))
        with p.get_tracer("croft.test").start_as_current_span("checkout") as span:
            log.warning("stock of %s is low", "cheese", extra={"left": 3})
            try:
                raise ValueError("no such order")
            except ValueError:
                log.exception("order failed")
            logs.get_logger("croft.events").emit(
                event_name="order.checked", severity_number=SeverityNumber.INFO,
                body={"order": 4711, "lines": ["a", "b"]}, attributes={"fast": True})
        log.debug("outside of " + name)
        tap.ok(logs.force_flush() and p.force_flush(), f"{name}: log records are accepted")
        trace = format(span.get_span_context().trace_id, "032x")
        span_id = format(span.get_span_context().span_id, "016x")
        status, got = c.json("GET", f"/api/v1/runs/{trace}/logs")
        rows = got["logs"]
        tap.same([(r["level"], r["body"], r["event"]) for r in rows],
                 [("warn", "stock of cheese is low", None), ("error", "order failed", None),
                  ("info", {"order": 4711, "lines": ["a", "b"]}, "order.checked")], f"{name}: the trace has them")
        tap.same({(r["trace"], r["span"], r["service"]) for r in rows}, {(trace, span_id, "shop")}, f"{name}: at their span")
        tap.same([rows[0]["attributes"]["left"], rows[1]["attributes"]["exception.message"], rows[2]["attributes"],
                  rows[2]["scope"]], [3, "no such order", {"fast": True}, "croft.events"], f"{name}: attributes")
        status, got = c.json("GET", f"/api/v1/traces/{trace}")
        tap.same(got["logs"], 3, f"{name}: the trace says how many")
        status, got = c.json("GET", f"/api/v1/traces/{trace}/spans/{span_id}")
        tap.same([r["body"] for r in got["logs"]][:2], ["stock of cheese is low", "order failed"], f"{name}: the span shows them")
        status, got = c.json("GET", f"/api/v1/runs/{trace}/logs?level=error")
        tap.same([r["body"] for r in got["logs"]], ["order failed"], f"{name}: by level")
        status, got = c.json("GET", f"/api/v1/runs/{trace}/logs?q=CHEESE")
        tap.same([r["body"] for r in got["logs"]], ["stock of cheese is low"], f"{name}: by text")
        status, got = c.json("GET", "/api/v1/logs?limit=2")
        tap.same([got["logs"][0]["body"], got["logs"][0]["trace"]], ["outside of " + name, None], f"{name}: all, newest first")
        status, more = c.json("GET", "/api/v1/logs?limit=2&after=" + got["next"])
        tap.same(more["logs"][0]["body"], "order failed", f"{name}: page by page")
        logs.shutdown()
        p.shutdown()
    tap.same(c.metric("croft_log_records_total"), 8, "they are counted")
    rc, out, err = c.cli("logs", trace, "--level", "warn")
    tap.ok(rc == 0 and "stock of cheese is low" in out and "order.checked" not in out, "croft logs", out + err)
tap.done()
