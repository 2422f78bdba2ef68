"""A scikit-learn model, logged, registered, aliased and loaded again by MLflow's client; its card and
lineage are Croft's."""
import logging
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false")
warnings.simplefilter("ignore")
import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

logging.getLogger("mlflow").setLevel(logging.ERROR)
tap = Tap()
with Croft() as s:
    mlflow.set_tracking_uri(s.base)
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    with mlflow.start_run() as run:
        model = LogisticRegression().fit(x, y)
        mlflow.log_input(mlflow.data.from_numpy(x, source="s3://bucket/train.csv", targets=y, name="train"),
                         context="training")
        mlflow.log_metric("accuracy", model.score(x, y))
        info = mlflow.sklearn.log_model(model, name="clf", registered_model_name="churn")
    client = MlflowClient()
    client.set_registered_model_alias("churn", "prod", 1)
    version = client.get_model_version_by_alias("churn", "prod")
    tap.same((version.version, version.run_id), ("1", run.info.run_id), "registered, with its run, and aliased")
    loaded = mlflow.sklearn.load_model("models:/churn@prod")
    tap.ok(np.array_equal(loaded.coef_, model.coef_), "what is loaded by alias is what was trained")
    tap.same(list(mlflow.pyfunc.load_model("models:/churn/1").predict(x)), [0, 0, 1, 1], "and predicts")
    mlflow.register_model(f"runs:/{run.info.run_id}/clf", "again")
    tap.ok(np.array_equal(mlflow.sklearn.load_model("models:/again/1").coef_, model.coef_),
           "registered from the run, too")
    status, card = s.json("GET", "/api/v1/artifacts/model/churn/versions/prod/card")
    fields = {f["key"]: f for section in card["sections"] for f in section["fields"]}
    tap.same((fields["evaluation"]["state"], fields["evaluation"]["value"], fields["evaluation"]["from"]),
             ("measured", "accuracy = 1", "run:" + run.info.run_id), "the card has the run's metric, with the run")
    rc, out, err = s.cli("artifact", "lineage", "model/churn:1")
    tap.ok("produced by run:" + run.info.run_id in out and "used s3://bucket/train.csv" in out,
           "and lineage the run and the dataset that it was given", out)
tap.done()
