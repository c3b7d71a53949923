"""The lock file has a version of everything that the development environment needs, and pyproject.toml allows it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements-dev.txt").read_text()


def wanted(*extras: str) -> Iterator[Requirement]:
    """What ddmlp with these extras requires here, those of the extras that they name included."""
    texts = PROJECT["dependencies"] + [each for name in extras for each in PROJECT["optional-dependencies"][name]]
    for requirement in map(Requirement, texts):
        if requirement.name == "ddmlp":
            yield from wanted(*requirement.extras)
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def locked(python: str) -> dict[str, str]:
    """The versions that the lock file has for a Python, by canonical name."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}
    pins = map(Requirement, re.findall(r"^([^\s#].*?)(?: \\)?$", LOCK, re.MULTILINE))
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def unsatisfied(versions: dict[str, str]) -> list[str]:
    """The requirements of the development environment that the versions do not satisfy."""
    needed = {str(each): each for each in wanted("dev")}.values()
    found = [(each, versions.get(canonicalize_name(each.name))) for each in needed]
    return [f"{each}: {version}" for each, version in found if version is None or version not in each.specifier]


def test_simple():
    for python in ("3.11", "3.13"):
        assert len(locked(python)) > 100
        assert unsatisfied(locked(python)) == [], "update it: make lock"


def test_mismatch_is_noticed():
    versions = locked("3.11")
    assert len(unsatisfied({**versions, "ray": "2.54.0"})) == 3  # required three times
    del versions["wandb"]
    assert unsatisfied(versions) == ["wandb>=0.21: None"]


def test_hashes():
    """pip refuses a file that has changed on its way."""
    pins, hashes = re.findall(r"^\S+==", LOCK, re.MULTILINE), re.findall(r"--hash=sha256:[0-9a-f]{64}\b", LOCK)
    assert len(hashes) > 2 * len(pins) > 200


def test_users_are_not_bound():
    for each in map(Requirement, PROJECT["dependencies"]):
        assert {part.operator for part in each.specifier} <= {">=", "<", "!="}
