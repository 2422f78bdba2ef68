"""The commands of access on a data directory and from elsewhere, and official clients with a key in
a project: MLflow by user name and password and by token, under /p/{project}."""
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, Croft, Tap, environment  # noqa: E402

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

tap = Tap()


def commands(c):
    """On the data directory, without a server. Returns the keys of the two projects."""
    def croft(*args, input=None):
        code, out, err = c.cli(*args, input=input)
        tap.ok(code == 0, "croft " + " ".join(args[:3]), err)
        return out

    croft("user", "add", "ada", "--admin", "--password", input="correct horse\n")
    croft("user", "add", "ci", "--service", "--display", "The night's work")
    for project in ("alpha", "beta"):
        croft("project", "add", project, "--about", "of " + project)
    croft("role", "set", "mover", "--permissions", "artifact.read,artifact.write,artifact.alias",
          "--rules", "deny artifact.alias where alias = 'prod'")
    croft("member", "set", "ci", "mover", "--project", "alpha")
    croft("user", "add", "bob", "--service")
    croft("member", "set", "bob", "admin", "--project", "beta")
    code, out, err = c.cli("member", "set", "bob", "mover", "--project", "beta", "--rules", "deny nothing")
    tap.ok(code != 0 and "line 1, column 6" in err, "a rule that is none is refused, with its place", err)
    a = croft("key", "add", "nightly", "--user", "ci", "--project", "alpha", "--expires", "30d").strip()
    b = croft("key", "add", "--user", "bob").strip()
    for words in (["user", "ls"], ["key", "ls"], ["role", "ls"], ["role", "ls", "--permissions"],
                  ["project", "ls"], ["member", "ls", "--project", "alpha"], ["whoami"]):
        out = croft(*words)
        tap.ok(a not in out and b not in out, "without the keys")
        wide = [line for line in out.splitlines() if len(line) > 100]
        tap.ok(not wide, "readable", "\n".join(wide))
    tap.ok("nightly" in croft("key", "ls") and a[:14] in croft("key", "ls"), "keys are known by their beginning")
    tap.same(json.loads(croft("key", "ls", "--json"))["keys"][0]["state"], "valid", "--json")
    return a, b


def refuses(fn, what, code="PERMISSION_DENIED"):
    try:
        fn()
        tap.ok(False, what, "it went through")
    except MlflowException as e:
        tap.ok(e.error_code == code, what, f"{e.error_code}: {e.message}")


def mlflow(c, a, b):
    os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = "ci", a
    m = MlflowClient(tracking_uri=c.base + "/p/alpha", registry_uri=c.base + "/p/alpha")
    m.create_registered_model("churn")
    m.create_model_version("churn", "s3://bucket/1")
    tap.same(m.get_registered_model("churn").name, "churn", "MLflow, with the key as the password, in /p/alpha")
    m.set_registered_model_alias("churn", "dev", "1")
    tap.same(m.get_model_version_by_alias("churn", "dev").version, "1", "an alias may be moved")
    try:
        m.set_registered_model_alias("churn", "prod", "1")
        tap.ok(False, "but prod may not")
    except MlflowException as e:
        tap.ok(e.error_code == "PERMISSION_DENIED" and "deny artifact.alias where alias = 'prod'" in e.message,
               "but prod may not, and the answer names the rule", e.message)
    refuses(lambda: m.delete_registered_model("churn"), "nor may it be deleted")
    elsewhere = MlflowClient(tracking_uri=c.base + "/p/beta", registry_uri=c.base + "/p/beta")
    refuses(lambda: elsewhere.get_registered_model("churn"), "the other project is not there", "RESOURCE_DOES_NOT_EXIST")
    del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    os.environ["MLFLOW_TRACKING_TOKEN"] = b
    m = MlflowClient(tracking_uri=c.base, registry_uri=c.base)  # the only project of this user
    tap.same(m.search_registered_models(), [], "another user, by token, sees nothing of it")
    refuses(lambda: m.get_registered_model("churn"), "not by name either", "RESOURCE_DOES_NOT_EXIST")
    os.environ["MLFLOW_TRACKING_TOKEN"] = b[:-1] + ("A" if b[-1] != "A" else "B")
    refuses(lambda: m.search_registered_models(), "a wrong token", "UNAUTHENTICATED")
    del os.environ["MLFLOW_TRACKING_TOKEN"]


def from_elsewhere(c, key):
    home = tempfile.mkdtemp(prefix="croft-login-")
    env = environment(home)
    for name in ("CROFT_HOME", "CROFT_CONFIG", "XDG_CONFIG_HOME"):
        env.pop(name, None)
    env["HOME"] = home

    def croft(*args, input=None, **more):
        p = subprocess.run([BINARY, *args], env={**env, **more}, cwd=home, input=input, text=True, capture_output=True)
        return p.returncode, p.stdout + p.stderr

    code, out = croft("login", c.base, input="croft_wrong\n")
    tap.ok(code == 3 and "does not take this key" in out, "a key that does not work is not kept", out)
    code, out = croft("login", c.base + "/", input=key + "\n")
    tap.ok(code == 0 and "as ci" in out, "croft login", out)
    file = os.path.join(home, ".config", "croft", "login.json")
    tap.same(stat.S_IMODE(os.stat(file).st_mode), 0o600, "its file is its owner's")
    code, out = croft("whoami")
    tap.ok(code == 0 and "ci (service, by key)" in out and "project alpha" in out, "commands go there", out)
    code, out = croft("user", "ls")
    tap.ok(code == 3 and "access.manage" in out, "and may what the key may", out)
    code, out = croft("whoami", "--project", "beta")
    tap.ok(code == 4 and "no member" in out, "not in another project", out)
    code, out = croft("logout")
    tap.ok(code == 0 and key not in open(file).read(), "croft logout forgets the key", out)
    code, out = croft("whoami", CROFT_URL=c.base, CROFT_KEY=key)
    tap.ok(code == 0 and "by key" in out, "CROFT_URL and CROFT_KEY do the same", out)
    shutil.rmtree(home)


def signed_in(c):
    rq = urllib.request.Request(c.base + "/api/v1/session", method="POST", data=b'{"name":"ada","password":"correct horse"}',
                                headers={"content-type": "application/json", "origin": c.base})
    with urllib.request.urlopen(rq) as r:
        return r.headers["set-cookie"]


c = Croft(settings={"listen": "127.0.0.1:0"})
try:
    a, b = commands(c)
    c.start()
    tap.same(c.get("/api/v1/me")[0], 401, "with a user, credentials are needed")
    mlflow(c, a, b)
    from_elsewhere(c, a)
    tap.ok("Secure" not in signed_in(c), "the cookie of a plain connection")
    c.stop()
    code, out, err = c.cli("key", "ls", "--json")
    tap.ok(all(k["used"] for k in json.loads(out)["keys"]), "when keys were used last outlives the server", out)
    code, out, err = c.cli("audit", "verify")
    tap.ok(code == 0 and "one unbroken chain" in out, "the audit log holds", out + err)
    code, out, err = c.cli("audit", "ls", "--action", "artifact.*")
    tap.ok("artifact.alias" in out and "ci" in out and "alpha" in out, "with what the clients did", out)
    # behind a TLS proxy, and beyond loopback now that there are users
    c.settings.update({"listen": "0.0.0.0:0", "session.secure": "true"})
    c.start()
    tap.ok("; Secure" in signed_in(c), "session.secure")
finally:
    c.remove()
tap.done()
