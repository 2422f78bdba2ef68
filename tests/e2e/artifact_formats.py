"""What leaves Croft is read by the reference implementations, and the other way round: OpenLineage's
and PROV's Python packages, OpenSSF's model_signing."""
import json
import os
import subprocess
import sys
import tempfile
import uuid

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import CHAT, Croft, Tap  # noqa: E402

tap = Tap()


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, text=True, timeout=120, **kw)


def openlineage(s):
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Dataset, InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.transport.http import HttpConfig, HttpTransport
    client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=s.base)))
    s.cli("artifact", "add", "dataset/clean", "--source", "s3://bucket/clean")
    run_id = str(uuid.uuid4())
    for state in (RunState.START, RunState.COMPLETE):
        client.emit(RunEvent(eventType=state, eventTime="2026-05-03T10:00:00.000Z", run=Run(runId=run_id),
                             job=Job(namespace="airflow", name="train"), producer="https://example.org/dag",
                             inputs=[InputDataset(namespace="croft://default", name="dataset/clean:1"),
                                     InputDataset(namespace="s3://bucket", name="raw/a.parquet")],
                             outputs=[OutputDataset(namespace="warehouse", name="scores")]))
    client.close()
    status, g = s.json("GET", "/api/v1/lineage/graph?of=openlineage%3A%2F%2Fwarehouse%2Fscores")
    ids = [n["label"] for n in g["nodes"]]
    tap.same((status, ids[0], ids[1], sorted(ids[2:])),
             (200, "openlineage://warehouse/scores", "train", ["dataset/clean:1", "s3://bucket/raw/a.parquet"]),
             "the official client's events become lineage")
    tap.same(len(g["edges"]), 3, "the second event of a run adds nothing")
    status, _ = s.json("POST", "/api/v1/lineage", {"eventTime": "x", "run": {"runId": "nope"},
                                                   "job": {"namespace": "a", "name": "b"}})
    tap.same(status, 400, "an event without a run's id is refused")
    failed = str(uuid.uuid4())
    s.json("POST", "/api/v1/lineage", {"eventType": "FAIL", "eventTime": "2026-05-03T10:00:00Z",
                                       "run": {"runId": failed}, "job": {"namespace": "a", "name": "b"},
                                       "outputs": [{"namespace": "warehouse", "name": "never"}]})
    _, g2 = s.json("GET", "/api/v1/lineage/graph?of=openlineage%3A%2F%2Fwarehouse%2Fnever")
    tap.same(len(g2["edges"]), 0, "a run that failed produced nothing")
    status, events = s.json("GET", "/api/v1/lineage/export?format=openlineage&"
                                   "of=openlineage%3A%2F%2Fwarehouse%2Fscores")
    ev = [e for e in events if "run" in e][0]
    tap.same((ev["run"]["runId"], ev["job"], ev["outputs"], sorted(d["name"] for d in ev["inputs"])),
             (run_id, {"namespace": "airflow", "name": "train"},
              [{"namespace": "warehouse", "name": "scores"}], ["dataset/clean:1", "raw/a.parquet"]),
             "and leave as they came")
    again = RunEvent(eventType=RunState.COMPLETE, eventTime=ev["eventTime"], run=Run(runId=ev["run"]["runId"]),
                     job=Job(**ev["job"]), producer=ev["producer"],
                     inputs=[Dataset(namespace=d["namespace"], name=d["name"]) for d in ev["inputs"]], outputs=[])
    tap.ok(again.run.runId == run_id, "the client takes the exported event")


def prov(s):
    from prov.model import ProvDocument
    s.cli("artifact", "add", "dataset/raw", "--source", "s3://bucket/raw")
    s.cli("artifact", "add", "dataset/mid", "--source", "s3://bucket/mid", "dataset/raw")
    s.cli("artifact", "add", "model/m", "--source", "s3://bucket/m", "--run", "0198c0ffee0198c0ffee0198c0ffee01")
    s.cli("artifact", "link", "run:0198c0ffee0198c0ffee0198c0ffee01", "used", "dataset/mid:1")
    rc, text, err = s.cli("artifact", "lineage", "model/m:1", "--format", "prov")
    doc = ProvDocument.deserialize(content=text, format="json")
    kinds = sorted(r.get_type().localpart for r in doc.get_records())
    tap.same(kinds, sorted(["Entity"] * 3 + ["Activity", "Agent", "Usage", "Generation"] + ["Derivation"] +
                           ["Attribution"] * 3), "PROV-JSON is read by prov")
    twice = ProvDocument.deserialize(content=doc.serialize(format="json"), format="json")
    tap.ok(twice == doc, "and comes back the same")


