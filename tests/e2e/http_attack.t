#!/usr/bin/env python3
"""Attacks on the server as a whole, plain and over TLS: smuggling, floods of headers and connections, slow
clients, foreign hosts and origins on every route that changes something, raw rubbish."""
import glob
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import json

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import ROOT, Croft, Tap  # noqa: E402

tap = Tap()
work = tempfile.mkdtemp(prefix="croft-e2e-attack-")
cert, key = os.path.join(work, "cert.pem"), os.path.join(work, "key.pem")
subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-keyout", key, "-out", cert, "-days", "3", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
SHARED = os.environ.get("CROFT_SHARED_DATA", os.path.join(ROOT, "..", "shared", "data"))
AUTH = b"Authorization: Bearer secret\r\n"


def dial(c, timeout=5.0):
    host, port = c.address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), timeout=timeout)
    if c.ca:
        s = ssl.create_default_context(cafile=c.ca).wrap_socket(s, server_hostname="localhost")
    return s


def drain(s):
    got = b""
    try:
        while part := s.recv(65536):
            got += part
    except OSError:
        pass
    return got


def raw(c, data, timeout=3.0, end=False):
    """What comes back for these bytes: (statuses, everything)."""
    with dial(c, timeout) as s:
        try:
            for i in range(0, len(data), 65536):
                s.sendall(data[i:i + 65536])
            if end and not c.ca:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = drain(s)
    return [int(p[:3]) for p in (b"\n" + got).split(b"\nHTTP/1.1 ")[1:]], got


def alive(c, what):
    began = time.time()
    status = c.get("/healthz")[0]
    return tap.ok(status == 200 and time.time() - began < 4, f"others are served: {what}", (status, time.time() - began))


# one request that two programs could read as two: refused, and what follows is never answered
SMUGGLE = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n" + AUTH + b"\r\n"
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n" + AUTH
smuggling = {
    "CL.TE": HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "TE.CL": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + SMUGGLE,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLE,
    "a list of lengths": HEAD + b"Content-Length: 0, 44\r\n\r\n" + SMUGGLE,
    "a length with a sign": HEAD + b"Content-Length: +0\r\n\r\n" + SMUGGLE,
    "a hexadecimal length": HEAD + b"Content-Length: 0x0\r\n\r\n" + SMUGGLE,
    "a length of spaces": HEAD + b"Content-Length: 0 0\r\n\r\n" + SMUGGLE,
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + SMUGGLE,
    "space before the colon": HEAD + b"Content-Length : 44\r\n\r\n" + SMUGGLE,
    "TE with a tab": HEAD + b"Transfer-Encoding:\tchunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "TE xchunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "TE twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "TE gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "TE in HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "folded TE": HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "bare LF": HEAD + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "bare CR": HEAD + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "NUL in a name": HEAD + b"X\0: y\r\n\r\n" + SMUGGLE,
    "NUL in a value": HEAD + b"X: \0y\r\n\r\n" + SMUGGLE,
    "chunk size with an extra sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLE,
    "chunk size overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx\r\n0\r\n\r\n" + SMUGGLE,
    "chunk ends with LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n" + SMUGGLE,
    "chunk longer than said": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n" + SMUGGLE,
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n" + SMUGGLE,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + SMUGGLE,
    "a header without a name": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n" + SMUGGLE,
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nnothing\r\n\r\n" + SMUGGLE,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLE,
    "no version": b"GET /healthz\r\n\r\n" + SMUGGLE,
    "a CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" + SMUGGLE,
    "a TRACE": b"TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" + SMUGGLE,
}


