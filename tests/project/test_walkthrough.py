"""The walkthrough: its commands have the described results, in order, and the code that it quotes exists."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "walkthrough.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# Each quotation, with the text before it. The last link to a module in that text names its file.
QUOTED = [(match[1], TEXT[: match.start()]) for match in re.finditer(r"^```python\n(.*?)^```", TEXT, re.M | re.S)]
MODULE = re.compile(r"\]\(\.\./(ddmlp/[\w/]+\.py)\)")


def shell(block: str, folder: Path) -> str:
    """Run a block as a shell in a new terminal would; returns its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    found = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = clean | {"PATH": found, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        ["bash", "-eu", "-c", block],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, f"{block}\n{out}\n{err}"
    return out


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The output of each block of commands."""
    folder = tmp_path_factory.mktemp("walkthrough")
    (folder / "tools").symlink_to(ROOT / "tools")
    (folder / "bin").mkdir()
    command = folder / "bin" / "ddmlp"  # of this checkout, whether or not another one is installed
    command.write_text('#!/bin/sh\nexec python -m ddmlp "$@"\n')
    command.chmod(0o755)
    return [shell(block, folder) for block in COMMANDS]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_simple(shown: list[str]):
    data, one, model, killed, three, hashes, verified, exported = shown
    assert "4,000" in data
    (weights,) = re.findall(r"weights sha256  (\w{64})", one)
    assert "error" in model
    assert len(re.findall(r"^walk/mnist/t10k-images-idx3-ubyte.gz\[\d\]  \d  \d+\.\d%", model, re.MULTILINE)) == 5
    assert re.search(r"resuming after step [1-9]", killed)
    deaths = dict(re.findall(r'"(\w+)_deaths": (\d+)', three))
    assert int(deaths["worker"]) >= 1
    assert int(deaths["server"]) == 1
    assert re.fullmatch(rf' *3 +"weights_sha256": "{weights}",?\n', hashes)
    assert "verified" in verified
    assert exported.count(weights) == 2


@pytest.mark.slow
def test_killed_in_mid_run(shown: list[str]):
    step = int(re.findall(r"resuming after step (\d+)", shown[3])[0])
    assert 0 < step < 40 * 63


@pytest.mark.parametrize(("code", "before"), QUOTED, ids=[code.splitlines()[0].strip() for code, _ in QUOTED])
def test_quoted_code_is_in_its_file(code: str, before: str):
    lines = [line.strip() for line in (ROOT / MODULE.findall(before)[-1]).read_text().splitlines()]
    quoted = [line.strip() for line in code.splitlines()]
    assert quoted in [lines[start : start + len(quoted)] for start in range(len(lines))]


def test_extras_exist():
    (asked,) = re.findall(r"pip install -e '\.\[([\w,]+)\]'", TEXT)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"ray", "onnx", "safetensors"} == set(asked.split(",")) <= extras.keys()


def test_enough_is_checked():
    assert len(QUOTED) >= 20
    assert len(COMMANDS) == 8
    assert not re.search(r"^```(?!sh$|python$|$)", TEXT, re.MULTILINE), "a block that no test checks"
