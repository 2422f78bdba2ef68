#!/usr/bin/env python3
"""`croft pull` is killed (kill -9) at random moments: nothing half-written ever has the model's name,
and the next pull goes on. The hub is tests/hub_server.py, the file a real model."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
croft = os.environ.get("CROFT_BINARY", os.path.join(top, "build", "croft"))
models = os.environ.get("CROFT_TEST_MODELS", os.path.join(top, "build", "models"))
gguf = os.path.join(models, "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
if not os.path.exists(gguf) or not os.path.exists(croft):
    print("1..0 # SKIP %s or %s is not here" % (croft, gguf))
    sys.exit(0)

tmp = tempfile.mkdtemp(prefix="croft-pull-")
home = os.path.join(tmp, "home")
repo = os.path.join(tmp, "hub", "org", "tiny")
os.makedirs(repo)
os.symlink(gguf, os.path.join(repo, "tiny.gguf"))
server = subprocess.Popen([sys.executable, os.path.join(top, "tests", "hub_server.py"),
                           os.path.join(tmp, "hub")], stdout=subprocess.PIPE, text=True)
hub = "http://127.0.0.1:" + server.stdout.readline().strip()
env = dict(os.environ, CROFT_HOME=home, CROFT_HUB_URL=hub)
final = os.path.join(home, "models", "tiny")
number = failed = 0


def ok(good, name, note=""):
    global number, failed
    number += 1
    failed += not good
    print("%s %d - %s%s" % ("ok" if good else "not ok", number, name, " # " + note if note else ""))


def get(path):
    return json.load(urllib.request.urlopen(hub + path))


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


try:
    random.seed(3)
    get("/control?cut=40000000")
    kills = ranges = 0
    whole = True
    for _ in range(20):
        if os.path.exists(final):
            break
        child = subprocess.Popen([croft, "pull", "hf:org/tiny"], env=env, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.05, 0.6))
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        if os.path.exists(final):
            whole = whole and sha256(os.path.join(final, "tiny.gguf")) == sha256(gguf)
    ranges = sum(1 for r in get("/log") if r["range"])
    ok(kills >= 2 and whole, "nothing half-written has the model's name", "%d kills" % kills)
    done = subprocess.run([croft, "pull", "hf:org/tiny", "--json"], env=env, capture_output=True,
                          text=True)
    ok(done.returncode == 0 and json.loads(done.stdout) == {"name": "tiny"}, "the last pull finishes",
       done.stderr.strip())
    ranges = max(ranges, sum(1 for r in get("/log") if r["range"]))
    ok(ranges > 0, "it went on where it had ended", "%d range requests" % ranges)
    ok(sha256(os.path.join(final, "tiny.gguf")) == sha256(gguf), "the bytes are the model's")
    ok(os.listdir(os.path.join(home, "models", ".partial")) == [], "nothing is left over")
    shown = subprocess.run([croft, "models", "--json"], env=env, capture_output=True, text=True)
    row = [m for m in json.loads(shown.stdout)["models"] if m["name"] == "tiny"]
    ok(len(row) == 1 and row[0]["installed"] and row[0]["architecture"] == "llama", "croft models lists it")
    bad = subprocess.run([croft, "pull", "no-such-model"], env=env, capture_output=True, text=True)
    ok(bad.returncode == 4 and "croft models" in bad.stderr, "an unknown name: exit code 4 and a hint")
finally:
    server.kill()
    server.wait()
    if failed:
        print("# its files are kept in %s" % tmp)
    else:
        shutil.rmtree(tmp, ignore_errors=True)
print("1..%d" % number)
sys.exit(1 if failed else 0)
