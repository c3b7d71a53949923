"""A wheel of the repository, installed outside of it: every command works, with all extras and with none."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.mirrors import mirror_of
from tests.support.servers import Server

ROOT = Path(__file__).parents[2]
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
PHOTO = ROOT / "examples" / "photo-of-a-7.jpg"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # one process, so one environment of each kind


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is built from a copy of the repository, which stays as it is."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "ddmlp", copy / "ddmlp", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", out, copy], check=True)
    (found,) = out.glob("ddmlp-*.whl")
    return found


def closure(texts: list[str], found: dict[str, Path] | None = None) -> dict[str, Path]:
    """The top-level files and folders of the packages that are required, directly or not, without any extra."""
    found = {} if found is None else found
    for requirement in map(Requirement, texts):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        package = distribution(requirement.name)
        tops = {part for file in package.files or [] if (part := file.parts[0]) not in ("..", "__pycache__")}
        if not tops <= found.keys():
            found |= {name: Path(str(package.locate_file(name))) for name in tops}
            closure(package.requires or [], found)
    return found


class Installed:
    """The wheel in an environment, and a folder outside of the repository to work in."""

    def __init__(self, wheel: Path, folder: Path, others: Path) -> None:
        """others: the folder of site-packages that ddmlp finds its dependencies in."""
        venv.create(folder / "env", symlinks=True)
        self.folder, self.bin = folder, folder / "env" / "bin"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_"))
        }
        self.environment["PATH"] = f"{self.bin}:{os.environ['PATH']}"
        self.site = Path(self.run("python", "-c", SITE).strip())
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.bin / "python"]
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True, env=self.environment)
        (self.site / "others.pth").write_text(f"{others}\n")

    def run(self, *words: object, status: int = 0) -> str:
        """What a command prints, or, if it is to fail, its error."""
        command = [str(self.bin / str(words[0])), *map(str, words[1:])]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """As after `pip install ddmlp`: only what it requires."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "others").mkdir()
    for name, path in closure(DEPENDENCIES).items():
        (folder / "others" / name).symlink_to(path)
    return Installed(wheel, folder, folder / "others")


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    others = Path(subprocess.check_output([sys.executable, "-c", SITE], text=True).strip())
    return Installed(wheel, tmp_path_factory.mktemp("full"), others)


def sha256(text: str) -> str:
    (found,) = re.findall(r"^weights sha256 +([0-9a-f]{64})$", text, re.MULTILINE)
    return found


TRAIN = ["--data", "data", "--hidden", "8", "--epochs", "1", "--stop-after", "60"]


def test_simple(bare: Installed):
    assert bare.run("python", "-c", "import ddmlp; print(ddmlp.__file__)").startswith(str(bare.site))
    assert bare.run("ddmlp", "--version").startswith("ddmlp 0.")
    for absent in ("ray", "grpc", "fastapi", "onnx", "tensorboardX", "sklearn"):
        bare.run("python", "-c", f"import {absent}", status=1)


@pytest.fixture(scope="module")
def said(bare: Installed, sample: Path) -> str:
    """What the command says that has trained the run."""
    bare.run("ddmlp", "convert", sample, "data")
    return bare.run("ddmlp", "train", *TRAIN, "--run", "run")


def test_bare(bare: Installed, said: str):
    """All that one process does."""
    assert "report.html" in said
    assert "verified" in bare.run("ddmlp", "verify", "run")
    assert re.search(r"error +\d+\.\d\d% \(\d+ of 1,000 rows\)", bare.run("ddmlp", "evaluate", "--model", "run"))
    assert PHOTO.name in bare.run("ddmlp", "predict", "--model", "run", PHOTO)
    bare.run("ddmlp", "report", "run", "--out", "page.html")
    assert "</html>" in (bare.folder / "page.html").read_text()
    bare.run("ddmlp", "train", *TRAIN, "--staleness", "1", "--run", "stale", "--no-report")
    assert bare.run("ddmlp", "replay", "stale")
    with mirror_of({}) as server:
        assert "train-images" in bare.run("ddmlp", "fetch", "mnist", "--base-url", server.url("missing"), status=1)


def test_same_hash(bare: Installed, said: str):
    module = bare.run("python", "-m", "ddmlp.train", *TRAIN, "--run", "again", "--no-report")
    assert sha256(module) == sha256(said)
    script = "import ddmlp; print(ddmlp.fit('data', hidden=8, epochs=1, stop_after=60, run='api').weights_sha256)"
    assert bare.run("python", "-c", script).strip() == sha256(said)


@pytest.mark.parametrize(
    ("words", "status", "extra"),
    [
        (["ddmlp", "train", *TRAIN, "--workers", "2"], 2, "ray"),
        (["python", "-c", "import ddmlp; ddmlp.fit('data', workers=2)"], 1, "ray"),
        (["ddmlp", "train", *TRAIN, "--tensorboard", "--run", "board"], 2, "tensorboard"),
        (["ddmlp", "serve", "--model", "run"], 2, "serve"),
        (["ddmlp", "export", "--model", "run", "--to", "onnx", "x"], 2, "onnx"),
        (["ddmlp", "export", "--model", "run", "--to", "safetensors", "x"], 2, "safetensors"),
        (["python", "-c", "import ddmlp.sklearn"], 1, "sklearn"),
        (["python", "-c", "import ddmlp; ddmlp.MLflow()"], 1, "mlflow"),
        (["python", "-c", "import ddmlp; ddmlp.WandB()"], 1, "wandb"),
    ],
)
@pytest.mark.usefixtures("said")
def test_extra_is_missing(words: list[str], status: int, extra: str, bare: Installed):
    *trace, message = bare.run(*words, status=status).splitlines()
    assert f"pip install 'ddmlp[{extra}]'" in message
    assert (trace == []) == (words[0] == "ddmlp")


@pytest.fixture
def trained(full: Installed, sample: Path) -> str:
    """The hash of a run that two workers have trained."""
    full.run("ddmlp", "convert", sample, "data")
    return sha256(full.run("ddmlp", "train", *TRAIN, "--run", "run", "--workers", "2", "--address", "local"))


@pytest.fixture
def server(full: Installed, trained: str) -> Iterator[Server]:  # noqa: ARG001 - it is served
    words = [full.bin / "ddmlp", "serve", "--model", "run", "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "text": True, "cwd": full.folder, "env": full.environment}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout
        yield Server(process.stdout.readline().split("/  ")[0], process)
        process.terminate()


@pytest.mark.cluster
def test_full(full: Installed, trained: str, server: Server):
    """What needs an extra."""
    assert server.get("/").status == 200
    assert server.predict(PHOTO.read_bytes(), "image/jpeg").status == 200
    for kind in ("onnx", "safetensors"):
        assert trained in full.run("ddmlp", "export", "--model", "run", "--to", kind, f"model.{kind}")
    full.run("ddmlp", "train", *TRAIN, "--run", "board", "--tensorboard", "--no-report")
    assert [*(full.folder / "board" / "tensorboard").iterdir()]
