"""A Python that cannot run ddmlp says so in one line, with a remedy; one that has ddmlp installed finds it."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ddmlp
from ddmlp.cli.terminal import command

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


COMMANDS = [["-m", "ddmlp.train"], ["-m", "ddmlp", "predict"], ["-m", "ddmlp.verify", "x"]]


def bare(*words: str, cwd: Path = ROOT) -> str:
    """The message of a Python with nothing installed, after exit status 1."""
    done = subprocess.run([sys.executable, "-S", *words], cwd=cwd, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.parametrize("words", [*COMMANDS, *([f"tools/{name}"] for name in SCRIPTS)])
def test_nothing_installed(words: list[str]):
    message = bare(*words)
    assert message.startswith(f"error: {sys.executable} cannot run ddmlp: ")
    assert message.count("\n") == 1
    for word in ("numpy", "msgspec", ".venv/bin/activate"):
        assert word in message


def test_activate_existing(tmp_path: Path):
    place = tmp_path / "it's"
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "bin" / "activate").touch()
    shutil.copytree(ROOT / "ddmlp", place / "ddmlp", ignore=shutil.ignore_patterns("__pycache__"))
    message = bare("-m", "ddmlp.train", cwd=place)
    line = message.rpartition("; ")[2].partition(": ")[2]
    assert line.startswith("source ")
    assert subprocess.run(["bash", "-c", line]).returncode == 0


def test_old_pythons():
    """They can parse the files up to the place that raises the error."""
    for path in [ROOT / "ddmlp" / "__init__.py", *(ROOT / "tools" / name for name in SCRIPTS)]:
        ast.parse(path.read_text(), feature_version=(3, 8))
    script = "import sys; sys.version_info = (3, 9, 1, 'final', 0); import ddmlp"
    message = bare("-c", script)
    assert "3.11 or newer" in message
    assert message.count("\n") == 1
    real = shutil.which("python3.9")
    if real and subprocess.run([real, "-c", ""], capture_output=True).returncode == 0:  # it may be a shim of pyenv
        done = subprocess.run([real, "-m", "ddmlp.train"], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_import_error_in_programs():
    script = "try:\n import ddmlp\nexcept ImportError as error: raise SystemExit(f'caught {type(error).__name__}')"
    assert bare("-c", script) == "caught WrongPythonError\n"


def test_later_imports(capsys: pytest.CaptureFixture[str]):
    def raising(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    with pytest.raises(SystemExit) as caught:
        command(lambda: raising("ray.util"))
    assert caught.value.code == 1
    assert "it does not have ray;" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):  # a bug in ddmlp
        command(lambda: raising("ddmlp.nothing"))


def test_needed_is_required():
    required = {canonicalize_name(Requirement(each).name) for each in PROJECT["project"]["dependencies"]}
    assert {*ddmlp.NEEDED} <= required


@pytest.mark.slow
def test_checkout_named_ddmlp(tmp_path: Path):
    """From its parent folder, it looks like a package without an __init__.py."""
    checkout, site = tmp_path / "ddmlp", tmp_path / "site"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "ddmlp", checkout / "ddmlp", ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from setuptools.build_meta import build_editable; print(build_editable({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=checkout, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(site)
    others = f"sys.path[:] = [each for each in sys.path if each != {str(ROOT)!r}]"  # where this Python finds ddmlp
    found = "import ddmlp.config as found; print(found.__file__)"
    script = f"import site, sys; {others}; site.addsitedir({str(site)!r}); {found}"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{checkout}/ddmlp/config.py\n", "")
