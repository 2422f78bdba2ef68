"""A training run is recorded, its code changed and its data deleted, and it is run again: reproduced,
within tolerance, or diverged from the step at which it began to differ. The command logs with the
official MLflow client, which finds its run by itself."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, Croft, Tap, environment

TRAIN = '''
import os, random, sys
import mlflow
mode = os.environ.get("MODE", "exact")
random.seed(int(os.environ["CROFT_SEED"]))
data = [float(line) for line in open("data/numbers.txt")]
mlflow.autolog(disable=True)
with mlflow.start_run():
    mlflow.log_param("rate", 0.1)
    w = random.random()
    for step in range(50):
        w -= 0.1 * sum(w - x for x in data) / len(data)
        noise = 0.0
        if mode == "noisy":
            noise = 1e-9 * int.from_bytes(os.urandom(2), "big") / 65536
        if mode == "wild" and step >= 30:
            noise = int.from_bytes(os.urandom(2), "big") / 65536
        mlflow.log_metric("loss", sum((w - x) ** 2 for x in data) + noise, step=step)
open("model.txt", "w").write(f"weight {w + noise!r}\\n")
print("trained", VERSION)
'''

tap = Tap()
dir = tempfile.mkdtemp(prefix="croft-reproduce-")
home = os.path.join(dir, "home")
code = os.path.join(dir, "code")
os.makedirs(os.path.join(code, "data"))
os.makedirs(home)
open(os.path.join(home, "croft.yaml"), "w").close()


def sh(command):
    subprocess.run(command, shell=True, check=True, cwd=code, stdout=subprocess.DEVNULL)


def write(name, text):
    with open(os.path.join(code, name), "w") as f:
        f.write(text)


def croft(*args, **extra):
    env = {**environment(home), "MY_API_TOKEN": "s3cr3t-value", **extra}
    env["PATH"] = os.path.dirname(sys.executable) + ":" + env["PATH"]
    return subprocess.run([BINARY, *args], cwd=code, env=env, capture_output=True, text=True,
                          timeout=120)


def record(name="linear", *options, **extra):
    p = croft("run", "--json", "-e", "digits", "-n", name, "-i", "data", "-o", "model.txt", "-p",
              "team=blue", "--seed", "7", *options, "python3", "train.py", "--any", "flag", **extra)
    if p.returncode:
        tap.ok(False, name, p.stdout + p.stderr)
        return None
    return json.loads(p.stdout)["run"]


def reproduce(run, *options, **extra):
    p = croft("reproduce", run, "--json", *options, **extra)
    try:
        return p.returncode, json.loads(p.stdout)
    except ValueError:
        return p.returncode, {"results": [], "error": p.stdout + p.stderr}


def result(report, kind, name):
    return next((r for r in report["results"] if r["kind"] == kind and r["name"] == name), None)


write("train.py", TRAIN.replace("VERSION", '"committed"'))
write("data/numbers.txt", "1\n2\n3\n")
write(".gitignore", "data/\nmodel.txt\n")
sh("git init -q -b main && git config user.name t && git config user.email t@example.com && "
   "git add -A && git commit -qm first")
write("train.py", TRAIN.replace("VERSION", '"changed"'))
write("extra.py", "# not in git yet\n")

# ---- recorded without a server
run = record()
write("train.py", "raise SystemExit('another program by now')\n")
shutil.rmtree(os.path.join(code, "data"))
os.remove(os.path.join(code, "extra.py"))
rc, report = reproduce(run)
tap.same(report.get("verdict"), "reproduced", "the changed code and the deleted data come back")
tap.same(rc, 0, "and that is success")
loss = result(report, "metric", "loss")
tap.ok(loss and loss["verdict"] == "reproduced", "all 50 points of the loss are the same", report)
tap.ok(result(report, "output", "model.txt"), "the output was compared", report)
tap.same(result(report, "param", "rate")["verdict"], "reproduced", "so was the parameter")
tap.same(report["environment"], [], "nothing around it differs")
tap.ok("another program" in open(os.path.join(code, "train.py")).read(), "the working tree is left alone")

# ---- what was kept, read by the official client
with Croft(home=home, ready=False) as c:
    os.environ["MLFLOW_TRACKING_URI"] = c.base
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow
    client = mlflow.MlflowClient()
    first = client.get_run(run)
    tap.same(first.info.status, "FINISHED", "the run is finished")
    tap.same(first.data.params, {"rate": "0.1"} | {"team": "blue"}, "parameters of both sides")
    tap.same(len(client.get_metric_history(run, "loss")), 50, "every point of the loss is there")
    tap.ok(first.data.metrics["system/memory_max_bytes"] > 1e6, "the command was measured")
    tap.same(first.data.tags["mlflow.source.git.commit"],
             subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=code, text=True).strip(),
             "the commit is git's")
    files = {f.path for f in client.list_artifacts(run, "croft")}
    tap.ok({"croft/record.json", "croft/code.patch", "croft/log.txt"} <= files, "record, patch and log",
           files)
    text = {n: open(client.download_artifacts(run, "croft/" + n, dir)).read()
            for n in ("record.json", "code.patch", "log.txt")}
    tap.ok(text["log.txt"].endswith("\ntrained changed\n"), "the log is what it printed", text["log.txt"])
    tap.ok("s3cr3t-value" not in "".join(text.values()), "no secret is kept")
    tap.ok("MY_API_TOKEN" in json.loads(text["record.json"])["environment"]["withheld"],
           "but it is said that there was one")
    tap.ok("mlflow-skinny" in json.loads(text["record.json"])["environment"]["python"]["packages"],
           "the packages are known")
    again = client.get_run(report["run"])
    tap.same(again.data.tags["croft.reproduces"], run, "the second run names the first")
    tap.same(again.data.tags["croft.reproduction"], "reproduced", "and what came of it")

    # ---- with a server
    write("train.py", TRAIN.replace("VERSION", '"changed"'))
    os.makedirs(os.path.join(code, "data"))
    write("data/numbers.txt", "1\n2\n3\n")
    noisy = record("noisy", MODE="noisy")
    rc, report = reproduce(noisy)
    tap.same((rc, report.get("verdict")), (0, "within_tolerance"), "noise is within tolerance")
    rc, report = reproduce(noisy, "--relative", "0", "--absolute", "0")
    tap.same((rc, report.get("verdict")), (5, "diverged"), "but for none")
    wild = record("wild", MODE="wild")
    rc, report = reproduce(wild, "--dir", os.path.join(dir, "kept"))
    loss = result(report, "metric", "loss") or {}
    tap.ok(str(loss.get("where")).startswith("step 30: "), "a divergence is told from its first step",
           report)
    tap.same(rc, 5, "and fails")
    tap.ok(os.path.exists(os.path.join(dir, "kept", "extra.py")) is False
           and os.path.exists(os.path.join(dir, "kept", "train.py")), "the folder asked for is kept")
    p = croft("reproduce", wild, "--ignore", "loss", "--ignore", "model.txt", "-q")
    tap.ok(p.returncode == 0 and "reproduced" in p.stdout, "what is to be ignored is ignored",
           p.stdout + p.stderr)
    plain = client.create_run("0").info.run_id
    p = croft("reproduce", plain)
    tap.ok(p.returncode == 4 and "not started by `croft run`" in p.stderr,
           "a run without a record says so", p.stderr)
    p = croft("run", "sh", "-c", "exit 9")
    tap.ok(p.returncode != 0 and "status 9" in p.stderr, "a failed command is a failed run", p.stderr)
    p = croft("run", "no-such-program")
    tap.ok(p.returncode == 4 and "no-such-program" in p.stderr, "no such program", p.stderr)
    failed = client.search_runs(["0"], "attributes.status = 'FAILED'")
    tap.same(len(failed), 2, "both are kept as failed")

# ---- an input that is not what it was is found out before anything runs
tap.ok(croft("run", "-i", "../home", "true").returncode == 2, "an input outside the folder is refused")
shutil.rmtree(dir)
tap.done()
