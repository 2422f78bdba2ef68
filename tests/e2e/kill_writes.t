#!/usr/bin/env python3
"""kill -9 at random points under mixed write load: documents, artifact versions, aliases, traces,
secrets. After each start everything that was acknowledged before is there and whole.

CROFT_TEST_KILLS: how often (10; `make fault` takes 200). CROFT_TEST_SEED: of the moments."""
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import MODELS, NAMES, Croft, Tap

KILLS = int(os.environ.get("CROFT_TEST_KILLS", "10"))
SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
HAVE_MODELS = all(os.path.exists(os.path.join(MODELS, m)) for m in NAMES)
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")


class Client:
    """One connection that stays open; (status, json or bytes)."""

    def __init__(self, address):
        self.c = http.client.HTTPConnection(address, timeout=30)

    def call(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.c.request(method, path, data, {"Content-Type": kind} if data is not None else {})
        r = self.c.getresponse()
        raw = r.read()
        return r.status, json.loads(raw) if "json" in (r.getheader("Content-Type") or "") else raw


class Writer(threading.Thread):
    """Writes one kind of thing until the server is gone; `acked` is what it was told is stored."""
    n = 0

    def __init__(self, address, lane):
        super().__init__()
        self.address, self.lane, self.acked, self.refused = address, lane, [], []

    def run(self):
        c = Client(self.address)
        while True:
            Writer.n += 1
            try:
                status, thing = self.write(c, f"{self.lane}-{Writer.n}")
            except (OSError, http.client.HTTPException):
                return
            if 200 <= status < 300:
                self.acked.append(thing)
            elif status not in (429, 503):
                self.refused.append((status, thing))


class Documents(Writer):
    def write(self, c, name):
        text = f"{name} " + f"holds the word w{random.getrandbits(40):x} and more. " * random.randint(1, 30)
        status, _ = c.call("PUT", "/api/v1/documents/by-path?path=" + name, text.encode(), "text/plain")
        return status, (name, text)

    def lost(self, c, thing):
        name, text = thing
        _, found = c.call("GET", "/api/v1/documents?limit=5&q=" + urllib.parse.quote(name))
        ids = [d["id"] for d in found["documents"] if d["path"] == name]
        return not ids or c.call("GET", f"/api/v1/documents/{ids[0]}/content")[1] != text.encode()


class Versions(Writer):
    """Each artifact gets versions 1, 2, ... and the alias follows the newest."""
    name = None

    def write(self, c, name):
        if not self.name or random.random() < 0.2:
            self.name, self.version = name, 0
        base = f"/api/v1/artifacts/dataset/{self.name}"
        self.version += 1
        digest = hashlib.sha256(f"{self.name}/{self.version}".encode()).hexdigest()
        status, v = c.call("POST", base + "/versions", {"digest": digest, "tags": {"n": str(self.version)}})
        if status != 201:
            return status, v
        status, v = c.call("PUT", base + "/aliases/prod", {"version": self.version})
        return status, (self.name, self.version, digest)

    def lost(self, c, thing):
        name, version, digest = thing
        base = f"/api/v1/artifacts/dataset/{name}"
        status, v = c.call("GET", f"{base}/versions/{version}")
        if status != 200 or v["digest"] != digest or v["tags"].get("n") != str(version):
            return True
        status, v = c.call("GET", f"{base}/versions/prod")
        return status != 200 or v["version"] < version


class Traces(Writer):
    def write(self, c, name):
        trace = f"{random.getrandbits(128):032x}"
        spans = [{"traceId": trace, "spanId": f"{i + 1:016x}", "parentSpanId": f"{i:016x}" if i else "",
                  "name": name, "startTimeUnixNano": str(time.time_ns()),
                  "endTimeUnixNano": str(time.time_ns())} for i in range(5)]
        status, _ = c.call("POST", "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
        return status, trace

    def lost(self, c, trace):
        status, t = c.call("GET", "/api/v1/traces/" + trace)
        return status != 200 or len(t["spans"]) != 5


class Secrets(Writer):
    def write(self, c, name):
        name = f"s{Writer.n % 100}"  # a project may have a thousand
        status, v = c.call("PUT", "/api/v1/secrets/" + name, {"value": "v" + name})
        return status, name

    def lost(self, c, name):
        status, v = c.call("GET", "/api/v1/secrets")
        return name not in json.dumps(v)


def blobs_are_whole(home):
    bad = 0
    for folder, _, files in os.walk(os.path.join(home, "blobs")):
        if os.path.basename(folder) == "tmp":
            continue
        for f in files:
            with open(os.path.join(folder, f), "rb") as b:
                bad += hashlib.sha256(b.read()).hexdigest() != os.path.basename(folder) + f
    return bad


def main():
    kinds = [Versions, Traces, Secrets] + ([Documents] if HAVE_MODELS else [])
    server = Croft(models=HAVE_MODELS, ready=False)
    if not HAVE_MODELS:
        tap.note("without the test models no documents are written")
    total, lost, refused = 0, [], []
    before, slowest = [], 0
    for kill in range(KILLS + 1):
        start = time.time()
        server.start()
        slowest = max(slowest, time.time() - start)
        check = Client(server.address)
        for w in before:
            lost += [(type(w).__name__, t, kill) for t in w.acked if w.lost(check, t)]
            total += len(w.acked)
        if kill == KILLS:
            break
        before = [k(server.address, f"k{kill}{k.__name__.lower()}") for k in kinds]
        for w in before:
            w.start()
        time.sleep(random.uniform(0.02, 0.5))
        server.kill()
        for w in before:
            w.join()
            refused += w.refused
    tap.note(f"{KILLS} kills, {total} acknowledged writes, slowest start {slowest:.2f} s")
    tap.ok(total > 10 * KILLS, "there was load")
    tap.ok(not lost, "nothing acknowledged is lost", lost[:10])
    tap.ok(not refused, "nothing was refused for another reason than load", refused[:5])
    tap.same(blobs_are_whole(server.home), 0, "every visible blob is whole")
    status, body = check.call("POST", "/api/v1/artifacts/verify", {})
    tap.ok(status == 200, "the record of facts is intact", body)
    server.stop()
    rc, out, err = server.cli("audit", "verify")
    tap.ok(rc == 0, "the audit log is intact", out + err)
    server.remove()
    tap.done()


main()
