"""The curves of a run in MLflow."""

import os
import time
from pathlib import Path
from typing import Any

from ddmlp.api.callback import Callback
from ddmlp.api.result import Result
from ddmlp.config import TrainConfig
from ddmlp.errors import require_extra
from ddmlp.runs.events import Event
from ddmlp.runs.scalars import scalars


class MLflow(Callback):
    """A callback that logs settings, curves, test errors and the hash of the weights to MLflow.

    Needs the extra `mlflow`. Each call of `fit` or `resume` is one MLflow run, stored as MLflow is configured: by
    default in the file mlflow.db in the working directory, which `mlflow ui` shows. MLflow's telemetry is switched off,
    unless MLFLOW_DISABLE_TELEMETRY is set or the program has already imported MLflow.

    Parameters
    ----------
    experiment : str
        The MLflow experiment, created if it does not exist.
    tracking_uri : str, optional
        The store or server, such as "http://localhost:5000"; by default the one that MLflow is configured for.
    log_model : bool
        Whether to store model.npz as an artifact.

    Raises
    ------
    ConfigError
        The extra is not installed.

    Examples
    --------
    >>> ddmlp.fit("data", callbacks=[ddmlp.MLflow("digits", log_model=True)])  # doctest: +SKIP
    """

    def __init__(self, experiment: str = "ddmlp", *, tracking_uri: str | None = None, log_model: bool = False) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with require_extra("mlflow", "MLflow"):
            import mlflow
        self._mlflow, self._experiment, self._uri, self._log_model = mlflow, experiment, tracking_uri, log_model
        self._client: Any = None
        self._status = "KILLED"

    def on_begin(self, run: Path, config: TrainConfig) -> None:
        self._client = client = self._mlflow.MlflowClient(self._uri)
        found = client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else client.create_experiment(self._experiment)
        self._id = client.create_run(experiment, run_name=run.name, tags={"ddmlp.run": str(run)}).info.run_id
        settings = [self._mlflow.entities.Param(name, str(value)) for name, value in config.as_dict().items()]
        client.log_batch(self._id, params=settings)

    def on_event(self, event: Event) -> None:
        now, kind = int(time.time() * 1000), self._mlflow.entities.Metric
        if points := [kind(name, float(value), now, event.step) for name, value in scalars(event)]:
            self._client.log_batch(self._id, metrics=points)

    def on_end(self, result: Result) -> None:
        self._status = "FINISHED"
        self._client.set_tag(self._id, "weights_sha256", result.weights_sha256)
        if self._log_model:
            self._client.log_artifact(self._id, result.run / "model.npz")

    def close(self) -> None:
        if self._client:
            self._client.set_terminated(self._id, self._status)
        self._client, self._status = None, "KILLED"
