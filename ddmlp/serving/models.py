"""The model that answers: a trained one, or the newest checkpoint of a running training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddmlp.errors import RequestError
from ddmlp.inference.committee import Committee, load_models
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import model_of
from ddmlp.runs.run import Run
from ddmlp.serving.explanation import explains
from ddmlp.serving.schemas import ModelInfo


@dataclass(frozen=True)
class Version:
    """A version of a model. info: its description in answers. Not thread-safe."""

    model: Model | Committee
    info: ModelInfo

    @classmethod
    def from_model(cls, model: Model | Committee, step: int | None = None) -> "Version":
        """Make a version that is ready to answer: everything is compiled. step: its position, if known."""
        blank = np.zeros((1, *model.image_shape), np.uint8)
        model.predict_proba(blank)
        if explains(model):
            model.explain(blank)
        info = ModelInfo(
            step=step,
            weights_sha256=model.weights_sha256,
            image_shape=model.image_shape,
            classes=model.classes,
            explains=explains(model),
            **({"class_names": list(model.class_names)} if model.class_names else {}),
        )
        return cls(model, info)


Served = Callable[[], Version]  # raises RequestError if there is no version yet


def fixed(*paths: Path) -> Served:
    """Serve a model that does not change; several models are a committee.

    Raises RunError if there is no model at a path, and ConfigError if they do not fit each other.
    """
    version = Version.from_model(load_models(paths))
    return lambda: version


class Newest:
    """Serves the newest good checkpoint of a run; reads it again when a newer one appears. Not thread-safe."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._read: tuple[str, int, int] | None = None  # identity of the newest file when it was read
        self._version: Version | None = None

    def __call__(self) -> Version:
        """Return the newest version. Raises RequestError (503) if the run has no good checkpoint yet."""
        newest = self._newest_file()
        if newest is None:
            self._version = None
        elif newest != self._read:
            self._version = self._load()
        self._read = newest
        if self._version is None:
            raise RequestError(503, f"the run {self._run.path} has no checkpoint yet; try again later")
        return self._version

    def _newest_file(self) -> tuple[str, int, int] | None:
        """Return the identity of the newest checkpoint: name, inode and time of change."""
        for path in self._run.checkpoints.paths():
            try:
                about = path.stat()
            except FileNotFoundError:  # deleted meanwhile, as all but the newest are
                continue
            return path.name, about.st_ino, about.st_mtime_ns
        return None

    def _load(self) -> Version | None:
        checkpoint, _ = self._run.checkpoints.newest()
        if checkpoint is None:
            return None
        model = model_of(self._run.path, checkpoint.weights, self._run.origin().data)
        return Version.from_model(model, checkpoint.step)
