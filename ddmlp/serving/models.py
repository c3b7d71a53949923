"""The model that answers: one that was trained, or the newest checkpoint of a run that trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.errors import RequestError
from ddmlp.inference.model import Model, load_model, model_of
from ddmlp.inference.recogniser import Recogniser
from ddmlp.runs.run import Run


@dataclass(frozen=True)
class Version:
    """A version of a model. step: how many steps it was trained, where that is known. Not for two threads at once."""

    model: Model
    recognise: Recogniser
    step: int | None
    weights_sha256: str

    @classmethod
    def of(cls, model: Model, step: int | None = None) -> "Version":
        return cls(model, Recogniser(model), step, model.weights.sha256())

    def about(self) -> dict[str, Any]:
        """What an answer says of it, as JSON."""
        return {
            "step": self.step,
            "weights_sha256": self.weights_sha256,
            "image_shape": self.model.image_shape,
            "classes": self.model.weights.shape.outputs,
        }


Served = Callable[[], Version]  # raises RequestError where there is none


def fixed(path: Path) -> Served:
    """A model that stays what it is; raises RunError where there is none at `path`."""
    version = Version.of(load_model(path))
    return lambda: version


class Newest:
    """The newest good checkpoint of a run, read when there is a newer one. Not for two threads at once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._read: tuple[str, int, int] | None = None  # what the newest file was when it was read
        self._version: Version | None = None

    def __call__(self) -> Version:
        """Raises RequestError where the run has no good checkpoint (yet)."""
        there = self._there()
        if there is None:
            self._version = None
        elif there != self._read:
            self._version = self._load()
        self._read = there
        if self._version is None:
            raise RequestError(503, f"the run {self._run.path} has no checkpoint yet; try again when it has")
        return self._version

    def _there(self) -> tuple[str, int, int] | None:
        """The newest checkpoint's name, and what tells it from another of that name."""
        for path in self._run.checkpoints.paths():
            try:
                about = path.stat()
            except FileNotFoundError:  # let go of meanwhile
                continue
            return path.name, about.st_ino, about.st_mtime_ns
        return None

    def _load(self) -> Version | None:
        checkpoint, _ = self._run.checkpoints.newest()
        if checkpoint is None:
            return None
        model = model_of(self._run.path, checkpoint.weights, self._run.origin().data)
        return Version.of(model, checkpoint.step)
