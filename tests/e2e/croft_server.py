"""A running croft for a test, and TAP.

    from croft_server import Croft, Tap
    tap = Tap()
    with Croft(models=True) as c:              # home of its own, free port, removed at the end
        tap.ok(c.get("/healthz")[0] == 200, "is alive")
        c.cli("ingest", "docs")                # the command line on the same data
    tap.done()

The binary is $CROFT_BUILD/croft (build/croft). models=True installs the two test models under the
names of the defaults; without them the test is skipped. They are pulled once into the build
folder and hard-linked from there.
"""
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("CROFT_BUILD", os.path.join(ROOT, "build"))
BINARY = os.path.join(BUILD, "croft")
MODELS = os.environ.get("CROFT_TEST_MODELS", os.path.join(ROOT, "build", "models"))
NAMES = {"smollm2": "smollm2-135m-instruct", "minilm": "all-minilm-l6-v2"}
CHAT, EMBED = NAMES["smollm2"], NAMES["minilm"]


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def ok(self, good, name, note=None):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}", flush=True)
        if note is not None and not good:
            for line in str(note).splitlines():
                print("# " + line, flush=True)
        return good

    def same(self, got, want, name):
        return self.ok(got == want, name, f"got  {got!r}\nwant {want!r}")

    def raises(self, kind, fn, name):
        try:
            fn()
        except kind as e:
            self.ok(True, name)
            return e
        except Exception as e:
            self.ok(False, name, f"{type(e).__name__}: {e}")
            return None
        self.ok(False, name, "nothing was raised")
        return None

    def note(self, text):
        print("# " + text, flush=True)

    def done(self):
        print(f"1..{self.n}", flush=True)
        sys.exit(1 if self.failed else 0)


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def on_postgres():
    return bool(os.environ.get("CROFT_TEST_DB_URL"))


