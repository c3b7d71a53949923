"""Build the image of cluster/Dockerfile without Docker, and train in it: make image

It carries out the Dockerfile's own instructions in a folder, as root, on Debian, which has debootstrap. The base image
is replaced by a minimal Debian with the same Python version, because it takes a registry to get that. Exits with 1 if
an instruction or a check fails.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from string import Template

from ddmlp.data.convert import convert, find_pairs
from tests.image.dockerfile import ROOT, assignments, included, instructions
from tools import sample_mnist

FOLDER = ROOT / "build" / "image"
BASES = {"3.11": "bookworm", "3.13": "trixie"}  # the Debian that has this Python
PACKAGES = "ca-certificates,python3,python3-pip,python-is-python3"
# What each command finds of this machine: devices, name servers, certificates and local packages. The mounts are in the
# command's own namespace, and end with it.
MOUNTS = [path for path in ("/dev", "/etc/resolv.conf", "/etc/ssl/certs", "/opt") if Path(path).exists()]
PIP = {
    name: value for name, value in os.environ.items() if name.startswith("PIP_")
}  # where this machine's packages are
TRAIN = "python -m ddmlp.train --data /data --epochs 1 --hidden 20 --batch 150 --microbatch 32 --no-report"


def base(text: str, root: Path) -> None:
    """Make a minimal Debian with the Python of the image that FROM names."""
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", text)
    if not version or version[1] not in BASES:
        raise SystemExit(f"FROM {text}: known are python:VERSION-slim with VERSION in {', '.join(BASES)}")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", BASES[version[1]], str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # Debian's Python refuses to install packages beside its own, where the image's does not.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()


class Image:
    """A folder that becomes the image, and what RUN inherits: variables, user, working folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.arguments: dict[str, str] = {}
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user, self.folder = "root", "/"

    def run(self, command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command in the image, in its own process namespace; returns what it printed."""
        home = "/root" if self.user == "root" else f"/home/{self.user}"
        variables = {"HOME": home, **PIP, **self.environment, **self.arguments, **more}
        mounts = [f"mount -t proc proc {self.root}/proc"]
        mounts += [f"mount --rbind {path} {self.root}{path}" for path in MOUNTS]
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        words += ["sh", "-ec", "\n".join([*mounts, 'exec "$@"']), "sh", "env", "--ignore-environment"]
        words += [f"{name}={value}" for name, value in variables.items()]
        words += ["chroot", f"--userspec={self.user}:{self.user}", str(self.root)]
        words += ["/bin/sh", "-c", f'cd "$0" && {{ {command}\n}}', self.folder]
        return subprocess.run(words, text=True, capture_output=True, check=False)

    def carry_out(self, name: str, text: str) -> None:
        """Carry out one instruction. Raises SystemExit if it fails."""
        if name == "FROM":
            base(text, self.root)
        elif name == "RUN":
            done = self.run(text)
            if done.returncode:
                raise SystemExit(f"{done.stdout}{done.stderr}RUN {text}: exit status {done.returncode}")
        elif name == "COPY":
            *sources, target = text.split()
            for source in sources:
                copy(ROOT / source, self.root / target[1:], into=target.endswith("/"))
        elif name == "ARG":
            self.arguments |= assignments(text)
        elif name == "ENV":
            self.environment |= assignments(Template(text).safe_substitute(self.arguments))
        elif name == "USER":
            self.user = text
        elif name == "WORKDIR":
            self.folder = text


def copy(source: Path, target: Path, *, into: bool) -> None:
    """Copy a file or the content of a folder, without what is not in the build context."""
    files = [path for path in (source.rglob("*") if source.is_dir() else [source]) if path.is_file()]
    for file in files:
        if included(file.relative_to(ROOT)):
            new = target / (file.name if into else file.relative_to(source))
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new)


def prepare(root: Path) -> None:
    """Make where the mounts are, and a dataset in /data."""
    for path in map(Path, MOUNTS):
        target = root / path.relative_to("/")
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.touch()
    sample_mnist.main([str(FOLDER / "idx")])
    train, test = find_pairs(FOLDER / "idx")
    convert({root / "data" / "train": train, root / "data" / "test": test})


def smoke(image: Image) -> list[str]:
    """What the finished image gets wrong: its programs, its user, a training on Ray, and a Ray without a token."""
    wrong = []
    token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    tools = image.run("for tool in bash wget rsync ray; do command -v $tool || exit 1; done; id -u; pwd; ls /src")
    if tools.stdout.split()[4:] != ["1000", "/home/ray"]:
        wrong.append(f"programs, user, folder: {tools.stdout}{tools.stderr}")
    hashes = []
    for workers in (0, 2):
        done = image.run(f"{TRAIN} --workers {workers} --run /tmp/run{workers}", **token)
        hashes.append(re.findall(r"weights sha256 +(\w+)", done.stdout))
        if done.returncode:
            wrong.append(f"training with {workers} workers: {done.stdout}{done.stderr}")
    if hashes[0] != hashes[1] or not hashes[0]:
        wrong.append(f"hashes of 0 and 2 workers: {hashes}")
    refused = image.run("ray start --head --disable-usage-stats")
    if refused.returncode == 0 or "token" not in refused.stdout + refused.stderr:
        wrong.append(f"a Ray without a token has started: {refused.stdout}{refused.stderr}")
    return wrong


def main() -> int:
    if os.geteuid() or not shutil.which("debootstrap"):
        raise SystemExit("make image needs root, and Debian's debootstrap: apt-get install debootstrap")
    shutil.rmtree(FOLDER, ignore_errors=True)
    root = FOLDER / "root"
    root.mkdir(parents=True)
    image = Image(root)
    for number, each in enumerate(instructions()):
        begun = time.monotonic()
        image.carry_out(*each)
        if number == 0:
            prepare(root)
        print(f"{time.monotonic() - begun:6.1f} s  {each.name} {' '.join(each.text.split())}", flush=True)
    begun = time.monotonic()
    wrong = smoke(image)
    print(f"{time.monotonic() - begun:6.1f} s  checks")
    shutil.rmtree(FOLDER)
    print("\n".join(wrong) or "the image trains: 2 workers gave the hash of one process, and Ray needs its token")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
