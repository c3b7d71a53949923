"""The chain: a line for each checkpoint that a run has written, each covering the one before."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ddmlp.errors import RunError
from ddmlp.files import naming, write_whole


@dataclass(frozen=True)
class Link:
    """step: the position; weights_sha256: of the weights there; digest: SHA-256 over the digest of the link before,
    the position and the weights' hash. So one digest stands for the whole history up to it."""

    step: int
    weights_sha256: str
    digest: str

    @classmethod
    def after(cls, before: str, step: int, weights_sha256: str) -> "Link":
        """The link that follows the digest `before`."""
        text = f"{before} {step} {weights_sha256}"
        return cls(step, weights_sha256, hashlib.sha256(text.encode()).hexdigest())


def root(origin: dict[str, Any]) -> str:
    """The digest that the first link follows: of what the run is a function of, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()


class Chain:
    """The file chain.jsonl of a run."""

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        """origin: what the run is a function of: configuration and dataset fingerprint."""
        self.path = path
        self.root = root(origin)
        self._last: str | None = None

    @property
    def digest(self) -> str:
        """Of the last link."""
        assert self._last is not None, "a chain is used only after it was rewound to a position"
        return self._last

    def rewind(self, step: int, digest: str | None) -> str | None:
        """Drop the links past `step`; what is wrong where the last one left is not `digest`, or there is one and
        `digest` is None. The next link follows `digest`, which is what the checkpoint says."""
        links = []
        try:
            links = [link for link in self.links() if link.step <= step] if digest else []
            complaint = None
        except RunError as error:
            complaint = str(error)
        if complaint is None and (links[-1].digest if links else None) != digest:
            complaint = (
                f"{self.path} does not end with the digest {str(digest)[:16]}... of the checkpoint of step {step}"
            )
        if complaint is None:
            write_whole(self.path, "".join(_line(link) for link in links))
        self._last = digest or self.root
        return complaint

    def append(self, step: int, weights_sha256: str) -> str:
        """Add a link, on disk when this returns; returns its digest. Call `rewind` before."""
        link = Link.after(self.digest, step, weights_sha256)
        with naming(self.path), self.path.open("a") as file:
            file.write(_line(link))
            file.flush()
            os.fsync(file.fileno())
        self._last = link.digest
        return link.digest

    def links(self) -> list[Link]:
        """The links, in their order; raises RunError where the file is damaged, or a link does not follow from the
        one before."""
        found: list[Link] = []
        before = self.root
        for number, link in enumerate(self._read(), 1):
            late = found and link.step <= found[-1].step
            if late or link != Link.after(before, link.step, link.weights_sha256):
                raise RunError(
                    f"{self.path}, line {number}: the link of step {link.step} does not follow from the one before"
                )
            found.append(link)
            before = link.digest
        return found

    def _read(self) -> Iterator[Link]:
        try:
            *lines, _cut = self.path.read_bytes().split(b"\n")  # a crash may have cut the last line: it is no link yet
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, 1):
            try:
                found = json.loads(line)
                link = Link(**found)
                if type(link.step) is not int or type(link.weights_sha256) is not str or type(link.digest) is not str:
                    raise ValueError("a number or a text is none")
            except (ValueError, TypeError, RecursionError) as error:
                raise RunError(f"{self.path}, line {number} is damaged: {error}") from None
            yield link


def _line(link: Link) -> str:
    return json.dumps(asdict(link)) + "\n"
