"""config.json: what determines a run's result, including runs that other versions of ddmlp began."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ddmlp.config import TrainConfig
from ddmlp.errors import RunError
from ddmlp.numerics import ARITHMETIC
from ddmlp.runs import origin as module
from ddmlp.runs.hash_chain import root
from ddmlp.runs.origin import Origin

NEW = {
    "init_sha256": "",
    "begun_epochs": 0,
    "gradient_bits": 0,
    "transform_sha256": "",
    "lr_end": 0.01,
    "augment": "",
}  # introduced by later versions
ORIGIN = Origin(TrainConfig(hidden=7, lr=0.5, seed=2**64 - 1), Path("/some/data"), "a" * 64)
# A file of ddmlp 0.1.0, which did not write a version, and the root of its run's hash chain.
FIRST = """{
 "hidden": 20,
 "batch": 64,
 "microbatch": 32,
 "lr": 1.0,
 "lr_schedule": "linear",
 "lr_half": 10000,
 "epochs": 2,
 "seed": 0,
 "window": 65536,
 "staleness": 0,
 "staleness_lr": false,
 "delay": 0,
 "follow": false,
 "data": "/some/data",
 "dataset_sha256": "cbd353a447a99c950a39453db5ac84a5581bde84ed2b7addb8a270a11d10818b"
}
"""
# Its defaults differ from today's.
FIRST_CONFIG = TrainConfig(hidden=20, epochs=2, batch=64, microbatch=32, lr=1.0)
ROOT = "5e1e646880c7c09dc79cff4b78ee99ce6daf185cae86644afe3727bf6fc3259a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        Origin.read(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path} ")


def edit(path: Path, **members: object) -> None:
    """Change members of the file; None removes one."""
    found = json.loads(path.read_bytes()) | members
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def test_simple(path):
    ORIGIN.write(path)
    assert Origin.read(path) == ORIGIN


def test_plain_json(path):
    ORIGIN.write(path)
    assert json.loads(path.read_text()) == {
        "version": 6,
        **ORIGIN.config.as_dict(),
        "data": "/some/data",
        "dataset_sha256": "a" * 64,
        "arithmetic": ARITHMETIC,
    }


def test_transform(path):
    """Its hash is part of the run's identity, its place is not."""
    other = replace(ORIGIN, transform="a:b", transform_answer="c" * 64)
    other.write(path)
    assert Origin.read(path) == other
    assert other.fixed == ORIGIN.fixed
    assert replace(ORIGIN, config=replace(ORIGIN.config, transform_sha256="d" * 64)).fixed != ORIGIN.fixed


def test_fixed():
    config = {name: value for name, value in ORIGIN.config.as_dict().items() if name not in NEW}
    same = {"config": config, "dataset_sha256": "a" * 64}
    assert ORIGIN.fixed == same | {"arithmetic": ARITHMETIC}
    assert replace(ORIGIN, data=Path("/elsewhere")).fixed == ORIGIN.fixed


def test_file_of_0_1_0(path):
    path.write_text(FIRST)
    found = Origin.read(path)
    sha256 = "cbd353a447a99c950a39453db5ac84a5581bde84ed2b7addb8a270a11d10818b"
    assert found == Origin(FIRST_CONFIG, Path("/some/data"), sha256, arithmetic=1)
    assert root({name: value for name, value in found.fixed.items() if name != "arithmetic"}) == ROOT


@pytest.mark.parametrize("name", [name for name in TrainConfig.names() if name not in NEW])
def test_new_setting(path, name, monkeypatch):
    """As if version 5 had introduced one of today's settings: an older run gets the value that stands for it."""
    path.write_text(FIRST)
    was = json.loads(FIRST)[name]
    edit(path, **{name: None})
    assert f"'{name}'" in refusal(path)
    monkeypatch.setattr(module, "ADDED", {4: NEW, 5: {name: was}})
    found = Origin.read(path)
    assert found.config == FIRST_CONFIG
    config = {key: value for key, value in found.config.as_dict().items() if key != name and key not in NEW}
    assert found.fixed["config"] == config
    edit(path, version=5, **NEW)
    assert f"'{name}'" in refusal(path), "a file of version 5 must have it"


def test_new_setting_in_use(path, monkeypatch):
    """Only a run that uses a new setting has another hash."""
    monkeypatch.setattr(module, "ADDED", {5: NEW, 6: {"delay": 0}, 7: {"seed": 5}})
    made = replace(ORIGIN, config=replace(ORIGIN.config, delay=1, seed=5))
    made.write(path)
    assert json.loads(path.read_bytes())["version"] == 7
    assert Origin.read(path) == made
    assert ("delay" in made.fixed["config"], "seed" in made.fixed["config"]) == (True, False)
    assert root(made.fixed) != root(replace(made, config=replace(made.config, delay=0)).fixed)


@pytest.mark.parametrize("members", [{"version": 7}, {"momentum": 0.9}, {"version": 9, "momentum": 0.9, "delay": None}])
def test_newer_file(path, members):
    ORIGIN.write(path)
    edit(path, **members)
    assert "newer ddmlp" in refusal(path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '"x"', b"\xff", '{"hidden": 7}', pytest.param(b"[" * 100_000, id="deep")]
    + [{name: "x"} for name in [*TrainConfig.names(), "version", "arithmetic"]]
    + [{"transform": 5}, {"transform_answer": "a"}, {"data": 5}, {"dataset_sha256": 5}, {"version": 1.5}]
    + [{"data": "a\0b"}, {"data": "\ud800"}, {"dataset_sha256": "b"}, {"dataset_sha256": "a" * 64 + "\n"}]
    + [{"lr": 10**400}, {"lr": True}, {"lr": 1e400}, {"lr": float("nan")}, {"seed": 2**64}, {"arithmetic": 10**400}]
    + ['{"hidden": 7, "hidden": 7}'],
)
def test_damaged_file(path, text):
    ORIGIN.write(path)
    if isinstance(text, dict):
        edit(path, **text)
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refusal(path).startswith("is damaged: ")


@pytest.mark.parametrize("name", ["data", "dataset_sha256"])
def test_missing_member(path, name):
    ORIGIN.write(path)
    edit(path, **{name: None})
    assert name in refusal(path)
