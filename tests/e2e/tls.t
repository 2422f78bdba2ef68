#!/usr/bin/env python3
"""Croft over TLS: certificates by configuration, their renewal without cutting anybody off, Python's
ssl, curl, the official OpenAI client and croft's own commands as clients."""
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, CHAT, EMBED, MODELS, NAMES, ROOT, Croft, Tap, environment  # noqa: E402

tap = Tap()
work = tempfile.mkdtemp(prefix="croft-e2e-tls-")


def make(name, cn="localhost", san="DNS:localhost,IP:127.0.0.1", issuer=None):
    """NAME.pem and NAME.key in the work folder; signed by itself or by another of these."""
    at = os.path.join(work, name)
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
               "-keyout", at + ".key", "-out", at + ".pem", "-days", "30", "-subj", "/CN=" + cn,
               "-addext", "subjectAltName=" + san]
    if issuer:
        command += ["-CA", os.path.join(work, issuer + ".pem"), "-CAkey", os.path.join(work, issuer + ".key"),
                    "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
    return at + ".pem", at + ".key"


def curl(*args):
    p = subprocess.run(["curl", "-sS", "--max-time", "20", "--noproxy", "*", *args], capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


ca, _ = make("ca", "our authority")
make("one", "one")
make("two", "two")
cert, key = os.path.join(work, "live.pem"), os.path.join(work, "live.key")


def install(name):
    for ext, there in ((".pem", cert), (".key", key)):
        shutil.copy(os.path.join(work, name + ext), there + ".new")
        os.replace(there + ".new", there)


install("one")
settings = {"tls.cert": cert, "tls.key": key, "tls.redirect_listen": "127.0.0.1:0", "http.read_timeout": "2s"}
models = all(os.path.exists(os.path.join(MODELS, m)) for m in NAMES)
with Croft(models=models, settings=settings, key="secret", ca=os.path.join(work, "one.pem")) as c:
    host, port = c.address.rsplit(":", 1)
    tap.ok(c.base.startswith("https://"), "it says that it speaks TLS", c.base)
    tap.same(c.get("/healthz")[0], 200, "Python's ssl trusts the certificate that it was given")
    tap.same(c.get("/api/v1/status")[0], 200, "a key opens, as without TLS")
    # croft's own commands: on the data directory, and from elsewhere with a URL
    code, out, err = c.cli("status")
    tap.ok(code == 0 and "served by a running server" in out, "a command on the same data directory", out + err)
    elsewhere = environment(os.path.join(work, "elsewhere"))
    del elsewhere["CROFT_CONFIG"]
    elsewhere.update(CROFT_URL=c.base, CROFT_API_KEY="secret")
    p = subprocess.run([BINARY, "status"], env=elsewhere, cwd=work, capture_output=True, text=True)
    tap.ok(p.returncode != 0 and "certificate" in p.stderr, "from elsewhere an unknown certificate is refused", p.stdout + p.stderr)
    elsewhere["CROFT_TLS_CA"] = os.path.join(work, "one.pem")
    p = subprocess.run([BINARY, "status", "--json"], env=elsewhere, cwd=work, capture_output=True, text=True)
    tap.ok(p.returncode == 0 and '"version"' in p.stdout, "and a known one is not (CROFT_URL, CROFT_TLS_CA)", p.stdout + p.stderr)
    # curl
    code, out = curl("--cacert", os.path.join(work, "one.pem"), "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                     c.base + "/healthz")
    tap.same((code, out), (0, "200 1.1"), "curl, by ALPN")
    code, out = curl(c.base + "/healthz")
    tap.ok(code == 60, "curl without the authority refuses", out)
    code, out = curl("http://" + c.address + "/healthz")
    tap.ok("use https://" in out, "plain HTTP on the TLS port is told so", out)
    plain = [w.rstrip() for line in c.logged().splitlines() if "redirects to https" in line
             for w in line.split() if w.startswith("http://")][0]
    code, out = curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", plain + "/page?x=1")
    tap.same(out, f"308 https://127.0.0.1:{port}/page?x=1", "the second address redirects")
    code, out = curl("-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-d", "{}", plain + "/v1/chat/completions")
    tap.same(out, "403", "but not what was sent with a body")
    # a connection that stays while the certificate is renewed
    context = ssl.create_default_context(cafile=os.path.join(work, "one.pem"))
    stays = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
    stays.request("GET", "/healthz")
    stays.getresponse().read()
    install("two")
    c.process.send_signal(signal.SIGHUP)
    c.ca = os.path.join(work, "two.pem")
    end, served = time.time() + 10, False
    while time.time() < end and not served:
        try:
            served = c.get("/healthz")[0] == 200
        except OSError:
            time.sleep(0.05)
    tap.ok(served, "after SIGHUP new connections see the new certificate", c.logged())
    stays.request("GET", "/healthz")
    tap.same(stays.getresponse().read(), b"ok\n", "the old one goes on")
    time.sleep(0.3)
    tap.same(c.cli("status")[0], 0, "commands know the new key")
    install("one")
    c.ca = os.path.join(work, "one.pem")
    end, served = time.time() + 10, False
    while time.time() < end and not served:
        try:
            served = c.get("/healthz")[0] == 200
        except OSError:
            time.sleep(0.05)
    tap.ok(served, "without a signal too, when the files change")
    with open(cert, "w") as f:
        f.write("rubbish")
    c.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    tap.ok(c.get("/healthz")[0] == 200 and "stays what it was" in c.logged(), "rubbish is told and not used", c.logged())
    install("one")
    # half-closed: a client that has said all and waits for the answer
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        s = context.wrap_socket(raw, server_hostname="localhost")
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw_fd = socket.socket(fileno=os.dup(s.fileno()))
        raw_fd.shutdown(socket.SHUT_WR)
        got = s.recv(65536)
        tap.ok(b"200 OK" in got, "half-closed: the answer still comes", got)
        raw_fd.close()
        s.close()
    before = c.metric("croft_tls_handshakes_total")
    tap.ok(before and before > 5 and c.metric("croft_tls_failed_total") >= 1, "handshakes are counted")
    # the official client
    if models and subprocess.run([os.path.join(ROOT, "tools", "setup-clients.sh"), "python"],
                                 capture_output=True).returncode == 0:
        program = f"""
import openai, httpx2 as httpx, ssl
context = ssl.create_default_context(cafile={os.path.join(work, "one.pem")!r})
c = openai.OpenAI(base_url={c.base + "/v1"!r}, api_key="secret", http_client=httpx.Client(verify=context, trust_env=False))
print(len(c.embeddings.create(model={EMBED!r}, input=["over TLS"] * 3).data))
text = "".join(e.choices[0].delta.content or "" for e in c.chat.completions.create(model={CHAT!r}, stream=True,
    max_tokens=12, messages=[{{"role": "user", "content": "Say hello."}}]) if e.choices)
print(len(text) > 3)
try:
    openai.OpenAI(base_url={c.base + "/v1"!r}, api_key="wrong", http_client=httpx.Client(verify=context, trust_env=False)).models.list()
except openai.AuthenticationError:
    print("refused")
"""
        p = subprocess.run([os.path.join(ROOT, "build", "venv", "bin", "python"), "-c", program],
                           capture_output=True, text=True, timeout=120)
        tap.same(p.stdout, "3\nTrue\nrefused\n", "the official OpenAI client: embeddings, a stream, a wrong key")
        tap.note(p.stderr[-300:])
    tap.same(c.stop(), 0, "it ends with 0")


def refused(settings, *words):
    c = Croft(settings=settings)
    try:
        c.start(timeout=10)
        return tap.ok(False, f"{settings} is refused")
    except RuntimeError as e:
        return tap.ok(all(w in str(e) for w in words), f"refused: {', '.join(words)}", e)
    finally:
        c.remove()


missing = os.path.join(work, "missing.pem")
refused({"tls.cert": missing, "tls.key": key}, "tls.cert", missing)
refused({"tls.cert": cert, "tls.key": os.path.join(work, "two.key")}, "tls.key", "not the key of the certificate")
refused({"tls.key": key}, "tls.cert is not")

# beyond loopback: a key is needed; without TLS a loud warning
with Croft(settings={"listen": "0.0.0.0:0"}, key="secret") as c:
    tap.ok("WITHOUT TLS" in c.logged(), "beyond loopback without TLS it warns", c.logged())
with Croft(settings={"listen": "0.0.0.0:0", "tls.cert": cert, "tls.key": key}, key="secret",
           ca=os.path.join(work, "one.pem")) as c:
    tap.ok("WITHOUT TLS" not in c.logged(), "and with TLS it does not", c.logged())
# client certificates
make("client", "a client", issuer="ca")
with Croft(settings={"tls.cert": cert, "tls.key": key, "tls.client_ca": ca,
                     "tls.client_cert": os.path.join(work, "client.pem"),
                     "tls.client_key": os.path.join(work, "client.key")}, ca=os.path.join(work, "one.pem")) as c:
    tap.same(c.get("/healthz")[0], 200, "a client with a certificate of the authority")
    tap.same(c.cli("status")[0], 0, "croft's commands show theirs")
    code, out = curl("--cacert", os.path.join(work, "one.pem"), c.base + "/healthz")
    tap.ok(code != 0, "one without is refused", out)
shutil.rmtree(work, ignore_errors=True)
tap.done()
