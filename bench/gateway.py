"""bench/gateway.py BUILD LITELLM_VENV: latency that a gateway adds, in milliseconds, at a fixed rate of
requests (open loop). Rounds of the three ways alternate; each number is the median over the rounds of
that round's percentile, so that what else the machine does falls on all alike. Logging is on: Croft
records a run with its spans for each request (that this many were stored is checked), LiteLLM writes its
request log.

ROUNDS, SECONDS and RATE change how much is measured.
"""
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD, VENV = sys.argv[1], sys.argv[2]
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", 7)), float(os.environ.get("SECONDS", 3))
RATE = int(os.environ.get("RATE", 1000))
PEER_RATE = 50  # what LiteLLM's proxy can keep up with on two cores: at more it only queues
GOALS = {"p50": 0.2, "p99": 1.0}
BENCH = os.path.join(BUILD, "bench", "bench_gateway")
CROFT = os.path.join(BUILD, "croft")
processes = []


def start(args, **kw):
    p = subprocess.Popen(args, **kw)
    processes.append(p)
    return p


def stop_all():
    for p in processes:
        p.send_signal(signal.SIGINT)
    for p in processes:
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()


def load(port, rate, kind, seconds=None):
    """first p50 p99 p99.9, whole p50 p99 p99.9 in ms; answered, failed"""
    out = subprocess.run([BENCH, "load", str(port), "m", str(rate), str(seconds or SECONDS), kind], check=True,
                         capture_output=True, text=True)
    v = out.stdout.split()
    return {"first": [float(x) / 1000 for x in v[0:3]], "whole": [float(x) / 1000 for x in v[3:6]],
            "answered": int(v[6]), "failed": int(v[7])}


def start_croft(work, stub):
    env = {k: v for k, v in os.environ.items() if not k.startswith("CROFT_")}
    env.update(CROFT_HOME=os.path.join(work, "croft"), CROFT_CONFIG=os.path.join(work, "croft.yaml"),
               CROFT_LISTEN="127.0.0.1:0")
    os.mkdir(env["CROFT_HOME"])
    open(env["CROFT_CONFIG"], "w").close()
    log = open(os.path.join(work, "croft.log"), "w")
    process = start([CROFT, "up"], env=env, stdout=log, stderr=log)
    note = os.path.join(env["CROFT_HOME"], "server.json")
    while not os.path.exists(note):
        time.sleep(0.1)
    time.sleep(0.5)
    subprocess.run([CROFT, "endpoint", "add", "m", "--url", f"http://127.0.0.1:{stub}/v1", "--model", "m"], env=env,
                   check=True, stderr=subprocess.DEVNULL)
    with open(note) as f:
        return process, int(json.load(f)["address"].rsplit(":", 1)[1])


def start_litellm(work, stub):
    program = os.path.join(VENV, "bin", "litellm")
    if not os.path.exists(program):
        return None, None
    config = os.path.join(work, "litellm.yaml")
    with open(config, "w") as f:
        f.write("model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n"
                f"    api_base: http://127.0.0.1:{stub}/v1\n    api_key: sk-bench\n")
    port = 20000 + os.getpid() % 20000
    env = dict(os.environ, LITELLM_TELEMETRY="False", PATH=os.path.join(VENV, "bin") + ":" + os.environ["PATH"],
               LITELLM_LOCAL_MODEL_COST_MAP="True", NO_PROXY="*")
    log = open(os.path.join(work, "litellm.log"), "w")
    process = start([program, "--config", config, "--port", str(port), "--host", "127.0.0.1"], env=env, stdout=log,
                    stderr=log)
    for _ in range(240):
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"http://127.0.0.1:{port}/health/liveliness", timeout=2).read()
            return process, port
        except OSError:
            time.sleep(0.5)
    print("litellm did not start:", open(log.name).read()[-1000:], file=sys.stderr)
    return None, None


