"""The README says what is so: its commands, flags, targets and links."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"python (?:-m ddmlp\.\w+|tools/\w+\.py)[^\n`]*", README)))


def program(command: str) -> list[str]:
    """The program and the arguments of a shown command."""
    return shlex.split(command, comments=True)[1:]


def test_simple():
    assert len(COMMANDS) >= 8
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["train", "test"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_their_flags(command: str):
    words = program(command)
    start = words[:2] if words[0] == "-m" else words[:1]
    done = subprocess.run([sys.executable, *start, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for flag in [word for word in words if word.startswith("--")]:
        assert flag in done.stdout


def test_make_has_the_targets_and_ci_runs_them():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^make ([a-z-]+) +\S", done.stdout, re.MULTILINE))
    shown = set(re.findall(r"`make (\w+)[ `]", README))
    assert {"train", "test", "check"} <= shown <= targets
    in_ci = re.findall(r"^make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert in_ci == ["check", "test", "test-all"]


@pytest.mark.parametrize(
    "page", ["README.md", "cluster/README.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
)
def test_links_lead_somewhere(page: str):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links or page != "README.md"
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


def test_faults_are_those_of_chaos():
    shown = README.split("## What it survives")[1].split("\n## ")[0]
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert set(rows) <= set((ROOT / "docs" / "chaos.md").read_text().splitlines())
    assert "NO" not in shown


def test_guarantees_name_tests():
    named = set(re.findall(r"\btest_\w+\.py", (ROOT / "docs" / "guarantees.md").read_text()))
    assert len(named) >= 10
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
