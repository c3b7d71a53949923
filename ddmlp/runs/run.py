"""A run: a folder with the configuration, the metrics, the checkpoints, the model and the result."""

import math
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import filelock
from msgspec import Struct

from ddmlp import __version__
from ddmlp.config import TrainConfig, flag
from ddmlp.errors import RunError
from ddmlp.files import naming, write_whole
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

    config.json     what the run is a function of, see Origin
    metrics.jsonl   a line for each event, see events
    chain.jsonl     a line for each checkpoint, see HashChain
    updates.txt     a line for each update, see UpdateLog; if their order is not the plan's
    init.npz        the weights that it began with, if they were given
    checkpoints/    the newest few
    data/           what came as a stream, as a dataset
    logs/           what its processes log, see log_files
    tensorboard/    event files, where they were asked for
    model.npz       W1 and W2, once the run, or its --stop-after, has ended
    result.json     the result, likewise, see RunResult
    report.html     a page about it, once it has ended
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.chain = path / "chain.jsonl"
        self.updates = path / "updates.txt"
        self.spool = path / "data"
        self._initial = path / "init.npz"
        self._lock = filelock.FileLock(path / ".lock")
        self._writing = filelock.FileLock(path / ".writing")

    def __enter__(self) -> "Run":
        """Hold the run, so that no second process works on it; raises RunError if one does."""
        self._made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(f"{self.path} is in use by another process; wait for it, or choose another --run") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if not self.exists:  # it did not come to a run
            with suppress(OSError):
                (self.path / ".lock").unlink()
                self._initial.unlink(missing_ok=True)
                if self._made:
                    shutil.rmtree(self.path / LOGS, ignore_errors=True)
                    self.path.rmdir()

    def begin_writing(self) -> None:
        """Hold the checkpoints and what goes with them. Waits for a server that was given up, and may not have ended
        yet; raises RunError if it does not end within a bound."""
        try:
            self._writing.acquire(timeout=WRITER_SECONDS)
        except filelock.Timeout:
            raise RunError(f"another process has been writing to {self.path} for {WRITER_SECONDS} s; end it") from None

    def end_writing(self) -> None:
        self._writing.release()

    @property
    def exists(self) -> bool:
        return (self.path / "config.json").exists()

    def refuse_old(self) -> None:
        """Raise RunError if the folder holds a run already."""
        if self.exists:
            raise RunError(f"{self.path} holds a run already; go on with it by --resume, or choose another --run")

    def create(self, origin: Origin) -> None:
        """Begin the run; raises RunError if the folder holds one already."""
        self.refuse_old()
        origin.write(self.path / "config.json")

    def extend(self, origin: Origin) -> None:
        """Let the run, which is of this origin, have more epochs: those of `origin`."""
        self.require_origin(origin)
        origin.write(self.path / "config.json")

    def origin(self) -> Origin:
        """What the run is a function of, from config.json; raises RunError if there is no run."""
        try:
            return Origin.read(self.path / "config.json")
        except (FileNotFoundError, NotADirectoryError):
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"{self.path} is a file, expected the folder of a run") from None
            why = "it has no config.json" if self.path.exists() else "there is no such folder"
            raise RunError(f"{self.path} holds no run: {why}; training without --resume begins one") from None

    def require_arithmetic(self) -> Origin:
        """What the run is a function of; raises RunError also if this ddmlp would go on with it to other bits."""
        origin = self.origin()
        if origin.arithmetic != ARITHMETIC:
            theirs = f"ddmlp {self._computed_by()} with arithmetic {origin.arithmetic}"
            raise RunError(
                f"{self.path} was computed by {theirs}, and ddmlp {__version__} has arithmetic {ARITHMETIC}, which "
                "gives other bits: use that version, or begin another run; its model can be used all the same"
            )
        return origin

    def _computed_by(self) -> str:
        """The version of ddmlp that has computed the newest checkpoint."""
        found, _ = self.checkpoints.newest()
        return found.header.versions.get("ddmlp", UNKNOWN) if found else UNKNOWN

    def require_origin(self, asked: Origin) -> None:
        """Raise RunError if going on with `asked` would give another result than the run was begun for."""
        begun = self.require_arithmetic()
        for name in TrainConfig.names():
            was, now = getattr(begun.config.begun, name), getattr(asked.config.begun, name)
            if was != now:
                raise RunError(f"{self.path} was begun with {flag(name)} {was}; it cannot be resumed with {now}")
        if (has := begun.config.epochs) > asked.config.epochs:
            raise RunError(f"{self.path} has {has} epochs by now; it cannot be resumed with {asked.config.epochs}")
        if begun.dataset_sha256 != asked.dataset_sha256:
            raise RunError(
                f"{self.path} was begun on the dataset {begun.dataset_sha256[:16]}... ({begun.data}); "
                f"{asked.data} holds another: {asked.dataset_sha256[:16]}..."
            )

    def record(self, events: Iterable[Event]) -> None:
        """Append events to metrics.jsonl. A start takes back what lies past its step: it will happen again."""
        path = self.path / "metrics.jsonl"
        for event in events:
            if isinstance(event, Started):
                self._rewind(event.step)
            with naming(path), path.open("a") as file:
                file.write(to_json(event) + "\n")

    def _rewind(self, step: int) -> None:
        """Drop from metrics.jsonl what lies past `step`, and lines that a crash has damaged."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            with path.open("rb") as file:
                kept = [line for line in file if _step(line) <= step]
            write_whole(path, b"".join(kept))

    def write_initial_weights(self, weights: Weights) -> None:
        """Keep the weights that the run is to begin with."""
        save_arrays(self._initial, weight_arrays(weights))

    def initial_weights(self, config: TrainConfig, shape: Shape) -> Weights:
        """The weights that the run began with; raises RunError if those that are kept are not they."""
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
        """Write model.npz; about: what it tells of its images, see `inference.model.About`."""
        description = {ABOUT: from_record(about)} if about else {}
        save_arrays(self.path / "model.npz", weight_arrays(weights) | description)

    def write_result(self, result: RunResult) -> None:
        write_whole(self.path / "result.json", to_json(result, indent=1) + "\n")

    def result(self) -> RunResult | None:
        """The result, or None if there is none yet; raises RunError."""
        path = self.path / "result.json"
        try:
            return from_json(path.read_bytes(), RunResult)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RunError(
                f"{path} is damaged, or another version of ddmlp wrote it: {error}; remove it to go on from the last "
                "checkpoint"
            ) from None


def _step(line: bytes) -> float:
    """The step of a line of metrics; infinity if the line is damaged."""
    try:
        return from_json(line, AnyEvent).step if line.endswith(b"\n") else math.inf
    except ValueError:
        return math.inf
