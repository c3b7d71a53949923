"""A Python for 64-bit Arm, run by qemu on an x86-64 machine that has Debian's apt.

Debian's packages and the wheels are unpacked into a folder: nothing is installed, and root is not needed.
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
}  # of ddmlp's requirements: what training in one process never imports
GLIBC = range(17, 37)  # minor versions: the wheels may need at most that of Debian 12
SECONDS = 300  # that one step of the set-up may take


class Unavailable(Exception):
    """64-bit Arm cannot be emulated here. The message is one line, the reason."""


def python(folder: Path) -> list[str]:
    """The command that runs the emulated Python. What it needs is in `folder`, and is got if it is not there.

    Raises Unavailable.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable(f"needs Linux on x86-64, this is {platform.system()} on {platform.machine()}")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    root = unpacked(folder / "root", "arm64", ["install", "python3", "libstdc++6", "libgomp1"])
    version = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    site = installed(folder, version, requirements())
    return ["env", f"PYTHONPATH={site}:{ROOT}", str(emulator(folder)), "-L", str(root), str(root / "usr/bin/python3")]


def emulator(folder: Path) -> Path:
    """qemu: that of the machine, or else that of a package, unpacked into the folder."""
    names = ("qemu-aarch64-static", "qemu-aarch64")
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    for package in ("qemu-user-static", "qemu-user"):  # it is in the first up to Debian 12, in the second from 13 on
        root = unpacked(folder / package, "amd64", ["download", package])
        for name in names:
            if (path := root / "usr/bin" / name).exists():
                return path
    raise Unavailable("neither qemu-user-static nor qemu-user has a qemu-aarch64")


def unpacked(root: Path, architecture: str, wanted: Sequence[str]) -> Path:
    """The folder `root` with packages of an architecture; they are downloaded if it is not there.

    wanted: what apt-get is to do. `download` gets the packages named, `install` also all that they need.
    """
    if root.exists():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable("needs apt-get and dpkg-deb, which get qemu and a Python for Arm")
    work = emptied(root.with_suffix(".part"))
    for name in ("lists/partial", "debs/partial", "root"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()  # nothing is installed, so apt-get downloads all that is needed
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # root, too, downloads as root: apt's own user cannot write to the folder
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Debug::NoLocking": "true",  # the lock is the system's
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
    if not (work / "root/lib").exists():  # packages from Debian 13 on leave this link to another
        (work / "root/lib").symlink_to("usr/lib")
    (work / "root").rename(root)
    shutil.rmtree(work)
    return root


def requirements() -> list[str]:
    """What training in one process needs, in the versions that are installed here."""
    texts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = [each for each in map(Requirement, texts) if each.marker is None or each.marker.evaluate()]
    names = {each.name for each in needed} - UNUSED
    return sorted(f"{name}=={importlib.metadata.version(name)}" for name in names)


def installed(folder: Path, version: str, wanted: Sequence[str]) -> Path:
    """The folder with the wheels of `wanted` for that Python on Arm; they are downloaded if it is not there.

    Where that Python has no wheel in a version wanted, all are of the newest versions.
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
    """The folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def run(command: Sequence[str], folder: Path) -> None:
    """Run a step of the set-up in a folder; raises Unavailable with its first error if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} has not ended within {SECONDS} s") from None
    except OSError as error:
        raise Unavailable(f"{name}: {error}") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR:", f"{name}: "))]
        raise Unavailable(errors[0] if errors else f"{name}: exit status {done.returncode}")
