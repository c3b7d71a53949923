"""MLflow has the settings, the curves, the hash and the model of a run, in a local store."""

import sys
from pathlib import Path

import pytest

import ddmlp
from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError
from ddmlp.runs.records import Records
from ddmlp.runs.scalars import scalars
from tests.support.offline import run_offline

STORED = """
import mlflow
class Stopper(ddmlp.Callback):
    def on_test(self, epoch):
        raise OSError
result = ddmlp.fit((images, labels), callbacks=[ddmlp.MLflow("digits", log_model=True)], **data)
try:
    ddmlp.fit((images, labels), callbacks=[ddmlp.MLflow("digits"), Stopper()], **data | {"run": "two"})
except OSError:
    pass
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("digits")
runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
run = runs["one"]
curves = {
    name: [[point.step, point.value] for point in client.get_metric_history(run.info.run_id, name)]
    for name in run.data.metrics
}
model = client.download_artifacts(run.info.run_id, "model.npz", ".")
print(json.dumps({
    "status": {name: run.info.status for name, run in runs.items()}, "params": run.data.params, "curves": curves,
    "tags": run.data.tags, "model": str(ddmlp.load(model).weights.sha256()), "sha256": result.weights_sha256,
}))
"""


@pytest.mark.slow
def test_simple(tmp_path: Path):
    found = run_offline(STORED, tmp_path)
    assert found["status"] == {"one": "FINISHED", "two": "KILLED"}
    config = TrainConfig(hidden=3, epochs=2)
    assert found["params"] == {name: str(value) for name, value in config.as_dict().items()}
    events = Records.read(tmp_path / "one" / "metrics.jsonl").lines
    expected: dict[str, list[list[float]]] = {}
    for event in events:
        for name, value in scalars(event):
            expected.setdefault(name, []).append([event.step, value])
    assert found["curves"] == expected
    assert len(expected["error/test"]) == 2
    assert found["tags"]["weights_sha256"] == found["model"] == found["sha256"]
    assert found["tags"]["ddmlp.run"] == str(tmp_path / "one")
    assert (tmp_path / "mlflow.db").exists()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'ddmlp\[mlflow\]'"):
        ddmlp.MLflow()
