"""The command of make portability: its output, and its failure if a hash differs. It does not train here."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.portability import __main__ as portability
from tests.portability import arm64
from tests.portability.arm64 import Unavailable
from tests.support import golden


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command with targets that run these statements instead of a training. Returns its status and output."""
    monkeypatch.setattr(golden, "make_data", lambda _: None)

    def call(**targets: str) -> tuple[int, str, str]:
        commands = {name: lambda code=code: [sys.executable, "-c", code] for name, code in targets.items()}
        monkeypatch.setattr(portability, "TARGETS", commands)
        return portability.main(), *capsys.readouterr()

    return call


def test_simple(says: Callable[..., tuple[int, str, str]]):
    status, out, err = says(one="pass", two="import os; assert os.environ['DDMLP_CACHE'].endswith('portability')")
    assert (status, err) == (0, "")
    assert re.findall(r"^(\w+) +\d+\.\d s  (\w+)$", out, re.MULTILINE) == [("one", "equal"), ("two", "equal")]


@pytest.mark.parametrize(("code", "result"), [(1, "DIFFERS"), (2, "FAILED"), (-9, "FAILED")])
def test_difference_and_failure(code: int, result: str, says: Callable[..., tuple[int, str, str]]):
    ends = f"import os, sys; print('odd', file=sys.stderr, flush=True); code = {code}; " + (
        "sys.exit(code)" if code > 0 else "os.kill(os.getpid(), -code)"
    )
    status, out, err = says(one="pass", two=ends, three="pass")
    assert status == 1
    assert [line.split()[-1] for line in out.splitlines()] == ["equal", result, "equal"]
    assert err == f"two: {result}: odd\n"


def test_too_slow(says: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portability, "SECONDS", 0)
    status, _, err = says(one="input()")
    assert (status, err.split(":")[:2]) == (1, ["one", " FAILED"])


def test_not_available(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def absent() -> list[str]:
        raise Unavailable("no such thing here")

    monkeypatch.setattr(golden, "make_data", lambda _: None)
    monkeypatch.setattr(portability, "TARGETS", {"one": absent})
    assert portability.main() == 0
    assert capsys.readouterr().err == "one: not available: no such thing here\n"


def test_targets(monkeypatch: pytest.MonkeyPatch):
    """Each compiles for its processor; a target that this machine cannot run is not available."""
    monkeypatch.setattr(portability, "features", lambda: {"sse4_2", "popcnt", "avx2", "bmi2"})
    assert {"NUMBA_CPU_NAME=nehalem", "NUMBA_CPU_FEATURES="} <= set(portability.TARGETS["nehalem"]())
    assert {"NUMBA_CPU_NAME=generic", "NUMBA_CPU_FEATURES="} <= set(portability.TARGETS["generic"]())
    assert portability.TARGETS["this machine"]() == ["env", sys.executable]
    with pytest.raises(Unavailable, match=r"no fma$"):
        portability.TARGETS["haswell"]()
    with pytest.raises(Unavailable, match="avx512f"):
        portability.TARGETS["skylake-avx512"]()


def test_needs_of_training():
    found = arm64.requirements()
    assert len(found) >= 5
    assert all(re.fullmatch(r"[\w-]+==\d[\w.]*", each) for each in found)
    names = {each.partition("==")[0] for each in found}
    assert {"numpy", "pyarrow", "msgspec"} <= names
    assert not names & arm64.UNUSED


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The steps of the set-up on a suitable machine. They are recorded, not run; pip finds no wheel of the versions
    installed here."""
    found: list[Sequence[str]] = []

    def run(command: Sequence[str], folder: Path) -> None:
        assert folder.is_dir()
        found.append(command)
        if "install" in command and "python3" in command:
            python = folder.parent / "root" / "usr" / "bin"
            python.mkdir(parents=True)
            (python / "python3").symlink_to("python3.11")
        if any("==" in word for word in command):
            raise Unavailable("no wheel")

    monkeypatch.setattr(arm64, "run", run)
    monkeypatch.setattr(arm64.platform, "system", lambda: "Linux")
    monkeypatch.setattr(arm64.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(arm64.shutil, "which", lambda name: f"/bin/{name}")
    return found


def test_set_up_once(steps: list[Sequence[str]], tmp_path: Path):
    command = arm64.python(tmp_path)
    assert command[2:4] == ["/bin/qemu-aarch64-static", "-L"]
    pip = [step for step in steps if "pip" in step]
    assert ["numpy" in step for step in pip] == [False, True]
    assert all("3.11" in step for step in pip)
    done = len(steps)
    assert arm64.python(tmp_path) == command
    assert len(steps) == done > 3
    assert {path.name for path in tmp_path.iterdir()} == {"root", next(tmp_path.glob("site-*")).name}


def test_set_up_after_failure(steps: list[Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(command: Sequence[str], folder: Path) -> None:
        (folder / "half").touch()
        raise Unavailable(f"{command[0]} says no")

    with monkeypatch.context() as patched:
        patched.setattr(arm64, "run", fails)
        for _ in range(2):
            with pytest.raises(Unavailable, match="apt-get says no"):
                arm64.python(tmp_path)
    arm64.python(tmp_path)
    assert len(steps) > 3


@pytest.mark.parametrize(
    ("part", "value", "named"), [("machine", "riscv64", "riscv64"), ("system", "Darwin", "Darwin")]
)
def test_other_machines(part: str, value: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arm64.platform, part, lambda: value)
    with pytest.raises(Unavailable, match=named):
        arm64.python(tmp_path)


def test_no_apt(steps: list[Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arm64.shutil, "which", lambda _: None)
    with pytest.raises(Unavailable, match="apt-get"):
        arm64.python(tmp_path)
    assert steps == []


def test_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    failing = "import sys; print('W: odd\\nE: no host\\nE: more', file=sys.stderr); sys.exit(100)"
    arm64.run([sys.executable, "-c", ""], tmp_path)
    with pytest.raises(Unavailable, match=r"^E: no host$"):
        arm64.run([sys.executable, "-c", failing], tmp_path)
    with pytest.raises(Unavailable, match=r"status 7$"):
        arm64.run([sys.executable, "-c", "import sys; sys.exit(7)"], tmp_path)
    with pytest.raises(Unavailable, match="no-such-program"):
        arm64.run(["no-such-program"], tmp_path)
    monkeypatch.setattr(arm64, "SECONDS", 0)
    with pytest.raises(Unavailable, match="within 0 s"):
        arm64.run([sys.executable, "-c", "input()"], tmp_path)
