"""result.json: round trips, including those of the first releases."""

import json

import pytest

from ddmlp.runs.json_text import from_json, to_json
from ddmlp.runs.measures import PrequentialError
from ddmlp.runs.result import RunResult
from tests.support.events import result

# Written by ddmlp 0.1.0: a stream, on Ray.
FIRST = """{
 "weights_sha256": "bff7c56341327c2964dd3fdc0b93d5b8cac426d57b72e15fc027047a07cba2b2",
 "chain": "2256bbc235bfbd1a75d47234d2b7b56b3c925b04c198285a2d9850a0ef9bccab",
 "test_error": 0.183,
 "test_cross_entropy": 0.6931428355872631,
 "test_rows": 1000,
 "image_shape": [
  28,
  28
 ],
 "steps": 62,
 "finished": false,
 "rows": 3968,
 "epochs": 0,
 "train_seconds": 0.5,
 "rows_per_second": 7936.0,
 "staleness": {
  "bound": "inf",
  "delay": 0,
  "mean": 0.5,
  "max": 1,
  "histogram": {
   "0": 31,
   "1": 31
  }
 },
 "prequential": {
  "window": 3968,
  "error": 0.3147681451612903,
  "overall": 0.3147681451612903
 },
 "dataset_sha256": "4ff45a78497bcc87f44b0232e674422dc41733dd26b6fb8030a6468e94e32acf",
 "answered": {
  "0": 30,
  "1": 32
 },
 "reissued": 0,
 "compared": 0,
 "versions": {
  "numpy": "2.4.6",
  "blas": "openblas 0.3.31.188.0 SkylakeX",
  "arithmetic": "56e5d2dc72e70334",
  "ddmlp": "0.1.0",
  "python": "3.11.7",
  "pyarrow": "26.0.1",
  "ray": "2.60.0"
 },
 "worker_deaths": 0,
 "server_deaths": 0,
 "workers": 2,
 "seed": 0
}"""
OPTIONAL = ("test_error", "test_cross_entropy", "test_rows", "prequential", "worker_deaths", "server_deaths")


def test_simple():
    found = from_json(FIRST, RunResult)
    assert (found.test_error, found.steps, found.finished, found.image_shape) == (0.183, 62, False, (28, 28))
    assert (found.seconds, found.speed, found.answered) == (0.5, 7936.0, {0: 30, 1: 32})
    assert (found.staleness.bound, found.staleness.max, found.staleness.histogram) == ("inf", 1, {0: 31, 1: 31})
    assert found.prequential == PrequentialError(3968, 0.3147681451612903, 0.3147681451612903)


def test_same_bytes():
    assert to_json(from_json(FIRST, RunResult), indent=1) == FIRST


def test_absent_members():
    text = to_json(result())
    assert not set(OPTIONAL) & json.loads(text).keys()
    assert from_json(text, RunResult) == result()


def test_later_member():
    assert from_json(json.dumps({**json.loads(FIRST), "later": 1}), RunResult) == from_json(FIRST, RunResult)


@pytest.mark.parametrize("name", [name for name in json.loads(FIRST) if name not in OPTIONAL])
def test_missing_member(name):
    found = json.loads(FIRST)
    del found[name]
    with pytest.raises(ValueError, match=name):
        from_json(json.dumps(found), RunResult)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", "62"), ("finished", 1), ("image_shape", [28]), ("staleness", {}), ("answered", {"a": 1})],
)
def test_wrong_type(name, value):
    with pytest.raises(ValueError, match=name):
        from_json(json.dumps({**json.loads(FIRST), name: value}), RunResult)
