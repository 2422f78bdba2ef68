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
    # a record of the first version kept inputs and outputs as files of the run
    old = client.create_run("0", tags={"croft.exit": "0"}).info.run_id
    rec = json.loads(text["record.json"])
    rec.update(version=1, inputs=rec["inputs"]["files"], outputs=rec["outputs"]["files"])
    former = os.path.join(dir, "former")
    os.makedirs(os.path.join(former, "data"))
    for name, content in (("record.json", json.dumps(rec)), ("code.patch", text["code.patch"]),
                          ("data/numbers.txt", "1\n2\n3\n")):
        with open(os.path.join(former, name), "w") as f:
            f.write(content)
    client.log_artifact(old, os.path.join(former, "record.json"), "croft")
    client.log_artifact(old, os.path.join(former, "code.patch"), "croft")
    client.log_artifact(old, os.path.join(former, "data", "numbers.txt"), "croft/inputs/data")
    client.log_artifact(old, os.path.join(code, "model.txt"), "croft/outputs")
    rc, former = reproduce(old, "--ignore", "loss")
    tap.ok(rc == 0 and result(former, "output", "model.txt"), "a record of the first version is reproduced too",
           former)
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

def is_same(got, want, name, more=""):
    tap.ok(got == want, name, f"got  {got!r}\nwant {want!r}\n{more}")


# ---- inputs and outputs that are versions of artifacts
MEAN = '''
import json, os
rows = [float(x) for x in open("in/numbers.csv").read().split()[1:]]
scale = float(open("scale.txt").read())
os.makedirs("out", exist_ok=True)
json.dump({"mean": scale * sum(rows) / len(rows)}, open("out/weights.json", "w"))
open("note.txt", "w").write("%d rows" % len(rows))
if os.environ.get("FAIL"):
    raise SystemExit(3)
'''
numbers = os.path.join(dir, "numbers")
os.makedirs(numbers)


def push(rows):
    with open(os.path.join(numbers, "numbers.csv"), "w") as f:
        f.write("x\n" + "".join(f"{x}\n" for x in rows))
    p = croft("artifact", "push", numbers, "dataset/numbers", "--alias", "prod", "--json")
    return json.loads(p.stdout)["version"]


def mean(*options, **extra):
    p = croft("run", "--json", "-e", "means", "-i", "in=dataset/numbers@prod", "-i", "scale.txt",
              "-o", "out=model/mean", "-o", "note.txt", *options, "python3", "mean.py", **extra)
    return p, json.loads(p.stdout) if p.stdout.startswith("{") else {}


def edges(ref, direction="up"):
    p = croft("artifact", "lineage", ref, "--json", *(["--down"] if direction == "down" else []))
    g = json.loads(p.stdout)
    label = {n["id"]: n["label"] for n in g["nodes"]}
    return {(label[e["node"]], e["kind"], label[e["source"]]) for e in g["edges"]}, g


write("mean.py", MEAN)
write("scale.txt", "1\n")
sh("git add mean.py && git commit -qm mean")
push([1, 2, 3])
p, first = mean()
is_same(first.get("versions"), ["model/mean:1"], "a run makes a version of its output", p.stderr)
is_same(open(os.path.join(code, "in", "numbers.csv")).read(), "x\n1\n2\n3\n",
         "the version that it asked for was put where it reads")
found, g = edges("model/mean:1")
run_node = f"run:{first['run']}"
tap.ok({("model/mean:1", "produced", run_node), (run_node, "used", "dataset/numbers:1")} <= found,
       "lineage: made by the run, which used that version", found)
tap.ok(any(s.startswith("content ") for n, k, s in found if k == "used"),
       "and a file that is no version, as content", found)
tap.ok({"path": "in"} in [e["detail"] for e in g["edges"]], "the edge says under which path it was used")
push([1, 2, 6])
p, _ = mean()
tap.ok(p.returncode == 5 and "in is there already and is not dataset/numbers:2" in p.stderr,
       "what stands in the way of another version is not overwritten", p.stderr)
shutil.rmtree(os.path.join(code, "in"))
odd = os.path.join(code, "numbers.csv")
for what in ("a pipe", "a link to nothing"):  # neither can be read
    os.mkfifo(odd) if what == "a pipe" else os.symlink("nowhere", odd)
    p = croft("run", "-i", "numbers.csv=dataset/numbers:1", "true")
    tap.ok(p.returncode == 5 and "is there already" in p.stderr and not os.path.isfile(odd),
           f"nor is {what}", p.stderr)
    os.unlink(odd)
p, second = mean("-t", "again=1")
is_same(second.get("versions"), ["model/mean:2"], "the alias moved: another version in and out", p.stderr)
p, same = mean()
is_same(same.get("versions"), ["model/mean:2"], "the same output again is the same version", p.stderr)
p = croft("runs", "compare", first["run"], second["run"], "--json")
d = json.loads(p.stdout)["diff"]
by = {x["name"]: x for x in d["inputs"] + d["outputs"]}
is_same((by["in"]["before"]["label"], by["in"]["after"]["label"], by["in"]["change"]),
        ("dataset/numbers:1", "dataset/numbers:2", "changed"), "two runs: which versions they used")
