"""The instructions of cluster/Dockerfile, and the files that it may copy."""

import shlex
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cluster" / "Dockerfile"
KNOWN = {"FROM", "RUN", "COPY", "ARG", "ENV", "USER", "WORKDIR"}


class Instruction(NamedTuple):
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The instructions in their order, each on one line. Raises ValueError if one is not known."""
    lines = (line.strip() for line in FILE.read_text().splitlines())
    text = "\n".join(line for line in lines if line and not line.startswith("#")).replace("\\\n", "")
    found = [Instruction(*line.split(maxsplit=1)) for line in text.splitlines()]
    if unknown := {each.name for each in found} - KNOWN:
        raise ValueError(f"{FILE} has {', '.join(sorted(unknown))}; this program knows {', '.join(sorted(KNOWN))}")
    return found


def assignments(text: str) -> dict[str, str]:
    """The variables of an ENV or ARG."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def included(path: Path) -> bool:
    """Whether a file, relative to the checkout, is in the build context. The last rule that matches it or one of its
    folders decides."""
    rules = FILE.with_name("Dockerfile.dockerignore").read_text().splitlines()[1:]
    names = [str(each) for each in (path, *path.parents)]
    matching = [rule for rule in rules if any(fnmatchcase(name, rule.lstrip("!")) for name in names)]
    return matching[-1].startswith("!")
