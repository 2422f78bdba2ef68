#!/usr/bin/env python3
"""Secrets: whatever is done with one, its plain text is in no file of the data directory, no log line and
no answer."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, Croft, Tap  # noqa: E402

tap = Tap()
PLAIN = "sk-test-Zx81QmPlainTextThatMustNotAppear-7hWq"
OTHER = "another-Plain-Value-0123456789-abcdXYZ"
seen = []  # every answer


def call(c, method, path, body=None, **kw):
    status, data = c.request(method, path, body, **kw)
    seen.append(data.decode(errors="replace"))
    return status, data


def leaks(c, what):
    """Where a plain text is, if anywhere; parts of 12 characters count."""
    parts = [p[i:i + 12].encode() for p in (PLAIN, OTHER) for i in range(0, len(p) - 12, 6)]
    found = []
    for folder, _, files in os.walk(c.home):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            found += [(name, p) for p in parts if p in data]
    text = "\n".join(seen).encode()
    found += [("an answer", p) for p in parts if p in text]
    return tap.ok(not found, f"nothing leaks: {what}", found)


with Croft(key="secret-key") as c:
    code, out, err = c.cli("secret", "set", "openai", input=PLAIN + "\n")
    tap.ok(code == 0 and "stored openai" in err, "croft secret set reads standard input", out + err)
    seen += [out, err]
    path = os.path.join(c.home, "..", os.path.basename(c.home) + "-value")
    with open(path, "w") as f:
        f.write(OTHER)
    code, out, err = c.cli("secret", "set", "other", path)
    os.unlink(path)
    tap.ok(code == 0, "or a file", out + err)
    code, out, err = c.cli("secret", "set", "openai", "not-a-file", "extra")
    tap.ok(code != 0 and "never from the arguments" in err, "but not arguments", err)
    code, out, err = c.cli("secret", "ls")
    tap.ok("openai" in out and "..." + PLAIN[-4:] in out, "ls shows the last four characters", out)
    seen.append(out)
    status, data = call(c, "GET", "/api/v1/secrets")
    listed = json.loads(data)["secrets"]
    tap.ok([s["name"] for s in listed] == ["openai", "other"] and listed[0]["hint"] == PLAIN[-4:], "so does the API", listed)
    tap.ok(not any(PLAIN[-5:] in json.dumps(s) or OTHER[-5:] in json.dumps(s) for s in listed), "and not the fifth")
    tap.same(call(c, "PUT", "/api/v1/secrets/short", {"value": "abcdef1234"})[0], 204, "a short one")
    short = [s for s in json.loads(call(c, "GET", "/api/v1/secrets")[1])["secrets"] if s["name"] == "short"]
    tap.same(short[0]["hint"], None, "of which nothing is shown")
    for body in (b'{"value": "' + PLAIN.encode(), b'{"value": ["' + PLAIN.encode() + b'"]}', PLAIN.encode(),
                 b'{"valeu": "' + PLAIN.encode() + b'"}'):
        tap.same(call(c, "PUT", "/api/v1/secrets/broken", body, headers={"Content-Type": "application/json"})[0], 400,
                 "a body that is none is refused")
    tap.same(call(c, "PUT", "/api/v1/secrets/bad%20name", {"value": PLAIN})[0], 400, "a name that is none too")
    tap.same(call(c, "GET", "/api/v1/secrets/openai")[0], 405, "a value cannot be read")
    status, data = call(c, "GET", "/api/v1/secrets", headers={"Authorization": "Bearer wrong"})
    tap.same(status, 401, "nor the list without a key")
    for p in ("/api/v1/status", "/api/v1/settings", "/metrics", "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/runs"):
        call(c, "GET", p)
    audit = json.loads(call(c, "GET", "/api/v1/audit?action=secret.set")[1])["records"]
    tap.same([r["subject"] for r in audit], ["short", "other", "openai"], "the audit log has who set what")
    leaks(c, "after setting")
    code, out, err = c.cli("secret", "rotate")
    tap.ok(code == 0 and "3 of 3" in out, "rotate", out + err)
    seen += [out, err]
    code, out, err = c.cli("secret", "ls")
    tap.ok("..." + PLAIN[-4:] in out, "and all open with the new key", out)
    tap.same(call(c, "DELETE", "/api/v1/secrets/other")[0], 204, "remove")
    tap.same(call(c, "DELETE", "/api/v1/secrets/other")[0], 404, "once")
    leaks(c, "after rotation")
    c.kill()
    leaks(c, "after kill -9")
    c.start()
    tap.same(oct(os.stat(os.path.join(c.home, "secret.key")).st_mode & 0o777), "0o600", "the key file is private")
    os.rename(os.path.join(c.home, "secret.key"), os.path.join(c.home, "away"))
    listed = json.loads(call(c, "GET", "/api/v1/secrets")[1])["secrets"]
    tap.ok(listed and not listed[0]["readable"] and listed[0]["hint"] is None, "without the key the list says so", listed)
    tap.same(call(c, "PUT", "/api/v1/secrets/new", {"value": "x"})[0], 503, "and nothing is sealed with another")
    os.rename(os.path.join(c.home, "away"), os.path.join(c.home, "secret.key"))
    c.stop()
    code, out, err = c.cli("secret", "ls", "--json")
    tap.ok(code == 0 and json.loads(out)["secrets"][0]["hint"] == PLAIN[-4:], "the commands work without a server", out + err)
    leaks(c, "at the end")
tap.done()
