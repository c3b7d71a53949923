"""A run: a folder with configuration, metrics, checkpoints, model and result."""

import math
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import filelock
from msgspec import Struct

from ddmlp import __version__
from ddmlp.config import TrainConfig
from ddmlp.errors import RunError
from ddmlp.files import naming, whole_file, write_whole
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import ARITHMETIC
from ddmlp.runs.arrays import ABOUT, from_record, join_weights, load_arrays, save_arrays, weight_arrays
from ddmlp.runs.checkpoint import Checkpoints
from ddmlp.runs.events import AnyEvent, Event, Started
from ddmlp.runs.json_text import from_json, to_json
from ddmlp.runs.log_files import LOGS
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult

WRITER_SECONDS = 30
UNKNOWN = "of an unknown version"


class Run:
    """The folder of a run.

    ==============  =====================================================================
    config.json     what determines the result; see `Origin`
    metrics.jsonl   a line for each event; see `ddmlp.runs.events`
    chain.jsonl     a line for each checkpoint; see `HashChain`
    updates.txt     a line for each update, of asynchronous runs; see `UpdateLog`
    init.npz        the initial weights, if they were given
    transform.py    the source of its transform, if it has one
    checkpoints/    the newest checkpoints; see `Checkpoints`
    data/           the rows of a stream or from memory, as a dataset
    logs/           the logs of its processes; see `log_files`
    tensorboard/    event files, if asked for
    trace.json      what each process did, if asked for; see `TraceFile`
    model.npz       the weights, once the run has ended or stopped; see `load_model`
    result.json     the result, once the run has ended or stopped; see `RunResult`
    report.html     the report, once the run has ended or stopped
    ==============  =====================================================================

    Parameters
    ----------
    path
        The folder; it need not exist yet.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Run(Path(folder) / "one") as run:
    ...     run.create(Origin(TrainConfig(hidden=100), Path("data"), 64 * "a"))
    ...     run.exists, run.origin().config.hidden, run.result()
    (True, 100, None)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.chain, self.updates = path / "chain.jsonl", path / "updates.txt"
        self.spool, self.transform = path / "data", path / "transform.py"
        self._initial = path / "init.npz"
        self._lock = filelock.FileLock(path / ".lock")
        self._writing = filelock.FileLock(path / ".writing")

    def __enter__(self) -> "Run":
        """Lock the run. Raises RunError if another process has locked it, or if the folder cannot be written."""
        self._made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(f"{self.path} is in use by another process; wait for it, or choose another folder") from None
        except OSError as error:
            raise RunError(f"{self.path} cannot be the folder of a run: {error.strerror or error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if not self.exists:  # no run was created
            with suppress(OSError):
                (self.path / ".lock").unlink()
                self._initial.unlink(missing_ok=True)
                if self._made:
                    shutil.rmtree(self.path / LOGS, ignore_errors=True)
                    self.path.rmdir()

    def begin_writing(self) -> None:
        """Lock the checkpoints and the files that go with them.

        Waits up to WRITER_SECONDS for a server that was killed but has not ended yet.

        Raises
        ------
        RunError
            If another process still holds the lock.
        """
        try:
            self._writing.acquire(timeout=WRITER_SECONDS)
        except filelock.Timeout:
            raise RunError(f"another process has been writing to {self.path} for {WRITER_SECONDS} s; end it") from None

    def end_writing(self) -> None:
        """Release the lock of `begin_writing`."""
        self._writing.release()

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / "config.json").exists()

    def refuse_old(self) -> None:
        """Raise RunError if the folder already holds a run."""
        if self.exists:
            raise RunError(f"{self.path} already holds a run; resume it, or choose another folder")

    def create(self, origin: Origin, transform: str = "") -> None:
        """Begin the run. transform: the source of one. Raises RunError if the folder already holds a run."""
        self.refuse_old()
        if transform:
            write_whole(self.transform, transform)
        origin.write(self.path / "config.json")

    def extend(self, origin: Origin) -> None:
        """Give the run more epochs: those of `origin`, which otherwise must equal the run's. Raises RunError."""
        self.require_origin(origin)
        origin.write(self.path / "config.json")

    def origin(self) -> Origin:
        """Read config.json. Raises RunError if the folder holds no run, or a damaged one.

        Rows in the run's own folder are found there, wherever the folder was when the run was begun: another run may
        be in the old place.
        """
        try:
            found = Origin.read(self.path / "config.json")
            own = found.data.name == self.spool.name and (self.spool / "train").is_dir()
            return replace(found, data=self.spool.resolve()) if own else found
        except (FileNotFoundError, NotADirectoryError):
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"{self.path} is a file, expected the folder of a run") from None
            why = "it has no config.json" if self.path.exists() else "the folder does not exist"
            raise RunError(f"{self.path} holds no run: {why}; begin one by `ddmlp train` or ddmlp.fit") from None

    def require_arithmetic(self) -> Origin:
        """Read config.json. Raises RunError as `origin` does, and if this ddmlp would compute other bits."""
        origin = self.origin()
        if origin.arithmetic != ARITHMETIC:
            theirs = f"ddmlp {self._computed_by()} with arithmetic {origin.arithmetic}"
            raise RunError(
                f"{self.path} was computed by {theirs}, but ddmlp {__version__} has arithmetic {ARITHMETIC}, which "
                "computes other bits: use that version, or begin another run; the run's model still works"
            )
        return origin

    def _computed_by(self) -> str:
        """Return the version of ddmlp that computed the newest checkpoint."""
        found, _ = self.checkpoints.newest()
        return found.header.versions.get("ddmlp", UNKNOWN) if found else UNKNOWN

    def require_origin(self, asked: Origin) -> None:
        """Raise RunError if resuming with `asked` would give another result than the run was begun for."""
        begun = self.require_arithmetic()
        for name in TrainConfig.names():
            was, now = getattr(begun.config.begun, name), getattr(asked.config.begun, name)
            if was != now:
                raise RunError(f"{self.path} was begun with {name} {was!r}; it cannot be resumed with {now!r}")
        if (has := begun.config.epochs) > asked.config.epochs:
            raise RunError(f"{self.path} already has {has} epochs; it cannot be resumed with {asked.config.epochs}")
        if begun.dataset_sha256 != asked.dataset_sha256:
            raise RunError(
                f"{self.path} was begun on the dataset {begun.dataset_sha256[:16]}... ({begun.data}), but "
                f"{asked.data} holds the dataset {asked.dataset_sha256[:16]}..."
            )

    def record(self, events: Iterable[Event]) -> None:
        """Append events to metrics.jsonl. A start drops the events past its step: they will happen again."""
        path = self.path / "metrics.jsonl"
        for event in events:
            if isinstance(event, Started):
                self._rewind(event.step)
            with naming(path), path.open("a") as file:
                file.write(to_json(event) + "\n")

    def _rewind(self, step: int) -> None:
        """Drop the events past `step` from metrics.jsonl, and lines that a crash has damaged."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            with path.open("rb") as old, whole_file(path) as new:  # by lines: the file may be large
                new.writelines(line for line in old if _step(line) <= step)

    def write_initial_weights(self, weights: Weights) -> None:
        """Save the weights that the run begins with."""
        save_arrays(self._initial, weight_arrays(weights))

    def initial_weights(self, config: TrainConfig, shape: Shape) -> Weights:
        """Return the weights that the run began with: those in init.npz, or else drawn from the seed.

        Raises
        ------
        RunError
            If init.npz is missing or damaged, or holds other weights.
        """
        if not config.init_sha256:
            return Weights.draw(shape, config.seed)
        weights = join_weights(self._initial, load_arrays(self._initial))
        if (found := weights.sha256()) != config.init_sha256 or weights.shape != shape:
            raise RunError(
                f"{self._initial} has the weights {found[:16]}... of {weights.shape}, but the run was begun with "
                f"{config.init_sha256[:16]}... of {shape}; restore the file"
            )
        return weights

    def write_model(self, weights: Weights, about: Struct | None = None) -> None:
        """Write model.npz. about: the description of its images; see `inference.saved_model.About`."""
        save_arrays(self.path / "model.npz", weight_arrays(weights) | ({ABOUT: from_record(about)} if about else {}))

    def write_result(self, result: RunResult) -> None:
        """Write result.json."""
        write_whole(self.path / "result.json", to_json(result, indent=1) + "\n")

    def result(self) -> RunResult | None:
        """Read result.json; return None if it does not exist. Raises RunError if it is damaged."""
        path = self.path / "result.json"
        try:
            return from_json(path.read_bytes(), RunResult)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RunError(
                f"{path} is damaged or was written by another version of ddmlp: {error}; remove it to resume from the "
                "last checkpoint"
            ) from None


def _step(line: bytes) -> float:
    """Return the step of a line of metrics.jsonl; infinity if the line is damaged."""
    try:
        return from_json(line, AnyEvent).step if line.endswith(b"\n") else math.inf
    except ValueError:
        return math.inf
