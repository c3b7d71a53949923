"""The hash chain: an entry for each checkpoint of a run, whose digest covers all earlier entries."""

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
    """An entry of the hash chain. Its digest stands for the whole history up to it.

    Parameters
    ----------
    step
        The position.
    weights_sha256
        SHA-256 of the weights at that position.
    digest
        SHA-256 over the previous digest, the position and `weights_sha256`.
    """

    step: Count
    weights_sha256: Sha256
    digest: Sha256

    @classmethod
    def after(cls, before: str, step: int, weights_sha256: str) -> "ChainEntry":
        """Make the entry that follows the digest `before`."""
        text = f"{before} {step} {weights_sha256}"
        return cls(step, weights_sha256, hashlib.sha256(text.encode()).hexdigest())


def root(origin: dict[str, Any]) -> str:
    """Return the digest that the first entry follows: the SHA-256 of the origin as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()


class HashChain:
    """The file chain.jsonl of a run.

    Parameters
    ----------
    path
        The file; it need not exist yet.
    origin
        What determines the run's result; see `Origin.fixed`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     chain = HashChain(Path(folder) / "chain.jsonl", {"config": {}})
    ...     chain.rewind(0, None)
    ...     digest = chain.append(0, 64 * "a")
    ...     [entry.step for entry in chain.entries()]
    [0]
    >>> digest == ChainEntry.after(root({"config": {}}), 0, 64 * "a").digest
    True
    """

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        self.path = path
        self.root = root(origin)
        self._last: str | None = None

    @property
    def digest(self) -> str:
        """Digest of the last entry, or the root if there is none."""
        assert self._last is not None, "call rewind before using a chain"
        return self._last

    def rewind(self, step: int, digest: str | None) -> str | None:
        """Drop the entries past a checkpoint, so that the next entry follows that of the checkpoint.

        A chain that does not lead to the digest is left as it is, so that `entries` and verification report it. The
        next entry follows the digest even then.

        Parameters
        ----------
        step
            The checkpoint's position.
        digest
            The digest in the checkpoint; None if there is no checkpoint and the run begins at step 0.

        Returns
        -------
        str or None
            What is wrong with the chain, if anything is.
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
            return f"no good checkpoint is left of a run that was at step {entries[-1].step}: starting again at step 0"
        return None

    def append(self, step: int, weights_sha256: str) -> str:
        """Add an entry and return its digest. The entry is on disk when this returns. Call `rewind` first.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        entry = ChainEntry.after(self.digest, step, weights_sha256)
        with naming(self.path), self.path.open("ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        self._last = entry.digest
        return entry.digest

    def entries(self) -> list[ChainEntry]:
        """Read the entries, in order.

        Raises
        ------
        RunError
            If a line is damaged, or an entry does not follow from the previous one.
        """
        found: list[ChainEntry] = []
        before = self.root
        for number, entry in enumerate(self._parsed(), 1):
            late = found and entry.step <= found[-1].step
            if late or entry != ChainEntry.after(before, entry.step, entry.weights_sha256):
                raise RunError(
                    f"{self.path}, line {number}: the entry of step {entry.step} does not follow from the previous one"
                )
            found.append(entry)
            before = entry.digest
        return found

    def _lines(self) -> list[bytes]:
        """Return the complete lines of the file. A line that a crash has truncated does not count."""
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