def signing(s):
    tmp = tempfile.mkdtemp(prefix="croft-sign-")
    key = os.path.join(tmp, "k.pem")
    py = os.path.join(os.path.dirname(sys.executable), "model_signing")
    rc, out, err = s.cli("artifact", "key", key)
    tap.ok(rc == 0 and os.stat(key).st_mode & 0o077 == 0, "a key is made, for its owner only", out + err)
    model = os.path.join(s.home, "models", CHAT)
    ref = "model/" + CHAT
    rc, out, err = s.cli("artifact", "verify", ref, "--key", key + ".pub")
    tap.ok(rc != 0 and "not signed" in err, "what is not signed is not verified", err)
    rc, out, err = s.cli("artifact", "sign", ref, "--key", key)
    tap.ok(rc == 0, "an installed model is signed", err)
    rc, out, err = s.cli("artifact", "verify", ref, "--key", key + ".pub")
    tap.ok(rc == 0 and "is what was signed" in out, "and verified", out + err)
    rc, bundle, err = s.cli("artifact", "signature", ref)
    sig = os.path.join(tmp, "model.sig")
    with open(sig, "w") as f:
        f.write(bundle)
    r = run(py, "verify", "key", model, "--signature", sig, "--public_key", key + ".pub",
            "--ignore-paths", os.path.join(model, "croft-model.json"))
    tap.ok(r.returncode == 0, "model_signing verifies our signature", r.stdout + r.stderr)
    other = os.path.join(tmp, "other.pem")
    s.cli("artifact", "key", other)
    rc, out, err = s.cli("artifact", "verify", ref, "--key", other + ".pub")
    tap.ok(rc != 0 and "another key" in err, "another key does not", err)
    theirs = os.path.join(tmp, "theirs.sig")
    r = run(py, "sign", "key", model, "--signature", theirs, "--private_key", other)
    tap.ok(r.returncode == 0, "model_signing signs", r.stdout + r.stderr)
    rc, out, err = s.cli("artifact", "sign", ref, "--signature", theirs)
    tap.ok(rc == 0, "its signature is attached", err)
    rc, out, err = s.cli("artifact", "verify", ref, "--key", other + ".pub")
    tap.ok(rc == 0, "and verified", out + err)
    folder = os.path.join(tmp, "folder")
    os.makedirs(os.path.join(folder, "a"))
    for name in ("a/x", "a.txt", "b"):
        with open(os.path.join(folder, name), "w") as f:
            f.write(name)
    rc, out, err = s.cli("artifact", "push", folder, "dataset/signed")
    tap.ok(rc == 0, "a folder is pushed", out + err)
    rc, out, err = s.cli("artifact", "sign", "dataset/signed", "--key", key)
    rc2, out2, err2 = s.cli("artifact", "verify", "dataset/signed", "--key", key + ".pub")
    tap.ok(rc == 0 and rc2 == 0 and "3 files" in out2, "a stored version is signed and verified", err + err2)
    _, bundle, _ = s.cli("artifact", "signature", "dataset/signed")
    with open(sig, "w") as f:
        f.write(bundle)
    r = run(py, "verify", "key", folder, "--signature", sig, "--public_key", key + ".pub")
    tap.ok(r.returncode == 0, "model_signing verifies that one too", r.stdout + r.stderr)
    return key + ".pub", model


def loading(s, pub, model):
    """The policy at the load of a model, with one byte changed."""
    import shutil
    shutil.copy(pub, os.path.join(s.home, "trusted.pub"))
    s.stop()
    s.settings.update({"signing.verify": "require", "signing.trusted": "trusted.pub"})
    s.wait_ready = False
    s.start()
    body = {"model": CHAT, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    status, answer = s.json("POST", "/v1/chat/completions", body)
    tap.same(status, 200, "a signed model is opened")
    s.stop()
    victim = max((os.path.join(model, f) for f in os.listdir(model)), key=os.path.getsize)
    data = open(victim, "rb").read()
    os.chmod(model, 0o700)
    os.unlink(victim)  # it may be a hard link
    with open(victim, "wb") as f:
        f.write(data[:-1] + bytes([data[-1] ^ 1]))
    s.start()
    status, answer = s.json("POST", "/v1/chat/completions", body)
    tap.ok(status == 403 and "is not what was signed" in json.dumps(answer), "one changed bit is not",
           f"{status} {answer}")
    s.stop()
    s.settings["signing.verify"] = "warn"
    s.start()
    status, answer = s.json("POST", "/v1/chat/completions", body)
    tap.ok(status == 200 and "is not what was signed" in s.logged(), "with warn it is, and said", s.logged())


with Croft(models=True) as server:
    openlineage(server)
    prov(server)
    loading(server, *signing(server))
tap.done()
