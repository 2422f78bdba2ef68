#!/usr/bin/env python3
"""The program on the wire: keys, methods, hosts, origins, limits, headers, and its end."""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

tap = Tap()


def raw(c, data, wait=3.0):
    """(status, head, body) of one raw request on a connection of its own."""
    host, port = c.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=wait) as s:
        s.sendall(data)
        got = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except OSError:
            pass
    head, _, body = got.partition(b"\r\n\r\n")
    return (int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0), head.decode().lower(), body


def get(path, more=b"", host=b"localhost"):
    return b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n" + more + \
        b"\r\n"


with Croft(key="secret", settings={"http.read_timeout": "3s", "http.body_max": "64k"}) as c:
    key = b"Authorization: Bearer secret\r\n"
    tap.same(raw(c, get(b"/healthz"))[0], 200, "health needs no key")
    for path in (b"/api/v1/status", b"/v1/models", b"/metrics"):
        tap.same(raw(c, get(path))[0], 401, f"{path.decode()} needs one")
    tap.same(raw(c, get(b"/api/v1/status", key))[0], 200, "a key opens")
    tap.same(raw(c, get(b"/api/v1/status", b"X-Api-Key: secret\r\n"))[0], 200, "as x-api-key too")
    tap.same(raw(c, get(b"/api/v1/status", b"Authorization: Bearer secre\r\n"))[0], 401, "not a part of it")
    tap.same(raw(c, get(b"/api/v1/nothing", key))[0], 404, "nothing there")
    status, head, _ = raw(c, b"DELETE /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + key + b"\r\n")
    tap.ok(status == 405 and "allow: get" in head, "a method that is none", head)
    status, head, body = raw(c, b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    tap.ok(status == 200 and "content-length: 3" in head and not body, "HEAD", head)
    status, head, body = raw(c, get(b"/"))
    tap.ok(status == 200 and "content-security-policy: " in head and "unsafe" not in head, "the page has a strict policy", head)
    for header in ("x-content-type-options: nosniff", "referrer-policy: ", "x-request-id: "):
        tap.ok(header in head, header)
    tap.same(raw(c, get(b"/healthz", host=b"evil.example"))[0], 421, "another host name")
    tap.same(raw(c, b"DELETE /api/v1/documents/0 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n" + key + b"\r\n")[0], 403, "another origin")
    big = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n"
    began = time.time()
    tap.same(raw(c, big + b"\r\n")[0], 401, "the key is asked for before the body")
    tap.ok(time.time() - began < 2.8, "without waiting for it")
    tap.same(raw(c, big + key + b"\r\n")[0], 413, "too large, told before the body is read")
    # fifty that never finish their head, while others are served
    slow = []
    for _ in range(50):
        host, port = c.address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
        s.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        slow.append(s)
    began = time.time()
    tap.same(raw(c, get(b"/healthz"))[0], 200, "slow clients harm nobody")
    tap.ok(time.time() - began < 2.8, "nor slow others down")
    slow[0].settimeout(10)
    tap.ok(slow[0].recv(100).startswith(b"HTTP/1.1 408"), "they are told so in the end")
    for s in slow:
        s.close()
    requests = c.metric("croft_http_requests_total")
    c.get("/healthz")
    tap.ok(c.metric("croft_http_requests_total") >= requests + 2, "requests are counted")
    # stop with connections open
    host, port = c.address.rsplit(":", 1)
    idle = socket.create_connection((host, int(port)))
    began = time.time()
    tap.same(c.stop(), 0, "it ends with 0")
    tap.ok(time.time() - began < 10, "without waiting for them to leave")
    tap.ok(not os.path.exists(os.path.join(c.home, "server.json")), "and says so")
    idle.close()

c = Croft(settings={"listen": "0.0.0.0:0"})
try:
    c.start(timeout=5)
    tap.ok(False, "listening beyond loopback without a key is refused")
except RuntimeError as e:
    tap.ok("needs credentials" in str(e), "listening beyond loopback without a key is refused", e)
finally:
    c.remove()
tap.done()
