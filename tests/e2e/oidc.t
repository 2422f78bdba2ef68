#!/usr/bin/env python3
"""Signing in with OpenID Connect at oidc-provider (npm), with RS256, ES256 and EdDSA; roles by groups; keys
that change; access tokens as credentials of a service account; and an issuer and browsers that cheat."""
import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BUILD, ROOT, Croft, Tap, skip_all  # noqa: E402

if shutil.which("node") is None or subprocess.run(
        [os.path.join(ROOT, "tools", "setup-clients.sh"), "oidc"], capture_output=True).returncode:
    skip_all("oidc-provider cannot be fetched")
tap = Tap()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


CROFT, REAL, EVIL = free_port(), free_port(), free_port()
BASE = f"http://127.0.0.1:{CROFT}"


class Issuer:
    def __init__(self, port, **env):
        self.p = subprocess.Popen(["node", os.path.join(ROOT, "tests", "e2e", "oidc_provider.mjs")], text=True,
                                  env=dict(os.environ, NODE_ROOT=os.path.join(ROOT, "build", "node"), PORT=str(port),
                                           CROFT=BASE, **env), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while "ready" not in (line := self.p.stdout.readline()):
            if not line:
                raise RuntimeError("the issuer did not start")

    def stop(self):
        self.p.kill()
        self.p.wait()


class Browser:
    """Cookies by host and port, redirects one at a time."""

    def __init__(self):
        self.jar = {}

    def send(self, method, url, form=None, headers=None):
        u = urllib.parse.urlsplit(url)
        c = http.client.HTTPConnection(u.hostname, u.port, timeout=20)
        path = u.path + ("?" + u.query if u.query else "")
        h = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.jar.get(u.port, {}).items())}
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            h["Content-Type"] = "application/x-www-form-urlencoded"
            h["Origin"] = f"http://{u.netloc}"
        h.update(headers or {})
        h = {k: v for k, v in h.items() if v is not None}
        c.request(method, path, body, h)
        r = c.getresponse()
        data = r.read().decode(errors="replace")
        for name, value in r.getheaders():
            if name.lower() == "set-cookie":
                k, _, v = value.split(";")[0].partition("=")
                jar = self.jar.setdefault(u.port, {})
                jar.pop(k, None) if "max-age=0" in value.lower() or "1970" in value else jar.update({k: v})
        self.cookies = [v for n, v in r.getheaders() if n.lower() == "set-cookie"]
        to = r.getheader("location")
        return r.status, data, urllib.parse.urljoin(url, to) if to else None

    def get(self, url, **kw):
        return self.send("GET", url, **kw)

    def login(self, provider, person, next="/", until_callback=False):
        """Goes the whole way; (status, text, location) of the callback."""
        status, text, to = self.get(f"{BASE}/api/v1/oidc/{provider}/login?next={urllib.parse.quote(next, safe='')}")
        if status != 303:
            return status, text, to
        for _ in range(20):
            if to and to.startswith(f"{BASE}/api/v1/oidc/"):
                return (0, "", to) if until_callback else self.get(to)
            status, text, to = self.get(to) if to else (status, text, None)
            if status == 200 and "<form" in text:
                action = re.search(r'<form[^>]*action="([^"]+)"', text).group(1)
                form = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', text))
                if 'name="login"' in text:
                    form.update(login=person, password="x")
                status, text, to = self.send("POST", action, form)
        return status, text, to

    def me(self):
        status, text, _ = self.get(BASE + "/api/v1/me")
        return json.loads(text) if status == 200 else status


