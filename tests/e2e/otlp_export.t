#!/usr/bin/env python3
"""Croft's own runs: part of a caller's trace (traceparent), live, and sent on to another collector
(another Croft, behind one that refuses at first)."""
import http.server
import json
import os
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
refusals, seen = 2, []


class Front(http.server.BaseHTTPRequestHandler):
    """Says 503 with Retry-After twice, then passes on what it gets."""
    target = None

    def do_POST(self):
        global refusals
        body = self.rfile.read(int(self.headers["content-length"]))
        seen.append(dict(self.headers))
        if refusals:
            refusals -= 1
            self.send_response(503)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rq = urllib.request.Request(self.target + self.path, body, {
            "Content-Type": self.headers["content-type"], "Content-Encoding": self.headers["content-encoding"]})
        with urllib.request.urlopen(rq) as r:
            self.send_response(r.status)
            self.send_header("Content-Type", r.headers["content-type"])
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *a):
        pass


def embed(c, **headers):
    """A request that makes a run, though there is no model for it."""
    return c.request("POST", "/v1/embeddings", {"model": "none", "input": "x"}, headers=headers)


def wait_for(fn, seconds=15):
    end = time.time() + seconds
    while time.time() < end:
        r = fn()
        if r:
            return r
        time.sleep(0.1)


front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
threading.Thread(target=front.serve_forever, daemon=True).start()
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

with Croft() as there:
    Front.target = there.base
    with Croft(settings={"otlp.export_url": f"http://127.0.0.1:{front.server_port}/v1/traces",
                         "otlp.export_headers": "authorization=Bearer t0p, x-team=shop"}) as here:
        embed(here)
        embed(here, traceparent=f"00-{TRACE}-{SPAN}-01")
        runs = here.json("GET", "/api/v1/traces")[1]["traces"]
        own = next(r for r in runs if r["id"] != TRACE)
        tap.same((own["kind"], own["status"]), ("embedding", "error"), "a run of its own")

        # ---- part of the caller's trace ----
        t = here.json("GET", f"/api/v1/traces/{TRACE}")[1]
        tap.same([(s["kind"], s["parent"], s["status"]) for s in t["spans"]], [("embedding", SPAN, "error")],
                 "a request with a traceparent is a span of that trace")
        tap.same(t["trace"]["status"], "error", "which has ended with it, as far as anybody knows")
        status, r = here.json("POST", "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": TRACE, "spanId": SPAN, "name": "caller", "startTimeUnixNano": str(time.time_ns() - 10**9),
            "endTimeUnixNano": str(time.time_ns())}]}]}]})
        t = here.json("GET", f"/api/v1/traces/{TRACE}")[1]
        tap.same(([s["name"] for s in t["spans"]][0], t["spans"][1]["parent"], t["trace"]["name"], t["trace"]["status"]),
                 ("caller", SPAN, "caller", "ok"), "the caller's own span makes it whole")
        for bad in ("00-" + "0" * 32 + f"-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", TRACE, f"00-{TRACE.upper()}-{SPAN}-01"):
            embed(here, traceparent=bad)
        tap.same(len(here.json("GET", f"/api/v1/traces/{TRACE}")[1]["spans"]), 2, "what is no traceparent is none")

        # ---- sent on ----
        got = wait_for(lambda: there.json("GET", f"/api/v1/traces/{own['id']}")[1].get("spans"))
        tap.ok(got, "after two refusals the run is at the other Croft")
        tap.same([s["parent"] for s in got or []], [None], "its root stands for the run")
        s = there.json("GET", f"/api/v1/traces/{own['id']}/spans/{got[0]['id']}")[1]
        tap.same((s["status"], s["resource"]["service.name"], s["attributes"]["croft.kind"]), ("error", "croft", "embedding"),
                 "with status, source and kind")
        h = {k.lower(): v for k, v in seen[0].items()}
        tap.same((h["content-type"], h["content-encoding"], h["authorization"], h["x-team"]),
                 ("application/x-protobuf", "gzip", "Bearer t0p", "shop"), "as OTLP/HTTP with its headers")
        tap.ok(wait_for(lambda: here.metric("croft_trace_exported_total") >= 6), "all of it")
        tap.same(here.metric("croft_trace_export_dropped_total"), 0, "nothing was dropped")
        tap.ok("t0p" not in here.get("/api/v1/settings")[1].decode() and "t0p" not in here.logged(), "the secret stays secret")

for url in ("ftp://x/v1/traces", "http://user:pw@host/", "http://169.254.169.254/v1/traces"):
    c = Croft(settings={"otlp.export_url": url})
    try:
        c.start(timeout=10)
        tap.ok(False, f"{url} is refused")
    except RuntimeError as e:
        tap.ok("otlp.export_url" in str(e) and "pw@" not in str(e), f"{url} is refused", e)
    c.remove()
tap.done()
