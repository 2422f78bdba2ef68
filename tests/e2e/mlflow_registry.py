"""MLflow's own client, unmodified, against the model registry, the prompt registry and logged models."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
import logging  # noqa: E402
import warnings  # noqa: E402

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

warnings.simplefilter("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)
tap = Tap()


def code(fn, *args, **kw):
    """The error code of a refusal, and its message."""
    try:
        fn(*args, **kw)
    except MlflowException as e:
        return e.error_code, e.message
    return "OK", ""


def registered_models(c):
    m = c.create_registered_model("churn", tags={"team": "growth"}, description="who leaves")
    tap.same((m.name, m.description, m.tags), ("churn", "who leaves", {"team": "growth"}),
             "a registered model is made")
    tap.ok(m.creation_timestamp > 1.7e12 and m.last_updated_timestamp >= m.creation_timestamp,
           "with its times")
    tap.same(code(c.create_registered_model, "churn"),
             ("RESOURCE_ALREADY_EXISTS", "RESOURCE_ALREADY_EXISTS: Registered Model (name=churn) already exists."),
             "a second of the name is refused in MLflow's words")
    tap.same(code(c.create_registered_model, "a/b")[0], "INVALID_PARAMETER_VALUE", "so is a bad name")
    tap.same(code(c.get_registered_model, "nope")[0], "RESOURCE_DOES_NOT_EXIST", "and one that is not there")
    c.update_registered_model("churn", "who will leave")
    c.set_registered_model_tag("churn", "tier", "1")
    c.delete_registered_model_tag("churn", "team")
    m = c.get_registered_model("churn")
    tap.same((m.description, m.tags), ("who will leave", {"tier": "1"}), "description and tags change")
    c.rename_registered_model("churn", "leavers")
    tap.same(c.get_registered_model("leavers").description, "who will leave", "it is renamed")
    tap.same(code(c.get_registered_model, "churn")[0], "RESOURCE_DOES_NOT_EXIST", "the old name is free")


def versions(c):
    v1 = c.create_model_version("leavers", "s3://bucket/1", tags={"algo": "lr"}, description="first")
    v2 = c.create_model_version("leavers", "s3://bucket/2", run_id="0198c0ffee0198c0ffee0198c0ffee01",
                                run_link="https://ci/7")
    c.create_model_version("leavers", "s3://bucket/3")
    tap.same((v1.version, v1.current_stage, v1.status, v1.source, v1.tags, v1.description),
             ("1", "None", "READY", "s3://bucket/1", {"algo": "lr"}, "first"), "a version is made")
    tap.same((v2.version, v2.run_id, v2.run_link),
             ("2", "0198c0ffee0198c0ffee0198c0ffee01", "https://ci/7"), "a second with its run")
    tap.same(c.get_model_version_download_uri("leavers", "2"), "s3://bucket/2", "where its files are")
    c.update_model_version("leavers", "1", "the first")
    c.set_model_version_tag("leavers", "1", "ok", "yes")
    c.delete_model_version_tag("leavers", "1", "algo")
    v = c.get_model_version("leavers", "1")
    tap.same((v.description, v.tags), ("the first", {"ok": "yes"}), "a version's description and tags change")
    for source in ("/etc/passwd", "file:///etc/passwd", "s3://b/../c", "s3://b/%2e%2e/c",
                   "runs:/0198c0ffee0198c0ffee0198c0ffee02/m", "models:/m-0198c0ffee0198c0ffee0198c0ffee02"):
        tap.same(code(c.create_model_version, "leavers", source)[0], "INVALID_PARAMETER_VALUE",
                 f"the source {source} is refused")
    tap.same(code(c.get_model_version, "leavers", "9")[0], "RESOURCE_DOES_NOT_EXIST", "no version 9")
    v4 = c.copy_model_version("models:/leavers/2", "copied")
    tap.same((v4.version, c.get_model_version_download_uri("copied", "1")), ("1", "s3://bucket/2"),
             "a version is copied to another model; its files are the first one's")


def aliases(c):
    c.set_registered_model_alias("leavers", "prod", "1")
    tap.same(c.get_model_version_by_alias("leavers", "prod").version, "1", "an alias points")
    c.set_registered_model_alias("leavers", "prod", "3")
    c.set_registered_model_alias("leavers", "best", "3")
    tap.same(sorted(c.get_model_version("leavers", "3").aliases), ["best", "prod"], "a version knows its aliases")
    tap.same(c.get_registered_model("leavers").aliases, {"prod": "3", "best": "3"}, "so does the model")
    tap.same(code(c.set_registered_model_alias, "leavers", "latest", "1")[0], "INVALID_PARAMETER_VALUE",
             "'latest' is reserved")
    tap.same(code(c.get_model_version_by_alias, "leavers", "nope")[0], "INVALID_PARAMETER_VALUE",
             "an unknown alias")
    c.delete_registered_model_alias("leavers", "best")
    tap.same(c.get_registered_model("leavers").aliases, {"prod": "3"}, "an alias is taken away")


def stages(c):
    c.transition_model_version_stage("leavers", "1", "production")
    c.transition_model_version_stage("leavers", "2", "Production", archive_existing_versions=True)
    tap.same(c.get_model_version("leavers", "1").current_stage, "Archived", "the older one is archived")
    got = {v.current_stage: v.version for v in c.get_latest_versions("leavers")}
    tap.same(got, {"Archived": "1", "Production": "2", "None": "3"}, "the newest of each stage")
    tap.same([v.version for v in c.get_latest_versions("leavers", ["Production"])], ["2"], "of one stage")
    tap.same(code(c.transition_model_version_stage, "leavers", "1", "Live")[0], "INVALID_PARAMETER_VALUE",
             "an unknown stage")


def search(c):
    for i in range(25):
        c.create_registered_model(f"m{i:02}", tags={"n": str(i), "with.dot": "x"})
    names = [m.name for m in c.search_registered_models("name LIKE 'm0%'")]
    tap.same(names, [f"m0{i}" for i in range(10)], "LIKE")
    tap.same([m.name for m in c.search_registered_models("name ILIKE 'M0_' AND tags.n = '7'")], ["m07"],
             "ILIKE and a tag")
    tap.same(len(c.search_registered_models("tags.`with.dot` != 'y'")), 25, "a tag with a dot")
    tap.same([m.name for m in c.search_registered_models("name IN ('m01','m02')")], ["m01", "m02"], "IN")
    page = c.search_registered_models("name LIKE 'm%'", max_results=10, order_by=["name DESC"])
    seen = [m.name for m in page]
    while page.token:
        page = c.search_registered_models("name LIKE 'm%'", max_results=10, order_by=["name DESC"],
                                          page_token=page.token)
        seen += [m.name for m in page]
    tap.same(seen, [f"m{i:02}" for i in range(24, -1, -1)], "pages, last name first")
    tap.same(sorted(v.version for v in c.search_model_versions("name = 'leavers'")), ["1", "2", "3"], "versions")
    tap.same(sorted(v.name for v in c.search_model_versions("run_id = '0198c0ffee0198c0ffee0198c0ffee01'")),
             ["copied", "leavers"], "versions of a run, the copy too")
    tap.same([v.version for v in c.search_model_versions("name='leavers' and version_number >= 2",
                                                         order_by=["version_number ASC"])], ["2", "3"],
             "by number")
    tap.same([v.version for v in c.search_model_versions("source_path LIKE '%/3'")], ["3"], "by source")
    for bad in ("name", "name = x", "name > 'a'", "nope = 'a'", "name = 'a' OR name = 'b'", "params.x = '1'"):
        tap.same(code(c.search_registered_models, bad)[0], "INVALID_PARAMETER_VALUE", f"refused: {bad}")
    tap.same(code(c.search_registered_models, order_by=["nope"])[0], "INVALID_PARAMETER_VALUE",
             "an unknown order")
    tap.same(code(c.search_registered_models, page_token="!")[0], "INVALID_PARAMETER_VALUE", "a bad token")


def prompts(c):
    p = mlflow.genai.register_prompt("greet", "Hello {{ name }}, you are {{ age }}", commit_message="first",
                                     tags={"lang": "en"})
    tap.same((p.version, p.template, p.commit_message), (1, "Hello {{ name }}, you are {{ age }}", "first"),
             "a prompt is registered")
    tap.same(p.format(name="Ada", age=36), "Hello Ada, you are 36", "and formatted")
    chat = [{"role": "system", "content": "Be {{ mood }}"}, {"role": "user", "content": "{{ q }}"}]
    p2 = mlflow.genai.register_prompt("greet", chat, response_format={"type": "object"})
    tap.same((p2.version, p2.template), (2, chat), "a chat as the second version")
    mlflow.genai.set_prompt_alias("greet", "prod", 1)
    tap.same(mlflow.genai.load_prompt("prompts:/greet@prod").version, 1, "loaded by alias")
    tap.same(mlflow.genai.load_prompt("prompts:/greet/2").template, chat, "loaded by version")
    tap.same(mlflow.genai.load_prompt("greet").version, 2, "the newest")
    mlflow.genai.set_prompt_version_tag("greet", 1, "checked", "yes")
    tap.same(mlflow.genai.load_prompt("prompts:/greet/1", cache_ttl_seconds=0).tags.get("checked"), "yes",
             "a version's tag")
    mlflow.genai.set_prompt_tag("greet", "owner", "ada")
    tap.same(mlflow.genai.get_prompt_tags("greet").get("owner"), "ada", "a prompt's tag")
    tap.same([x.name for x in mlflow.genai.search_prompts()], ["greet"], "prompts are searched")
    tap.same([x.name for x in mlflow.genai.search_prompts("name LIKE 'x%'")], [], "with a filter")
    tap.same(sorted(x.version for x in c.search_prompt_versions("greet")), [1, 2], "and their versions")
    tap.ok("greet" not in [m.name for m in c.search_registered_models()], "models do not show prompts")
    tap.same(code(c.create_registered_model, "greet")[0], "RESOURCE_ALREADY_EXISTS",
             "a model cannot take a prompt's name")
    tap.same(code(mlflow.genai.register_prompt, "leavers", "x")[0] != "OK", True,
             "nor a prompt a model's")
    tap.same(code(mlflow.genai.register_prompt, "bad/name", "x")[0], "INVALID_PARAMETER_VALUE", "a bad name")
    mlflow.genai.delete_prompt_alias("greet", "prod")
    tap.ok(mlflow.genai.load_prompt("prompts:/greet@prod", allow_missing=True, cache_ttl_seconds=0) is None,
           "an alias that is gone")
    tap.ok(mlflow.genai.load_prompt("prompts:/none/1", allow_missing=True) is None, "a prompt that is not there")


def logged_models(c):
    m = c.create_logged_model("0", name="clf", model_type="classifier", tags={"a": "1"},
                              params={f"p{i}": str(i) for i in range(120)})
    tap.same((m.name, m.model_type, m.status.value, m.tags["a"], len(m.params)),
             ("clf", "classifier", "PENDING", "1", 120), "a model is logged, with 120 parameters")
    tap.ok(m.artifact_location.startswith("mlflow-artifacts:/0/models/m-"), "its files have a place")
    m = c.finalize_logged_model(m.model_id, "READY")
    tap.same(m.status.value, "READY", "it is complete")
    c.set_logged_model_tags(m.model_id, {"b": "2"})
    c.delete_logged_model_tag(m.model_id, "a")
    tap.same(c.get_logged_model(m.model_id).tags.get("b"), "2", "its tags change")
    c.create_logged_model("0", name="other", params={"lr": "0.1"})
    found = c.search_logged_models(["0"], filter_string="params.lr = '0.1'")
    tap.same([x.name for x in found], ["other"], "searched by parameter")
    found = c.search_logged_models(["0"], order_by=[{"field_name": "name", "ascending": True}])
    tap.same([x.name for x in found], ["clf", "other"], "in order")
    v = c.create_model_version("leavers", f"models:/{m.model_id}", model_id=m.model_id)
    tap.same(c.get_model_version_download_uri("leavers", v.version), m.artifact_location,
             "a version made from it has its place")
    c.delete_logged_model(m.model_id)
    tap.same(code(c.get_logged_model, m.model_id)[0], "RESOURCE_DOES_NOT_EXIST", "it is deleted")


def other_side(c, server):
    """What MLflow wrote is artifacts: Croft's own commands see them, and the other way round."""
    status, v = server.json("GET", "/api/v1/artifacts/model/leavers/versions/prod")
    tap.same((status, v["version"], v["aliases"]), (200, 3, ["prod"]), "an MLflow alias is an alias")
    rc, out, err = server.cli("artifact", "history", "model/leavers@prod")
    tap.ok(rc == 0 and out.count("alias prod") == 2, "its history is kept", out + err)
    server.cli("artifact", "alias", "model/leavers:2", "prod")
    tap.same(c.get_model_version_by_alias("leavers", "prod").version, "2", "a move with croft shows in MLflow")
    rc, out, err = server.cli("artifact", "lineage", "model/copied:1")
    tap.ok("model/leavers:2" in out and "run:0198c0ffee" in out, "a copy's lineage", out + err)
    c.delete_model_version("leavers", "3")
    tap.same(code(c.get_model_version, "leavers", "3")[0], "RESOURCE_DOES_NOT_EXIST", "a version is deleted")
    c.delete_registered_model("leavers")
    tap.same(code(c.get_registered_model, "leavers")[0], "RESOURCE_DOES_NOT_EXIST", "and the model")
    c.create_registered_model("leavers")
    tap.same(c.create_model_version("leavers", "s3://x").version, "1", "the name begins anew")
    rc, out, err = server.cli("artifact", "verify")
    tap.ok(rc == 0, "the chain of facts holds", out + err)


with Croft() as server:
    mlflow.set_tracking_uri(server.base)
    client = MlflowClient()
    registered_models(client)
    versions(client)
    aliases(client)
    stages(client)
    search(client)
    prompts(client)
    logged_models(client)
    other_side(client, server)
tap.done()