home = tempfile.mkdtemp(prefix="croft-e2e-oidc-")
with open(os.path.join(home, "oidc.yaml"), "w") as f:
    f.write(f"""
providers:
""" + "".join(f"""
  - name: {name}
    title: Test {name}
    issuer: http://127.0.0.1:{REAL}
    client_id: {name}
    client_secret: {secret}
    scopes: openid profile groups
    roles:
      admins: admin
      data-team: editor@churn
{more}""" for name, secret, more in (
        ("rs", "secret:oidc-rs", "    audience: croft-api\n    service_accounts:\n      ci-runner: ci\n"),
        ("es", "env:ES_SECRET", "    userinfo: true\n"), ("ed", "secret-of-ed-0123456789", ""))) + f"""
  - name: evil
    issuer: http://127.0.0.1:{EVIL}
    client_id: evil
    client_secret: s
    roles: {{admins: admin}}
  - name: down
    issuer: http://127.0.0.1:{free_port()}
    client_id: down
    default_role: viewer
""")
os.environ["ES_SECRET"] = "secret-of-es-0123456789"
c = Croft(home=home, settings={"listen": f"127.0.0.1:{CROFT}", "oidc.file": os.path.join(home, "oidc.yaml")}, key="root-key")
real, evil = Issuer(REAL), Issuer(EVIL, HOSTILE="1")
try:
    c.start()
    tap.same(c.cli("project", "add", "churn")[0], 0, "a project")
    tap.same(c.cli("user", "add", "taken")[0], 0, "a local user of the same name as somebody there")
    tap.same(c.cli("user", "add", "ci", "--service", "--role", "viewer")[0], 0, "a service account")
    tap.same(c.cli("secret", "set", "oidc-rs", input="secret-of-rs-0123456789")[0], 0, "a client secret among the secrets")
    listed = c.json("GET", "/api/v1/oidc")[1]["providers"]
    tap.ok([p["name"] for p in listed] == ["rs", "es", "ed", "evil", "down"] and listed[0]["title"] == "Test rs",
           "the providers are listed", listed)

    ada = Browser()
    status, text, to = ada.login("rs", "ada", next="/runs?x=1")
    tap.ok(status == 303 and to == BASE + "/runs?x=1", "RS256: signed in, and back to where one was", (status, text, to))
    tap.ok(any("croft_session=" in x and "HttpOnly" in x for x in ada.cookies), "with a session's cookie", ada.cookies)
    me = ada.me()
    tap.ok(me["name"] == "ada" and me["display"] == "Ada Lovelace" and me["method"] == "session" and
           "access.manage" in me["everywhere"], "as herself, an admin by her group", me)
    grace = Browser()
    tap.same(grace.login("es", "grace")[0], 303, "ES256, and claims of the userinfo endpoint")
    me = grace.me()
    tap.ok(me["project"] == "churn" and "run.write" in me["permissions"] and not me["everywhere"],
           "an editor in one project", me)
    taken = Browser()
    tap.same(taken.login("ed", "local")[0], 303, "EdDSA, the client's secret in the form")
    tap.same(taken.me()["name"], "taken-2", "a name that is taken is somebody else's")
    again = Browser()
    again.login("rs", "ada")
    tap.same(again.me()["name"], "ada", "the same subject is the same account")
    other = Browser()
    other.login("ed", "grace")
    tap.same(other.me()["name"], "grace", "by another client of the issuer too")
    status, text, _ = Browser().login("rs", "mallory")
    tap.ok(status == 403 and "no role" in text, "whose groups give nothing stays outside", (status, text))
    users = [u["name"] for u in c.json("GET", "/api/v1/users")[1]["users"]]
    tap.ok("mallory" not in users, "and gets no account", users)

    # browsers that cheat
    b = Browser()
    _, _, callback = b.login("rs", "ada", until_callback=True)
    tap.same(Browser().get(callback)[0], 403, "another browser's answer (login CSRF)")
    wrong = re.sub(r"state=[^&]+", "state=" + "A" * 43, callback)
    tap.same(b.get(wrong)[0], 403, "another state")
    tap.same(b.get(callback.replace("/rs/", "/es/"))[0], 403, "another provider's answer")
    tap.same(b.get(re.sub(r"iss=[^&]+", "iss=" + urllib.parse.quote(f"http://127.0.0.1:{EVIL}", safe=""), callback))[0], 403,
             "an answer of another issuer (mix-up)")
    tap.same(b.get(re.sub(r"&?iss=[^&]+", "", callback))[0], 403, "or of none, where one was promised")
    tap.same(b.get(re.sub(r"code=[^&]+", "code=x", callback))[0], 502, "another code")
    tap.same(b.get(callback)[0], 303, "the right one still")
    tap.ok(b.get(callback)[0] != 303, "once")
    sealed = Browser()
    sealed.jar[CROFT] = {"croft_login": base64.urlsafe_b64encode(os.urandom(200)).decode().rstrip("=")}
    tap.same(sealed.get(callback)[0], 403, "a cookie that was made up")
    status, text, _ = b.get(f"{BASE}/api/v1/oidc/rs/callback?error=access_denied&state=x")
    tap.same(status, 403, "an error without a login")
    for bad in ("//evil.example", "/\\evil.example", "https://evil.example", "javascript:x", "/a\r\nX: y", "evil"):
        status, _, to = Browser().login("rs", "ada", next=bad)
        tap.same((status, to), (303, BASE + "/"), f"goes nowhere else: {bad!r}")
    status, text, to = Browser().get(f"{BASE}/api/v1/oidc/rs/login")
    q = urllib.parse.parse_qs(urllib.parse.urlsplit(to).query)
    tap.ok(q["code_challenge_method"] == ["S256"] and len(q["state"][0]) == 43 and len(q["nonce"][0]) == 43 and
           q["state"] != q["nonce"], "state, nonce and PKCE", q)
    tap.same(Browser().get(f"{BASE}/api/v1/oidc/nobody/login")[0], 404, "a provider that is none")
    status, text, _ = Browser().get(f"{BASE}/api/v1/oidc/down/login")
    tap.ok(status == 502 and "discovery" in text, "one that does not answer", (status, text))

    # an issuer that cheats
    def evil_login(mode):
        b = Browser()
        _, _, to = b.get(f"{BASE}/api/v1/oidc/evil/login")
        q = urllib.parse.parse_qs(urllib.parse.urlsplit(to).query)
        b.get(f"http://127.0.0.1:{EVIL}/expect?mode={mode}&nonce={q['nonce'][0]}")
        return b.get(f"{BASE}/api/v1/oidc/evil/callback?code={mode}&state={q['state'][0]}")

    tap.same(evil_login("good")[0], 303, "its good token is taken")
    for mode in ("none", "hs256", "wrong_key", "own_jwk", "unknown_kid", "changed", "alg_swap", "wrong_iss", "wrong_aud",
                 "two_aud", "wrong_azp", "expired", "future", "early", "wrong_nonce", "no_nonce", "no_exp", "no_sub"):
        status, text, _ = evil_login(mode)
        tap.ok(status == 401, f"refused: {mode}", (status, text))
    json.loads(Browser().get(f"http://127.0.0.1:{EVIL}/log")[1])
    for mode in ("redirect", "rubbish", "huge", "empty"):
        status, text, _ = evil_login(mode)
        tap.ok(status in (401, 502), f"refused: {mode}", (status, text))
    log = json.loads(Browser().get(f"http://127.0.0.1:{EVIL}/log")[1])
    tap.ok("/stolen" not in log and "/token" in log, "redirects are not followed", log)

    # access tokens as credentials of a service account
    def access_token(resource):
        auth = base64.b64encode(b"ci-runner:secret-of-ci-runner-0123456789").decode()
        _, text, _ = Browser().send("POST", f"http://127.0.0.1:{REAL}/token", {
            "grant_type": "client_credentials", "scope": "api", "resource": resource},
            headers={"Authorization": "Basic " + auth, "Origin": None})
        return json.loads(text)["access_token"]

    def me_by(token):
        return c.request("GET", "/api/v1/me", headers={"Authorization": "Bearer " + token})

    token = access_token("urn:croft-api")
    end = time.time() + 10
    while (got := me_by(token))[0] == 503 and time.time() < end:
        time.sleep(0.2)
    tap.ok(got[0] == 200 and json.loads(got[1])["name"] == "ci", "an access token is the service account's", got)
    tap.same(me_by(access_token("urn:other-api"))[0], 401, "not one for another audience")
    tap.same(me_by(token[:-4] + "AAAA")[0], 401, "nor a changed one")
    head, claims, _ = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    tap.same(me_by(f"{none}.{claims}.")[0], 401, "nor one with alg none")
    tap.same(c.request("DELETE", "/api/v1/users/taken", headers={"Authorization": "Bearer " + token})[0], 403,
             "and it may what the account may")

    # the issuer changes its keys and Grace's groups
    real.stop()
    real = Issuer(REAL, GENERATION="2", GROUPS_OF_GRACE="admins")
    time.sleep(5.1)  # keys are not asked for more often
    b = Browser()
    status, text, _ = b.login("es", "grace")
    tap.ok(status == 303, "after a change of keys", (status, text))
    me = b.me()
    tap.ok("access.manage" in me["everywhere"], "roles follow the groups", me)
    members = c.json("GET", "/p/churn/api/v1/members")[1]["members"]
    tap.ok(not any(m["user"] == "grace" and not m["everywhere"] for m in members), "and are taken back", members)
    tap.same(c.cli("user", "set", "ada", "--disable")[0], 0, "a disabled account")
    tap.same(Browser().login("rs", "ada")[0], 403, "stays outside")

    # the end
    status, text, _ = b.send("POST", f"{BASE}/api/v1/oidc/es/logout", {})
    url = json.loads(text)["url"]
    tap.ok(status == 200 and url.startswith(f"http://127.0.0.1:{REAL}/session/end?client_id=es"), "logout says where", text)
    tap.same(b.me(), 401, "and the session is over")
    audit = c.json("GET", "/api/v1/audit?limit=1000")[1]["records"]
    actions = {(r["action"], r["subject"]) for r in audit}
    tap.ok({("user.add", "ada"), ("user.add", "taken-2"), ("member.sync", "grace"), ("session.open", "grace")} <= actions,
           "the audit log has it", sorted(actions))
    tap.same(c.json("GET", "/api/v1/audit/verify")[1]["ok"], True, "and is whole")
    leaked = [w for w in ("secret-of-rs", "secret-of-es") if w in c.logged()]
    tap.ok(not leaked, "no secret is in the log", leaked)
    tap.same(c.stop(), 0, "it ends with 0")
finally:
    c.remove()
    real.stop()
    evil.stop()
    shutil.rmtree(home, ignore_errors=True)


def refused(text, *words):
    c = Croft()
    path = os.path.join(c.home, "oidc.yaml")
    with open(path, "w") as f:
        f.write(text)
    c.settings["oidc.file"] = path
    code, out, err = c.cli("status")
    c.remove()
    tap.ok(code != 0 and all(w in err for w in words), f"refused: {words[-1]}", err)


ok = "providers:\n  - name: a\n    issuer: https://i\n    client_id: c\n"
refused("providers: [", "oidc.yaml", "not YAML")
refused("provider: []\n", "oidc.yaml:1", "provider")
refused(ok + "    isuer: x\n", "oidc.yaml:5", "isuer")
refused(ok.replace("https://i", "http://i.example"), "https://")
refused(ok.replace("https://i", "http://localhost.evil.example"), "https://")
refused(ok + "    roles: {g: 'no role!'}\n", "ROLE@PROJECT")
refused(ok + ok[11:], "two providers")
refused(ok + "    service_accounts: {s: u}\n", "audience")
tap.done()
