"""The chain: a line for each checkpoint that a run has written, each covering the one before."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ddmlp.errors import RunError
from ddmlp.files import naming, write_whole
from ddmlp.runs.json_text import Count, Sha256, from_json, to_json


class ChainEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """step: the position; weights_sha256: of the weights there; digest: SHA-256 over the digest of the entry before,
    the position and the weights' hash. So one digest stands for the whole history up to it."""

    step: Count
    weights_sha256: Sha256
    digest: Sha256

    @classmethod
    def after(cls, before: str, step: int, weights_sha256: str) -> "ChainEntry":
        """The entry that follows the digest `before`."""
        text = f"{before} {step} {weights_sha256}"
        return cls(step, weights_sha256, hashlib.sha256(text.encode()).hexdigest())


def root(origin: dict[str, Any]) -> str:
    """The digest that the first entry follows: of what the run is a function of, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()


class HashChain:
    """The file chain.jsonl of a run."""

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        """origin: what the run is a function of: configuration and dataset fingerprint."""
        self.path = path
        self.root = root(origin)
        self._last: str | None = None

    @property
    def digest(self) -> str:
        """Of the last entry."""
        assert self._last is not None, "a chain is used only after it was rewound to a position"
        return self._last

    def rewind(self, step: int, digest: str | None) -> str | None:
        """Go back to the checkpoint of `step`, which has this `digest`; or to the beginning, if there is none.

        Drops the entries past it. Returns what is wrong with the chain, if it does not lead to the digest: then it
        is left as it is, for `entries` to tell, and the next entry follows the digest all the same.
        """
        self._last = digest or self.root
        if self.path.exists():
            write_whole(self.path, b"\n".join([*self._lines(), b""]))
        try:
            entries = self.entries()
        except RunError as error:
            if digest is None:
                write_whole(self.path, b"")
            return str(error)
        left = [entry for entry in entries if entry.step <= step] if digest else []
        if digest and (not left or left[-1].digest != digest):
            return f"{self.path} does not lead to the digest {digest[:16]}... of the checkpoint of step {step}"
        write_whole(self.path, b"".join(map(_line, left)))
        if digest is None and entries and entries[-1].step > 0:
            return f"no good checkpoint is left, though the run was at step {entries[-1].step}: it begins again"
        return None

    def append(self, step: int, weights_sha256: str) -> str:
        """Add an entry, on disk when this returns; returns its digest. Call `rewind` before."""
        entry = ChainEntry.after(self.digest, step, weights_sha256)
        with naming(self.path), self.path.open("ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        self._last = entry.digest
        return entry.digest

    def entries(self) -> list[ChainEntry]:
        """The entries, in their order; raises RunError if the file is damaged, or an entry does not follow from the
        one before."""
        found: list[ChainEntry] = []
        before = self.root
        for number, entry in enumerate(self._parsed(), 1):
            late = found and entry.step <= found[-1].step
            if late or entry != ChainEntry.after(before, entry.step, entry.weights_sha256):
                raise RunError(
                    f"{self.path}, line {number}: the entry of step {entry.step} does not follow from the one before"
                )
            found.append(entry)
            before = entry.digest
        return found

    def _lines(self) -> list[bytes]:
        """The file's lines, without one at the end that a crash has cut: its entry does not count yet."""
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []

    def _parsed(self) -> Iterator[ChainEntry]:
        for number, line in enumerate(self._lines(), 1):
            try:
                entry = from_json(line, ChainEntry)
            except ValueError as error:
                raise RunError(f"{self.path}, line {number} is damaged: {error}") from None
            yield entry


def _line(entry: ChainEntry) -> bytes:
    return to_json(entry).encode() + b"\n"