def rounds(ways, rate, kind):
    got = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, port in ways.items():
            got[name].append(load(port, rate, kind))
    return {name: {"failed": sum(r["failed"] for r in all_), "answered": sum(r["answered"] for r in all_),
                   **{part: [statistics.median(r[part][i] for r in all_) for i in range(3)]
                      for part in ("first", "whole")}} for name, all_ in got.items()}


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS"))


def table(rate, kind, r):
    print(f"\n{rate} requests/s, {'a stream of 8 words' if kind == 'stream' else 'one answer'}")
    print(f"  {'':24}{'p50':>9}{'p99':>9}{'p99.9':>9}   answered failed")
    parts = (("first", "to the first byte"), ("whole", "to the end")) if kind == "stream" else (("whole", ""),)
    for part, words in parts:
        for name, v in r.items():
            print(f"  {(name + ' ' + words):24}" + "".join(f"{x:9.3f}" for x in v[part]) +
                  f"   {v['answered']:8} {v['failed']:6}")
    added = {}
    for part, words in parts:
        for name, v in r.items():
            if name != "direct":
                added[name] = [x - d for x, d in zip(v[part], r["direct"][part])]
                print(f"  {(name + ' adds ' + words):24}" + "".join(f"{x:9.3f}" for x in added[name]))
    return added


def judge(what, got, goal, more=False):
    good = got >= goal if more else got <= goal
    print(f"  {what:52}{got:9.3f}   goal {'>=' if more else '<='} {goal:<6} {'ok' if good else 'below'}")


def main():
    with tempfile.TemporaryDirectory(prefix="croft-gateway-") as work:
        try:
            stub = start([BENCH, "stub"], stdout=subprocess.PIPE, text=True)
            stub_port = int(stub.stdout.readline())
            croft, croft_port = start_croft(work, stub_port)
            load(stub_port, 200, "whole", 1)
            answered = {"n": load(croft_port, 200, "whole", 1)["answered"]}
            verdict = []
            for kind in ("whole", "stream"):
                measured = rounds({"direct": stub_port, "croft": croft_port}, RATE, kind)
                answered["n"] += measured["croft"]["answered"]
                added = table(RATE, kind, measured)
                verdict += [(f"Croft adds at {RATE}/s, {kind}, p50 (ms)", added["croft"][0], GOALS["p50"]),
                            (f"Croft adds at {RATE}/s, {kind}, p99 (ms)", added["croft"][1], GOALS["p99"])]
            time.sleep(1)
            with sqlite3.connect(os.path.join(work, "croft", "croft.db")) as db:
                stored, = db.execute("SELECT count(*) FROM run WHERE kind = 'chat' AND status = 'ok'").fetchone()
            print(f"\ncroft stored {stored} runs of the {answered['n']} requests that it answered so far")
            litellm, litellm_port = start_litellm(work, stub_port)
            ratios = []
            if litellm_port:
                load(litellm_port, 20, "whole", 2)
                for kind in ("whole", "stream"):
                    added = table(PEER_RATE, kind, rounds(
                        {"direct": stub_port, "croft": croft_port, "litellm": litellm_port}, PEER_RATE, kind))
                    ratios += [(f"LiteLLM adds / Croft adds at {PEER_RATE}/s, {kind}, {p}",
                                added["litellm"][i] / added["croft"][i], 20) for i, p in ((0, "p50"), (1, "p99"))
                               if added["croft"][i] > 0.02]  # less is the machine's noise
                over = load(litellm_port, RATE, "whole")
                print(f"\nlitellm at {RATE}/s: p50 {over['whole'][0]:.0f} ms, p99 {over['whole'][1]:.0f} ms, "
                      f"{over['answered']} answered within 20 s after the end, {over['failed']} not")
                print(f"memory: croft {rss(croft.pid):.0f} MB, litellm {rss(litellm.pid):.0f} MB")
            print()
            for row in verdict:
                judge(*row)
            for row in ratios:
                judge(*row, more=True)
        finally:
            stop_all()


main()
