"""A Python for 64-bit Arm, run by qemu on an x86-64 machine with Debian's apt.

Debian packages and wheels are unpacked into a folder. Nothing is installed, and root is not needed.
"""

import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
UNUSED = {
    "jinja2",
    "matplotlib",
    "pillow",
}  # requirements of ddmlp that training in one process never imports
GLIBC = range(17, 37)  # minor versions that wheels may need: up to that of Debian 12
SECONDS = 300  # limit for one step of the set-up


class Unavailable(Exception):
    """64-bit Arm cannot be emulated here. The message is one line, the reason."""


def python(folder: Path) -> list[str]:
    """The command that runs the emulated Python. It downloads into `folder` whatever is missing there.

    Raises Unavailable if that is impossible.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable(f"it needs Linux on x86-64, found {platform.system()} on {platform.machine()}")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    root = unpacked(folder / "root", "arm64", ["install", "python3", "libstdc++6", "libgomp1"])
    version = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    site = installed(folder, version, requirements())
    return ["env", f"PYTHONPATH={site}:{ROOT}", str(emulator(folder)), "-L", str(root), str(root / "usr/bin/python3")]


def emulator(folder: Path) -> Path:
    """The path of qemu: the installed one, or one from a package that is unpacked into the folder."""
    names = ("qemu-aarch64-static", "qemu-aarch64")
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    for package in ("qemu-user-static", "qemu-user"):  # the first up to Debian 12, the second from Debian 13 on
        root = unpacked(folder / package, "amd64", ["download", package])
        for name in names:
            if (path := root / "usr/bin" / name).exists():
                return path
    raise Unavailable("neither qemu-user-static nor qemu-user has a qemu-aarch64")


def unpacked(root: Path, architecture: str, wanted: Sequence[str]) -> Path:
    """The folder `root`, with packages for an architecture. They are downloaded if the folder does not exist.

    wanted: a command of apt-get. `download` gets the named packages, `install` also their dependencies.
    """
    if root.exists():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable("it needs apt-get and dpkg-deb, to get qemu and a Python for Arm")
    work = emptied(root.with_suffix(".part"))
    for name in ("lists/partial", "debs/partial", "root"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()  # nothing counts as installed, so apt-get downloads all dependencies
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # apt's own user cannot write to the folder
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Debug::NoLocking": "true",  # the lock belongs to the system
        "Dir::Cache": work,
        "Dir::Cache::archives": work / "debs",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
    }
    apt = ["apt-get", "--quiet=2", "--yes", *(f"--option={name}={value}" for name, value in options.items())]
    run([*apt, "update"], work)
    run([*apt, *wanted, "--download-only"], work / "debs")
    for package in sorted((work / "debs").glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), "root"], work)
    if not (work / "root/lib").exists():  # from Debian 13 on, another package has this link
        (work / "root/lib").symlink_to("usr/lib")
    (work / "root").rename(root)
    shutil.rmtree(work)
    return root


def requirements() -> list[str]:
    """The requirements of training in one process, in the versions installed here."""
    texts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = [each for each in map(Requirement, texts) if each.marker is None or each.marker.evaluate()]
    names = {each.name for each in needed} - UNUSED
    return sorted(f"{name}=={importlib.metadata.version(name)}" for name in names)


def installed(folder: Path, version: str, wanted: Sequence[str]) -> Path:
    """The folder with the `wanted` wheels for this Python on Arm. They are downloaded if the folder does not exist.

    If one of the wanted versions has no such wheel, the newest versions of all are taken.
    """
    digest = hashlib.sha256(" ".join([version, *wanted]).encode()).hexdigest()
    site = folder / f"site-{digest[:12]}"
    if site.exists():
        return site
    for old in folder.glob("site-*"):
        shutil.rmtree(old)
    work = site.with_suffix(".part")
    platforms = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in GLIBC)]
    pip = [
        *[sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "3"],
        *["--target", str(work), "--only-binary=:all:", "--implementation", "cp", "--python-version", version],
        *(f"--platform={each}" for each in platforms),
    ]
    try:
        run([*pip, *wanted], emptied(work))
    except Unavailable:
        run([*pip, *(each.partition("==")[0] for each in wanted)], emptied(work))
    return work.rename(site)


def emptied(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def run(command: Sequence[str], folder: Path) -> None:
    """Run a step of the set-up in a folder. Raises Unavailable, with the step's first error, if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} did not finish within {SECONDS} s") from None
    except OSError as error:
        raise Unavailable(f"{name}: {error}") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR:", f"{name}: "))]
        raise Unavailable(errors[0] if errors else f"{name}: exit status {done.returncode}")
