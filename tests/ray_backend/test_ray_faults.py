"""A worker and the server killed on Ray. test_faults.py has more without Ray, and `make chaos` has all on Ray."""

from pathlib import Path

import pytest

from ddmlp.ray_backend.cluster import Cluster
from ddmlp.training.setup import build_trainer
from tests.support.faults import ANY, Fault, faulty_on_ray, fired, timeouts_for
from tests.support.runs import CONFIG, begin, job, train

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(
    ("fault", "deaths"),
    [(Fault("kill", ANY, 17, "computed"), (1, 0)), (Fault("kill", None, 17, "half"), (0, 1))],
    ids=["worker", "server"],
)
def test_killed_on_ray(cluster: Cluster, data: Path, tmp_path: Path, fault: Fault, deaths: tuple[int, int]):
    begin(tmp_path / "alone", CONFIG, data)
    expected = train(build_trainer(job(data, tmp_path / "alone", 0)), tmp_path / "alone")
    begin(tmp_path / "run", CONFIG, data)
    (marks := tmp_path / "marks").mkdir()
    faulty = faulty_on_ray([fault], marks)
    found = train(faulty(job(data, tmp_path / "run", 2, timeouts=timeouts_for([fault])), cluster), tmp_path / "run")
    assert fired(marks, fault)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert (found["worker_deaths"], found["server_deaths"]) == deaths