is_same([(f["path"], f["change"]) for f in by["in"]["files"]], [("numbers.csv", "changed")],
        "and which files of them differ")
is_same((by["out"]["before"]["label"], by["out"]["after"]["label"]), ("model/mean:1", "model/mean:2"),
        "and which they made")
is_same([x["change"] for x in d["inputs"]].count("same"), 1, "the file that is no version is the same", d["inputs"])
is_same((d["code"]["before"]["commit"], d["environment"]), (d["code"]["after"]["commit"], []),
        "neither code nor environment differ")
p = croft("runs", "compare", first["run"], second["run"], "--rows")
tap.ok("in  changed: - dataset/numbers:1 + dataset/numbers:2" in p.stdout
       and "rows: 1 added, 1 removed, 0 changed, 2 the same (no key)" in p.stdout, "rows are counted, in the terminal",
       p.stdout + p.stderr)
p = croft("runs", "compare", run, first["run"], "--code")
tap.ok("diff --git a/extra.py b/extra.py" in p.stdout and "+++ b/mean.py" in p.stdout,
       "and the code is a patch, between other commits too", p.stdout + p.stderr)
told = p.stdout.split("\ninputs\n")[1].split("\ncode\n")[0]
tap.ok(max(map(len, told.splitlines())) <= 80, "in 80 columns", told)
p, failed = mean(FAIL="1")
tap.ok(p.returncode != 0 and "no version is made of it" in p.stderr
       and not any(k == "produced" and "model/" in n for n, k, s in edges(f"run:{failed['run']}", "down")[0]),
       "a command that failed makes no version", p.stderr)
p = croft("artifact", "ls", "--json")
patch = croft("run", "--json", "-e", "means", "-i", "in=dataset/numbers:2", "-i", "scale.txt", "true")
record_file = json.loads(patch.stdout)["run"]
shutil.rmtree(os.path.join(code, "in"))
write("scale.txt", "100\n")
write("mean.py", "raise SystemExit('another program')\n")
rc, report = reproduce(first["run"])
is_same((rc, report.get("verdict")), (0, "reproduced"),
         "the very version that was used comes back, wherever the alias points now", report)
tap.ok(result(report, "output", "out/weights.json") and result(report, "output", "note.txt"),
       "outputs that are versions are compared like others", report)
again = edges(f"run:{report['run']}")[0]
tap.ok((f"run:{report['run']}", "used", "dataset/numbers:1") in again, "the second run used the same version",
       again)
p = croft("reproduce", record_file)
is_same(p.returncode, 0, "nothing of an input is taken for code", p.stderr)
with Croft(home=home, ready=False) as c:
    write("mean.py", MEAN)
    write("scale.txt", "1\n")
    p, third = mean()
    is_same(third.get("versions"), ["model/mean:2"], "the same through a server", p.stderr)
    os.environ["MLFLOW_TRACKING_URI"] = c.base
    kept = open(mlflow.MlflowClient().download_artifacts(third["run"], "croft/code.patch", dir)).read() \
        if {f.path for f in mlflow.MlflowClient().list_artifacts(third["run"], "croft")} & {"croft/code.patch"} \
        else ""
    tap.ok("numbers.csv" not in kept and "note.txt" not in kept, "inputs and outputs are no part of the patch", kept)
    from mlflow.entities import Dataset, DatasetInput
    wine = []
    for digest in ("aaa111", "bbb222"):
        wine.append(mlflow.MlflowClient().create_run("0").info.run_id)
        mlflow.MlflowClient().log_inputs(wine[-1], [DatasetInput(Dataset(
            "wine", digest, "http", json.dumps({"url": "https://example.org/wine.csv"})), [])])
    d = json.loads(croft("runs", "compare", *wine, "--json").stdout)["diff"]["inputs"]
    is_same([(x["name"], x["change"], x["before"]["label"], x["after"]["label"]) for x in d if x["change"] != "same"],
            [("wine", "changed", "wine aaa111", "wine bbb222")], "datasets of MLflow's client, by name and digest", d)
    write("rows.csv", "id\n1\n")
    p = croft("run", "--json", "--input-as", "rows.csv=dataset/rows", "-o", "copy.csv=dataset/copy",
              "cp", "rows.csv", "copy.csv")
    named = json.loads(p.stdout)
    found, _ = edges("dataset/copy:1")
    tap.ok((f"run:{named['run']}", "used", "dataset/rows:1") in found, "an input can become a version", found)
    os.remove(os.path.join(code, "rows.csv"))
    rc, report = reproduce(named["run"])
    is_same(rc, 0, "a version of one file is put back as the file", report)
    croft("artifact", "rm", "dataset/numbers:1", "--reason", "withdrawn")
    rc, report = reproduce(first["run"])
    tap.ok(rc == 0 and any("dataset/numbers:1 was deleted since" in x for x in report["environment"]),
           "a version that was deleted meanwhile is told", report)
    p = croft("artifact", "gc", "--json", "--grace", "1h")
    rc, report = reproduce(first["run"])
    is_same(rc, 0, "content within the grace is still there", report)

# ---- an input that is not what it was is found out before anything runs
tap.ok(croft("run", "-i", "../home", "true").returncode == 2, "an input outside the folder is refused")
shutil.rmtree(dir)
tap.done()
