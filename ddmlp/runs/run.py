"""A run: a folder with the configuration, the metrics, the checkpoints, the model and the result."""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from ddmlp.config import TrainConfig, flag
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError, RunError
from ddmlp.files import naming, write_whole
from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import Checkpoints, save_arrays

WRITER_SECONDS = 30


@dataclass(frozen=True)
class Origin:
    """What a run is a function of: the configuration, and the dataset by its path and its fingerprint."""

    config: TrainConfig
    data: Path
    dataset_sha256: str

    @classmethod
    def from_manifest(cls, config: TrainConfig, data: Path, train: Manifest) -> "Origin":
        """What a run with these settings on the dataset `data`/train is a function of; train: its manifest."""
        return cls(config, data, train.identity(growing=config.follow))

    @property
    def fixed(self) -> dict[str, Any]:
        """What the result is a function of: the configuration and the data, wherever they lie."""
        return {"config": self.config.as_dict(), "dataset_sha256": self.dataset_sha256}


class Run:
    """The folder of a run.

    config.json     what the run is a function of: settings, data, dataset_sha256
    metrics.jsonl   a line for each event: start, progress, epoch, checkpoint
    chain.jsonl     a line for each checkpoint, see Chain
    updates.txt     a line for each update, see UpdateLog; where their order is not the plan's
    checkpoints/    the newest few
    data/           what came as a stream, as a dataset
    tensorboard/    event files, where they were asked for
    model.npz       W1 and W2, once the run, or its --stop-after, has ended
    result.json     the result, likewise
    report.html     a page about it, once it has ended
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.chain = path / "chain.jsonl"
        self.updates = path / "updates.txt"
        self.spool = path / "data"
        self._lock = filelock.FileLock(path / ".lock")
        self._writing = filelock.FileLock(path / ".writing")

    def __enter__(self) -> "Run":
        """Hold the run, so that no second process works on it; raises RunError where one does."""
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
                if self._made:
                    self.path.rmdir()

    def begin_writing(self) -> None:
        """Hold the checkpoints and what goes with them. Waits for a server that was given up, and may not have ended
        yet; raises RunError where it does not end within a bound."""
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
        """Raise RunError where the folder holds a run already."""
        if self.exists:
            raise RunError(f"{self.path} holds a run already; go on with it by --resume, or choose another --run")

    def create(self, origin: Origin) -> None:
        """Begin the run; raises RunError where the folder holds one already."""
        self.refuse_old()
        about = {**origin.config.as_dict(), "data": str(origin.data), "dataset_sha256": origin.dataset_sha256}
        write_whole(self.path / "config.json", json.dumps(about, indent=1) + "\n")

    def origin(self) -> Origin:
        """What the run is a function of, from config.json; raises RunError where there is no run."""
        path = self.path / "config.json"
        try:
            about = json.loads(path.read_bytes())
            settings = {name: about[name] for name in TrainConfig.names()}
            if type(about["dataset_sha256"]) is not str:
                raise ValueError("its dataset_sha256 is no text")
            return Origin(TrainConfig(**settings), Path(about["data"]), about["dataset_sha256"])
        except FileNotFoundError:
            raise RunError(
                f"{self.path} holds no run: it has no config.json; training without --resume begins one"
            ) from None
        except KeyError as error:
            raise RunError(f"{path} has no {error}: it is damaged, or another version of ddmlp wrote it") from None
        except (ValueError, TypeError, RecursionError, ConfigError) as error:
            raise RunError(f"{path} is damaged: {error}") from None

    def check(self, asked: Origin) -> None:
        """Raise RunError where going on with `asked` would give another result than the run was begun for."""
        begun = self.origin()
        for name in TrainConfig.names():
            was, now = getattr(begun.config, name), getattr(asked.config, name)
            if was != now:
                raise RunError(f"{self.path} was begun with {flag(name)} {was}; it cannot be resumed with {now}")
        if begun.dataset_sha256 != asked.dataset_sha256:
            raise RunError(
                f"{self.path} was begun on the dataset {begun.dataset_sha256[:16]}... ({begun.data}); "
                f"{asked.data} holds another: {asked.dataset_sha256[:16]}..."
            )

    def record(self, events: Iterable[dict[str, Any]]) -> None:
        """Append events to metrics.jsonl. A start takes back what lies past its step: it will happen again."""
        path = self.path / "metrics.jsonl"
        for event in events:
            if event["event"] == "start":
                self._rewind(event["step"])
            with naming(path), path.open("a") as file:
                file.write(json.dumps(event) + "\n")

    def _rewind(self, step: int) -> None:
        """Drop from metrics.jsonl what lies past `step`, and lines that a crash has damaged."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(errors="replace").splitlines(keepends=True)
            write_whole(path, "".join(line for line in lines if _step(line) <= step))

    def write_model(self, weights: Weights) -> None:
        save_arrays(self.path / "model.npz", weights)

    def write_result(self, result: dict[str, Any]) -> None:
        write_whole(self.path / "result.json", json.dumps(result, indent=1) + "\n")

    def result(self) -> dict[str, Any] | None:
        """The result, or None where the run has not come to one."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            if type(found) is not dict:
                raise ValueError("it is no JSON object")
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is damaged: {error}; remove it to go on from the last checkpoint") from None
        return found


def _step(line: str) -> float:
    """The step of a line of metrics; infinity where the line is damaged."""
    try:
        step = json.loads(line)["step"] if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError, RecursionError):
        step = None
    return step if type(step) is int else math.inf
