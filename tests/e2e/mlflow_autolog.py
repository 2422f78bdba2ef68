"""What a data scientist does: set the tracking URI, autolog a scikit-learn fit, load the model
again, and train by hand in a plain loop."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import logging  # noqa: E402
import warnings  # noqa: E402

warnings.simplefilter("ignore")
import mlflow  # noqa: E402
import mlflow.sklearn  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

logging.getLogger("mlflow").setLevel(logging.ERROR)
tap = Tap()


def autolog(c):
    mlflow.set_experiment("iris")
    mlflow.sklearn.autolog()
    x, y = load_iris(return_X_y=True)
    with mlflow.start_run() as run:
        model = LogisticRegression(max_iter=200, C=0.5).fit(x, y)
    mlflow.sklearn.autolog(disable=True)
    r = c.get_run(run.info.run_id)
    tap.same((r.info.status, r.data.params["C"]), ("FINISHED", "0.5"), "autolog: parameters")
    tap.ok(r.data.metrics["training_accuracy_score"] > 0.9, "its metrics")
    tap.same(r.inputs.dataset_inputs[0].tags[0].value, "train", "the data set that it used")
    tap.same(len(r.outputs.model_outputs), 1, "the model that it made")
    again = mlflow.sklearn.load_model(f"models:/{r.outputs.model_outputs[0].model_id}")
    tap.ok((again.predict(x) == model.predict(x)).all(), "which loads and predicts the same")
    tap.same([q.info.run_id for q in c.search_runs(
        [r.info.experiment_id], "metrics.training_accuracy_score > 0.9 and params.C = '0.5'")],
             [run.info.run_id], "and the run is found")


def loop(c):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.01 * rng.normal(size=500)
    mlflow.set_experiment("by hand")
    want = []
    with mlflow.start_run(run_name="sgd") as run:
        mlflow.log_params({"lr": 0.05, "batch": 50})
        w = np.zeros(3)
        for step in range(300):
            at = rng.integers(0, 500, 50)
            error = x[at] @ w - y[at]
            w -= 0.05 * 2 * x[at].T @ error / 50
            want.append(float(np.mean(error ** 2)))
            mlflow.log_metric("mse", want[-1], step=step)
        mlflow.log_dict({"w": w.tolist()}, "weights.json")
    got = c.get_metric_history(run.info.run_id, "mse")
    tap.same([m.value for m in got], want, "a loop: 300 points, bit by bit")
    tap.ok(abs(mlflow.artifacts.load_dict(
        c.get_run(run.info.run_id).info.artifact_uri + "/weights.json")["w"][1] + 2) < 0.1,
           "and its weights as a file")


with Croft() as server:
    mlflow.set_tracking_uri(server.base)
    client = mlflow.MlflowClient()
    autolog(client)
    loop(client)
tap.done()
