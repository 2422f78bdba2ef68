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


def card(s, ref, fmt=None):
    rc, out, err = s.cli("artifact", "card", ref, *(["--format", fmt] if fmt else ["--json"]))
    return out if fmt == "markdown" else json.loads(out)


def fields(c):
    return {f["key"]: f for section in c["sections"] for f in section["fields"]}


def model_card(s):
    import yaml
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    ref = "model/" + CHAT
    f = fields(card(s, ref))
    tap.same((f["parameters"]["state"], f["parameters"]["value"], f["parameters"]["from"]),
             ("measured", "134515008", "metadata:parameters"), "parameters are measured, with where")
    tap.ok(f["architecture"]["value"] == "llama" and f["context"]["value"] == "8192" and
           f["task"]["value"] == "text-generation", "so are architecture, context and task", f)
    tap.same((f["intended_use"]["state"], f["intended_use"]["value"]), ("missing", None), "what nobody said is missing")
    s.cli("artifact", "claim", ref, "intended_use=tests | only", "languages=en, de", "licence=MIT",
          "limitations=it is small", "bias_mitigation=none yet", "intended_users=testers")
    s.cli("promote", "check", ref, "safety-refusals", "pass")
    c = card(s, ref)
    f = fields(c)
    tap.same((f["intended_use"]["state"], f["intended_use"]["value"], f["intended_use"]["by"]),
             ("claim", "tests | only", "local"), "a claim has its author")
    tap.ok(f["licence"]["state"] == "measured" and f["licence"]["value"] != "MIT" and
           f["licence"]["claim"] == "MIT", "a claim does not hide what was measured", f["licence"])
    tap.same(f["safety_measured"]["value"], "safety-refusals: pass", "checks are measurements")
    tap.ok(all(x["filled"] <= x["of"] for x in c["sections"]) and len(c["sections"]) == 5,
           "completeness of five sections")
    text = card(s, ref, "markdown")
    front = yaml.safe_load(text.split("---\n")[1])
    tap.same((front["language"], front["pipeline_tag"], front["license"]),
             (["en", "de"], "text-generation", f["licence"]["value"].lower()), "the YAML is read back", )
    tap.ok("tests \\| only" in text and "*missing*" in text, "and the text is text")
    bom = json.dumps(card(s, ref, "cyclonedx"))
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom)
    tap.ok(problem is None, "CycloneDX 1.6's own schema takes the ML-BOM", problem)
    b = json.loads(bom)["components"][0]
    tap.ok(b["type"] == "machine-learning-model" and b["modelCard"]["considerations"]["useCases"] == ["tests | only"],
           "with the model's card in it", b)


def dataset_card(s):
    import mlcroissant
    tmp = tempfile.mkdtemp(prefix="croft-set-")
    with open(os.path.join(tmp, "rows.csv"), "w") as f:
        f.write('id,text,score\r\n1,"a, ""b""",0.5\r\n2,two,1\r\n')
    with open(os.path.join(tmp, "more.jsonl"), "w") as f:
        f.write('{"q":"x","n":1}\n{"q":"y","n":2}\n')
    with open(os.path.join(tmp, "LICENSE"), "w") as f:
        f.write("Creative Commons\nAttribution 4.0 International\n")
    s.cli("artifact", "push", tmp, "dataset/rows", "s3://bucket/raw")
    s.cli("artifact", "claim", "dataset/rows", "description=Rows to test with")
    f = fields(card(s, "dataset/rows"))
    tap.same((f["licence"]["value"], f["licence"]["from"]), ("CC-BY-4.0", "file:LICENSE"),
             "a licence is found in its file")
    tap.ok("s3://bucket/raw" in (f["provenance"]["value"] or ""), "provenance is lineage", f["provenance"])
    path = os.path.join(tmp, "croissant.json")
    with open(path, "w") as out:
        json.dump(card(s, "dataset/rows", "croissant"), out)
    set_ = mlcroissant.Dataset(path)
    tap.same(list(set_.metadata.ctx.issues.errors), [], "mlcroissant validates it")
    got = [r for r in set_.records("records-2")]
    tap.same([(r["records-2/id"], r["records-2/text"], r["records-2/score"]) for r in got],
             [(1, b'a, "b"', 0.5), (2, b"two", 1.0)], "and reads the rows, hashes checked")


with Croft(models=True) as server:
    openlineage(server)
    prov(server)
    model_card(server)
    dataset_card(server)
    loading(server, *signing(server))
tap.done()