def suite(c, kind):
    served = 0
    for name, data in smuggling.items():
        statuses, got = raw(c, data, timeout=1.5, end=True)
        good = len(statuses) <= 1 and all(s >= 400 for s in statuses) and b'"uptime_ms"' not in got
        tap.ok(good, f"{kind}: {name}: one refusal, and nothing behind it", got[:300]) if not good else None
        served += good
    tap.same(served, len(smuggling), f"{kind}: {len(smuggling)} ways to smuggle are refused")
    alive(c, "after smuggling")

    # raw requests of the shared corpus, byte for byte and cut at every length of the first 60
    folder = os.path.join(work, "corpus")
    archive = os.path.join(SHARED, "badinput", "badinput.tar.xz")
    if os.path.exists(archive) and not os.path.isdir(folder):
        os.mkdir(folder)
        subprocess.run(["tar", "-xJf", archive, "-C", folder, "http"], check=True)
    files = sorted(glob.glob(os.path.join(folder, "http", "*")))
    for path in files:
        with open(path, "rb") as f:
            data = f.read()
        statuses, _ = raw(c, data[:300000], timeout=1.0, end=True)
        if any(s >= 500 and s not in (501, 505) for s in statuses):
            tap.ok(False, f"{kind}: {os.path.basename(path)}", statuses)
    if files:
        alive(c, f"after {len(files)} raw requests")

    # floods
    flood = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n"
    tap.same(raw(c, flood)[0][:1], [431], f"{kind}: 5,000 headers")
    tap.same(raw(c, b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")[0][:1], [414], f"{kind}: a long target")
    tap.same(raw(c, b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a" * 200000 + b"\r\n\r\n")[0][:1], [431], f"{kind}: a long cookie")
    ext = b"Transfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 100000 + b"\r\ny\r\n0\r\n\r\n"
    tap.ok(raw(c, HEAD + ext)[0][:1] in ([400], [413], [431]), f"{kind}: a long chunk extension")
    trailers = b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20000 + b"\r\n"
    tap.ok(raw(c, HEAD + trailers)[0][:1] in ([400], [413], [431]), f"{kind}: many trailers")
    one_byte = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n"
    tap.ok(raw(c, HEAD + one_byte)[0][:1] in ([400], [404], [413]), f"{kind}: a body in chunks of one byte")
    alive(c, "after floods")

    # slow clients of every kind, at once
    slow = []

    def hold(data):
        try:
            s = dial(c, 10)
            s.sendall(data)
            slow.append(s)
        except OSError:
            pass

    for _ in range(30):
        hold(b"GET /healthz HTTP/1.1\r\nHos")
        hold(HEAD + b"Content-Length: 100\r\n\r\n{")
        hold(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab")
        hold(b"")
    alive(c, "beside 120 slow clients")
    began = time.time()
    ended = sum(1 for s in slow if drain(s) is not None)
    tap.ok(time.time() - began < 40 and ended == len(slow), f"{kind}: which are all ended by the time limit", time.time() - began)
    for s in slow:
        s.close()

    # many connections at once, and everybody goes away without a word
    crowd = []
    for _ in range(600):
        try:
            host, port = c.address.rsplit(":", 1)
            crowd.append(socket.create_connection((host, int(port)), timeout=2))
        except OSError:
            break
    alive(c, f"beside {len(crowd)} silent connections")
    for s in crowd:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    alive(c, "after their reset")


def rules(c):
    """Host and Origin, on every route of the API's own description that changes something."""
    paths = json.loads(c.get("/api/v1/openapi.json")[1])["paths"]
    checked, wrong = 0, []
    scheme = b"https" if c.ca else b"http"
    for path, methods in paths.items():
        for method in methods:
            if method not in ("post", "put", "patch", "delete"):
                continue
            line = method.upper().encode() + b" " + path.replace("{", "").replace("}", "").encode() + b" HTTP/1.1\r\n"
            for extra, want in ((b"Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
                                (b"Host: localhost\r\nOrigin: null\r\n", 403),
                                (b"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
                                (b"Host: evil.example\r\n", 421),
                                (b"Host: evil.example\r\nOrigin: " + scheme + b"://evil.example\r\n", 421)):
                rq = line + extra + AUTH + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
                statuses, _ = raw(c, rq)
                checked += 1
                if statuses != [want]:
                    wrong.append((method, path, extra, statuses))
    tap.ok(checked > 50 and not wrong, f"{checked} foreign hosts and origins on every route that changes something", wrong[:5])


settings = {"http.read_timeout": "2s", "http.connections_max": "400", "http.body_max": "256k"}
for kind, more, ca in (("plain", {}, None), ("TLS", {"tls.cert": cert, "tls.key": key}, cert)):
    with Croft(key="secret", settings={**settings, **more}, ca=ca) as c:
        suite(c, kind)
        if kind == "plain":
            rules(c)
        tap.same(c.stop(), 0, f"{kind}: it ends with 0")
tap.done()
