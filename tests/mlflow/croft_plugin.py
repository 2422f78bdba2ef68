"""A pytest plugin that points MLflow's own tests at Croft instead of at MLflow's server.

MLflow's tests start their server through tests.tracking.integration_test_utils (ServerThread,
_init_server), and give those of the fluent API a database through tests.conftest's
tracking_uri_mock. Both are replaced before the tests are imported: each test gets a Croft with a
data directory of its own. With MLFLOW_OWN_SERVER=mlflow it is MLflow's own server instead, so that
the same command shows what the same tests say of the server that they were written for.

    python -m pytest -p croft_plugin --croft-results out.txt tests/tracking/test_rest_tracking.py
"""
import contextlib
import os
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from croft_server import Croft  # noqa: E402

# Modules without a server of their own: they use whatever the tracking address is.
FLUENT = ("tests/tracking/fluent/", "tests/tracking/test_tracking.py",
          "tests/tracking/_model_registry/test_model_registry_fluent.py",
          "tests/tracing/test_fluent.py", "tests/tracing/test_assessment.py",
          "tests/genai/prompts/", "tests/genai/datasets/", "tests/genai/scorers/")
IN_CROFT = os.environ.get("MLFLOW_OWN_SERVER", "croft") == "croft"
_current = [""]


class CroftThread:
    """In the place of ServerThread(app, port): `with` gives the address of a fresh server."""

    def __init__(self, *_args, **_more):
        self.server = Croft(settings={"http.workers": 8})
        self.url = None

    def start(self):
        self.url = self.server.start().base

    def shutdown(self):
        self.server.remove()

    def join(self, timeout=None):
        pass

    def __enter__(self):
        self.start()
        return self.url

    def __exit__(self, *_):
        self.shutdown()


@contextlib.contextmanager
def croft_server(*_args, **_more):
    with CroftThread() as url:
        yield url


@contextlib.contextmanager
def _mlflow_server(uri):
    """MLflow's own server over the test's database: tests of the fluent API then take the same way."""
    import tests.tracking.integration_test_utils as utils
    from mlflow.server import handlers
    from mlflow.server.fastapi_app import app
    from tests.helper_functions import get_safe_port
    handlers._tracking_store = handlers._model_registry_store = None
    with tempfile.TemporaryDirectory() as folder:
        handlers.initialize_backend_stores(uri, default_artifact_root="file://" + folder)
        with utils.ServerThread(app, get_safe_port()) as url:
            yield url


def _replace_tracking_uri(original, server):
    @contextlib.contextmanager
    def use(uri):
        if not _current[0].startswith(FLUENT) or not str(uri).startswith("sqlite:"):
            with original(uri):
                yield
            return
        with server(uri) as url, original(url):
            yield
    return use


def pytest_addoption(parser):
    parser.addoption("--croft-results", default=None, help="write one line per test here")


def pytest_configure(config):
    import tests.conftest as conftest
    conftest._use_tracking_uri = _replace_tracking_uri(
        conftest._use_tracking_uri, CroftThread if IN_CROFT else _mlflow_server)
    if not IN_CROFT:
        return
    import tests.tracking.integration_test_utils as utils
    utils.ServerThread = CroftThread
    utils._init_server = croft_server


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    _current[0] = item.nodeid


_seen = {}


def pytest_runtest_logreport(report):
    was = _seen.get(report.nodeid)
    if report.failed:
        word = "fail"
    elif report.skipped:
        word = "skip"
    elif report.when == "call":
        word = "pass"
    else:
        return
    if was == "fail":
        return
    _seen[report.nodeid] = word


def pytest_sessionfinish(session):
    path = session.config.getoption("--croft-results")
    if path:
        with open(path, "w") as out:
            for name, word in _seen.items():
                out.write(f"{word} {name}\n")
