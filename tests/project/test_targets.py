"""CI, its GitHub workflow and the hooks before a commit run what make runs, and no test is left out by all of them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.support.brokers import REQUIRED, SERVERS

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
CI = re.findall(r"^make ([^|\n]*[^|\s])", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def recipe(target: str) -> list[str]:
    """The commands of a target."""
    (found,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip() for line in found.splitlines()]


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_simple():
    assert CI == ["check", ".venv/.installed-bench", "test portability simulate-test fuzz-test docs test-all"]


def test_workflow_runs_the_same():
    jobs = loaded(".github/workflows/ci.yml")["jobs"]
    install, *runs = [step["run"] for step in jobs["linux"]["steps"] if "run" in step]
    assert ".ci/servers" in install
    assert runs == [f"make {target}" for target in CI]
    assert [step["run"] for step in jobs["macos"]["steps"] if "run" in step] == ["make test"]


def test_servers_are_installed():
    """Those of the message brokers, in CI and on GitHub."""
    listed = (ROOT / ".ci" / "servers").read_text().split()
    assert listed == [kind.install for kind in SERVERS.values() if not kind.install.startswith("(pip")]
    assert "<.ci/servers" in (ROOT / ".ci" / "run").read_text()
    assert loaded(".github/workflows/ci.yml")["jobs"]["linux"]["env"][REQUIRED] == "required"


def test_hooks_are_make_check():
    (repository,) = loaded(".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == [
        command.replace("$(BIN)", ".venv/bin") for command in recipe("check")
    ]


def test_broken_links_count():
    """With --quiet, MkDocs does not count its warnings."""
    assert recipe("docs")[0] == "@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict"


def test_markers():
    """What `make test` leaves out, `make test-rest` selects, but for what other targets select."""
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    for marker in ("chaos", "measure"):
        assert any(text.startswith(f"{marker}:") for text in markers)
    assert "test-all: test test-rest\n" in MAKEFILE
    (left,) = re.findall(r'-m "not \((.*) or chaos\)"', *recipe("test"))
    assert recipe("test-rest") == [
        f'$(PYTEST) --hypothesis-profile thorough -m "(hypothesis or {left}) and not (chaos or measure)"'
    ]
    assert recipe("chaos")[0] == "$(if $(PART),,$(PYTEST) -m chaos)"
    assert recipe("bench-test") == ["$(PYTEST) -m bench"]  # "measure" is a part of it
