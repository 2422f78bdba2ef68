"""opentelemetry-instrumentation-openai-v2 between the OpenAI client and Croft's own chat route, its
spans and log records sent to Croft: messages that come as events are shown at their span. Once with
the older conventions (an event for each message), once with the newest (one event with all details)."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from croft_server import CHAT, Croft, Tap

PROGRAM = """
import sys
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

traces, logs = TracerProvider(), LoggerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
OpenAIInstrumentor().instrument(tracer_provider=traces, logger_provider=logs)
client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none")
with traces.get_tracer("test").start_as_current_span("question") as span:
    r = client.chat.completions.create(model=sys.argv[2], max_tokens=8, temperature=0, messages=[
        {"role": "system", "content": "You are a shepherd."},
        {"role": "user", "content": "Where are the sheep?"},
        {"role": "assistant", "content": "I look."},
        {"role": "user", "content": "And?"}])
print(format(span.get_span_context().trace_id, "032x"))
print(r.choices[0].message.content)
traces.shutdown()
logs.shutdown()
"""

tap = Tap()
MODES = (("older", {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}, "gen_ai.user.message"),
         ("newest", {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
                     "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "event_only",
                     "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true"},
          "gen_ai.client.inference.operation.details"))
with Croft(models=True) as c:
    for name, env, event in MODES:
        p = subprocess.run([sys.executable, "-c", PROGRAM, c.base, CHAT], capture_output=True, text=True, timeout=120,
                           env=dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=c.base, **env))
        if not tap.same(p.returncode, 0, f"{name}: the program runs"):
            tap.note(p.stderr[-2000:])
            continue
        trace, answer = p.stdout.split("\n", 1)
        answer = answer.rstrip("\n")
        logs = c.json("GET", f"/api/v1/runs/{trace}/logs")[1]["logs"]
        tap.ok(event in [r["event"] for r in logs], f"{name}: {event} is there", [r["event"] for r in logs])
        spans = c.json("GET", f"/api/v1/traces/{trace}")[1]["spans"]
        call = next(s for s in spans if s["kind"] == "llm" and s["name"].startswith("chat"))
        view = c.json("GET", f"/api/v1/traces/{trace}/spans/{call['id']}")[1]["view"]
        tap.same([(m["role"], m["parts"][0].get("text")) for m in view.get("messages_in", [])],
                 [("system", "You are a shepherd."), ("user", "Where are the sheep?"), ("assistant", "I look."),
                  ("user", "And?")], f"{name}: the span's messages")
        tap.same([(m["role"], m["parts"][0].get("text")) for m in view.get("messages_out", [])],
                 [("assistant", answer)], f"{name}: and its answer")
    lines = c.json("GET", "/api/v1/traces/usage")[1]["usage"]
    chat = next(x for x in lines if x["model"] == CHAT)
    own = 2  # Croft's own runs of the same calls: the client did not say that they belong together
    tap.same([chat["calls"], chat["errors"]], [2 + own, 0], "the day's calls")
    tap.ok(chat["tokens_out"] == 16 * 2 and 0 < chat["p50_ms"] <= chat["p99_ms"], "their tokens and times", chat)
    rc, out, err = c.cli("traces", "usage", "--model", CHAT)
    tap.ok(rc == 0 and CHAT in out, "croft traces usage", out + err)
tap.done()
