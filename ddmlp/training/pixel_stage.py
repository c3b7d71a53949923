"""The stage between reading and the gradient: the run's transform changes pixels, then images are distorted."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.data.transform import Transform, one_line
from ddmlp.errors import ConfigError, MachineError, TrainingError
from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.distortion import Distorter
from ddmlp.nn.known_answer import check_distortion, check_mode
from ddmlp.numerics import DISTORTION, row_bits
from ddmlp.training.job import Job

Pixels = NDArray[np.uint8]
CALL = 4096  # rows of a call at most, so that a transform's own arrays are bounded, too
CHECKED = 16  # rows, and epochs
NAMED = 3  # rows in an error


class PixelStage:
    """Changes the pixels of rows.

    What it makes of a row depends on the row, the seed and the epoch, not on the other rows of a call: workers call it
    with the rows of their units, whatever these are. This is tested on the first rows of the dataset.

    Parameters
    ----------
    transform : Transform or None
        The function. It is loaded here.
    dataset : Dataset
        The training data.
    seed : int
        The run's seed.
    augment : str
        The distortion of what the transform makes, as in `TrainConfig`; "": none.

    Attributes
    ----------
    answer : str
        The SHA-256 of what the transform makes of row 0, in several epochs; "" without one.

    Raises
    ------
    ConfigError
        If the function cannot be loaded, fails, or depends on more than each row; or if `augment` is not valid.
    MachineError
        If it makes other pixels here than where the run was begun; or if this machine does not distort images as all
        others do.
    """

    def __init__(self, transform: Transform | None, dataset: Dataset, seed: int, augment: str = "") -> None:
        self._dataset, self._seed, self._distorter = dataset, seed, None
        if augment:
            check_distortion()
            found = Augmentation.of(augment)
            if found.text != augment:
                raise ConfigError(f"augment is {augment!r}, expected all parameters, as {found.text!r} has them")
            self._distorter = Distorter(found, dataset.manifest.image_shape)
        self._function: Callable[..., Any] | None = None
        self.answer = ""
        if transform is not None:
            self._load(transform)

    def _load(self, transform: Transform) -> None:
        self._name, self._function = transform.name, transform.load()
        try:
            self.answer = self._check()
        except TrainingError as error:
            raise ConfigError(str(error)) from error.__cause__
        if transform.answer not in ("", self.answer):
            raise MachineError(
                f"the transform {self._name} makes other pixels here than where the run was begun: it depends on the "
                "machine or on the versions of packages"
            )

    @classmethod
    def of(cls, job: Job, dataset: Dataset) -> "PixelStage | None":
        """The stage of a job; None if its pixels are not changed."""
        changed = job.transform is not None or job.config.augment
        return cls(job.transform, dataset, job.config.seed, job.config.augment) if changed else None

    def apply(self, rows: NDArray[np.intp], epoch: int) -> Pixels:
        """The changed pixels of rows (B,) of the dataset: (B, m), contiguous.

        Raises TrainingError if the function fails, or returns something else than pixels.
        """
        found = np.empty((len(rows), self._dataset.manifest.pixels), np.uint8)
        for begin in range(0, len(rows), CALL):
            part = rows[begin : begin + CALL]
            out = found[begin : begin + CALL]
            pixels = self._call(part, epoch).reshape(out.shape)
            if self._distorter:
                keys = row_bits(part.astype(np.int64), self._seed, epoch, DISTORTION)
                self._distorter.apply(pixels, keys, out)
            else:
                out[:] = pixels
        check_mode()  # the function may have changed it
        return found

    def _call(self, rows: NDArray[np.intp], epoch: int) -> Pixels:
        pixels, _ = self._dataset.gather(rows)
        if self._function is None:
            return pixels
        pixels, numbers = pixels.reshape(-1, *self._dataset.manifest.image_shape), rows.astype(np.int64)
        pixels.flags.writeable = numbers.flags.writeable = False
        try:
            found = self._function(pixels, numbers, self._seed, epoch)
        except (Exception, SystemExit) as error:
            raise self._error(rows, epoch, f"raised {one_line(error)}") from error
        if not isinstance(found, np.ndarray):
            raise self._error(rows, epoch, f"returned a {type(found).__name__}, expected an array")
        if (found.dtype, found.shape) != (pixels.dtype, pixels.shape):
            differs = f"returned {found.dtype} {found.shape}, expected {pixels.dtype} {pixels.shape}"
            raise self._error(rows, epoch, differs)
        return found

    def _error(self, rows: NDArray[np.intp], epoch: int, what: str) -> TrainingError:
        named = ", ".join(map(str, rows[:NAMED].tolist()))
        more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        return TrainingError(f"the transform {self._name} {what}, for the rows {named}{more} of epoch {epoch}")

    def _check(self) -> str:
        """Compare calls with the same rows in other groups and orders; returns `answer`. Raises ConfigError."""
        rows = np.arange(min(CHECKED, len(self._dataset)))
        for epoch in (0, 1):
            whole = self._call(rows, epoch).copy()
            for how, again in self._other_calls(rows, epoch):
                if (differs := (whole != again).reshape(len(rows), -1).any(axis=1)).any():
                    raise ConfigError(
                        f"the transform {self._name} makes other pixels of row {rows[differs][0]} of epoch {epoch} "
                        f"{how}; expected a function of each row, the seed and the epoch alone"
                    )
        answers = [self._call(rows[:1], epoch).tobytes() for epoch in range(CHECKED)]
        return hashlib.sha256(b"".join(answers)).hexdigest()

    def _other_calls(self, rows: NDArray[np.intp], epoch: int) -> Iterator[tuple[str, Pixels]]:
        yield "if it is called again", self._call(rows, epoch)
        parts = [part for part in np.array_split(rows, 2) if len(part)]
        yield "if it gets fewer rows at a time", np.concatenate([self._call(part, epoch).copy() for part in parts])
        yield "if it gets the rows in another order", self._call(rows[::-1], epoch)[::-1]