def environment(home):
    """Only what a person would have, and no setting of the outer environment."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CROFT_")}
    env.update(CROFT_HOME=home, CROFT_CONFIG=os.path.join(home, "croft.yaml"), NO_COLOR="1")
    if os.environ.get("CROFT_TEST_DB_URL"):  # make test DB=postgres: a schema per data directory
        server = os.environ["CROFT_TEST_DB_URL"]
        schema = "e" + hashlib.sha256(home.encode()).hexdigest()[:20]
        env["CROFT_DB_URL"] = f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}"
    if os.environ.get("CROFT_TEST_BACKEND"):  # tests/e2e/on_pgvector.sh; graphs already over few items
        env.update(CROFT_COLLECTION_BACKEND=os.environ["CROFT_TEST_BACKEND"], CROFT_COLLECTION_PGVECTOR_GRAPH="200")
    return env


def _template():
    """A data directory with the models installed, made once per build folder."""
    home = os.path.join(BUILD, "e2e-models")
    with open(home + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(home, "complete")):
            return home
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        open(os.path.join(home, "croft.yaml"), "w").close()
        for folder, name in NAMES.items():
            path = os.path.join(MODELS, folder)
            subprocess.run([BINARY, "pull", os.path.realpath(path), "--name", name], check=True,
                           env=environment(home), stdout=subprocess.DEVNULL)
        open(os.path.join(home, "complete"), "w").close()
    return home


def _link_tree(source, target):
    for folder, _, files in os.walk(source):
        there = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(there, exist_ok=True)
        for name in files:
            if name in ("complete", "lock"):
                continue
            a, b = os.path.join(folder, name), os.path.join(there, name)
            if os.sep + "models" + os.sep in a[len(source):]:
                try:
                    os.link(a, b)
                    continue
                except OSError:
                    pass
            shutil.copy2(a, b)


class Croft:
    def __init__(self, models=False, settings=None, key=None, home=None, ready=None, ca=None):
        """settings: {"http.workers": 4}; ready: wait for /readyz (default: when models); ca: PEM
        file to trust when the settings make it a TLS server."""
        if not os.path.exists(BINARY):
            skip_all(f"there is no {BINARY}")
        if models and not all(os.path.exists(os.path.join(MODELS, m)) for m in NAMES):
            skip_all(f"the test models are not in {MODELS} (CROFT_TEST_MODELS)")
        self.keep = home is not None
        self.home = home or tempfile.mkdtemp(prefix="croft-e2e-")
        if models and not os.path.exists(os.path.join(self.home, "models")):
            _link_tree(_template(), self.home)
        self.settings = dict(settings or {})
        self.key = key
        self.ca = ca
        self.wait_ready = models if ready is None else ready
        self.process = None
        self.address = self.base = None
        config = os.path.join(self.home, "croft.yaml")
        if not os.path.exists(config):
            open(config, "w").close()

    def env(self):
        env = environment(self.home)
        for name, value in self.settings.items():
            env["CROFT_" + name.upper().replace(".", "_")] = str(value)
        if self.key:
            env["CROFT_API_KEY"] = self.key
        return env

    def start(self, timeout=60):
        env = self.env()
        env.setdefault("CROFT_LISTEN", "127.0.0.1:0")
        note = os.path.join(self.home, "server.json")
        if os.path.exists(note):
            os.unlink(note)
        self.log = open(os.path.join(self.home, "server.log"), "ab")
        self.process = subprocess.Popen([BINARY, "up"], env=env, stdout=self.log, stderr=self.log)
        end = time.time() + timeout
        while time.time() < end:
            if self.process.poll() is not None:
                raise RuntimeError("croft up ended:\n" + self.logged())
            try:
                with open(note) as f:
                    said = json.load(f)
                self.address = said["address"].replace("0.0.0.0:", "127.0.0.1:")
                self.base = ("https://" if said.get("tls") else "http://") + self.address
                status, _ = self.get("/readyz" if self.wait_ready else "/healthz")
                if status == 200:
                    return self
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.05)
        raise RuntimeError("croft up is not ready:\n" + self.logged())

    def logged(self):
        with open(os.path.join(self.home, "server.log"), errors="replace") as f:
            return f.read()[-4000:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        code = self.process.returncode if self.process else None
        self.process = None
        return code

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self):
        self.stop()
        if not self.keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, bytes); body: bytes, or anything else as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if self.key:
            headers.setdefault("Authorization", "Bearer " + self.key)
        rq = urllib.request.Request(self.base + path, data=body, method=method, headers=headers)
        handlers = [urllib.request.ProxyHandler({})]
        if self.ca:
            context = ssl.create_default_context(cafile=self.ca)
            if "tls.client_cert" in self.settings:
                context.load_cert_chain(self.settings["tls.client_cert"], self.settings.get("tls.client_key"))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)
        try:
            with opener.open(rq, timeout=timeout) as rs:
                return rs.status, rs.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def json(self, method, path, body=None, **kw):
        status, data = self.request(method, path, body, **kw)
        return status, json.loads(data) if data else None

    def cli(self, *args, input=None, timeout=120):
        """(exit code, stdout, stderr) of `croft ARGS` on the same data directory."""
        p = subprocess.run([BINARY, *args], env=self.env(), input=input, text=True,
                           capture_output=True, timeout=timeout)
        return p.returncode, p.stdout, p.stderr

    def sql(self, *statements):
        """Straight into its database, whichever that is, behind a server's back."""
        if on_postgres():
            schema = self.env()["CROFT_DB_URL"].rsplit("search_path%3D", 1)[1]
            psql = os.path.join(pg.bindir(), "psql")
            subprocess.run([psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h",
                            os.environ["CROFT_TEST_PG_DIR"], "-U", "postgres", "-c",
                            ";".join((f"SET search_path = {schema}",) + statements)], check=True)
            return
        db = sqlite3.connect(os.path.join(self.home, "croft.db"), timeout=30)
        with db:
            for statement in statements:
                db.execute(statement)
        db.close()

    def metric(self, name):
        for line in self.get("/metrics")[1].decode().splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        return None


if __name__ == "__main__":
    # for shell and node tests: croft_server.py [--models] [--key KEY] COMMAND...
    # runs COMMAND with CROFT_BASE (and CROFT_HOME) of a running server, and ends it afterwards
    args = sys.argv[1:]
    use_models, api_key = False, None
    while args and args[0].startswith("--"):
        option = args.pop(0)
        if option == "--models":
            use_models = True
        elif option == "--key":
            api_key = args.pop(0)
        else:
            sys.exit("usage: croft_server.py [--models] [--key KEY] COMMAND...")
    with Croft(models=use_models, key=api_key) as server:
        env = dict(os.environ, CROFT_BASE=server.base, CROFT_HOME=server.home,
                   CROFT_BINARY=BINARY)
        rc = subprocess.run(args, env=env).returncode
    sys.exit(rc)
