"""The README says what is so: its commands, flags, targets, links and tree."""

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
def test_a_command_has_the_flags_that_are_shown(command: str):
    words = program(command)
    start = words[:2] if words[0] == "-m" else words[:1]
    done = subprocess.run([sys.executable, *start, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for flag in [word for word in words if word.startswith("--")]:
        assert flag in done.stdout


def test_the_targets_of_make_are_there_and_ci_calls_them():
    makefile = (ROOT / "Makefile").read_text()
    shown = set(re.findall(r"make (train|test|check)\b", README))
    assert shown == {"train", "test", "check"}
    for target in shown:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)) == {"check", "test"}


@pytest.mark.parametrize(
    "page", ["README.md", "cluster/README.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
)
def test_links_lead_somewhere(page: str):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links or page != "README.md"
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


def test_the_table_of_faults_is_that_of_make_chaos():
    shown = README.split("## What it survives")[1].split("\n## ")[0]
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert set(rows) <= set((ROOT / "docs" / "chaos.md").read_text().splitlines())
    assert "NO" not in shown


def test_a_page_names_tests_that_are_there():
    named = set(re.findall(r"\btest_\w+\.py", (ROOT / "docs" / "guarantees.md").read_text()))
    assert len(named) >= 10
    assert named <= {path.name for path in (ROOT / "tests").iterdir()}


def test_the_tree_is_the_one_that_is_there():
    block = README.split("## What is where")[1].split("```")[1]
    shown, folders = set(), [""]
    for line in filter(None, block.splitlines()):
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        del folders[depth + 1 :]
        shown.add(folders[-1] + name)
        if name.endswith("/"):
            folders.append(folders[-1] + name)
    found = (path for folder in ("ddmlp/**", "tools") for path in ROOT.glob(f"{folder}/*.py"))
    there = {path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py"}
    assert {name for name in shown if name.endswith(".py")} == there
    for name in shown:
        assert (ROOT / name).exists(), name
