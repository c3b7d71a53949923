"""Streams of brokers: everything is killed while the rows flow, and the network between run and broker is cut."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import ddmlp
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.run import Run
from tests.support.broker import images
from tests.support.brokers import running
from tests.support.cut_link import HERE, link_up
from tests.support.followed import BATCH, FLAGS
from tests.support.killed_streams import train_killed
from tests.support.producer import CHUNK, Producer
from tests.support.runs import Row, weights_of
from tests.support.stream_run import StreamRun

ROWS, KILLS, WORKERS = 60_000, 20, 2
VICTIMS = {  # in words
    "broker": "{0} {1} while a run reads its stream",
    "command": "command {1}, which reads a stream from {0}",
    "server": "server {1}, trained on a stream from {0}",
    "worker": "worker {1}, trained on a stream from {0}",
}
SETTINGS = {"hidden": 20, "batch": BATCH, "microbatch": 32, "follow": True}  # those of FLAGS
AHEAD = ["--spool-bytes", str(1_000 * 784)]  # rows that wait for training, so that all processes work at the same time
BRIEF = 10.0  # seconds of a cut
NOTICED = 180.0  # seconds, at most, until a run ends because of a cut


class Rows:
    """The rows that are sent, as messages, and the weights that they give."""

    def __init__(self, data: Path, folder: Path, number: int) -> None:
        train = Dataset(data / "train")
        self._flat, self._labels = train.gather(np.arange(number) % len(train))
        pixels = self._flat.reshape(number, *train.manifest.image_shape)
        self.messages = images(pixels, self._labels)
        with DatasetWriter(folder / "file" / "train", train.manifest.image_shape, 10) as writer:
            writer.append(pixels, self._labels)
            writer.end()
        self._weights = ddmlp.fit(folder / "file", run=folder / "alone", progress=False, **SETTINGS).weights_sha256

    def once(self, run: Path) -> bool:
        """Whether a run has each row once, in order, and the weights of a run on a file with these rows."""
        stored = Dataset(run / "data" / "train", verify=True)
        if len(stored) != len(self.messages):
            return False
        flat, labels = stored.gather(np.arange(len(stored)))
        same = np.array_equal(flat, self._flat) and np.array_equal(labels, self._labels)
        return bool(same and weights_of(run) == self._weights)


def sources(data: Path, folder: Path, kind: str, seed: int, number: int = ROWS, kills: int = KILLS) -> Iterator[Row]:
    """Train on the stream of a kind of broker, under kills and under cuts."""
    folder.mkdir()
    rows = Rows(data, folder, number)
    yield from killed(rows, folder / "killed", kind, seed, kills)
    yield from cut(rows, folder / "cut", kind)


def killed(rows: Rows, folder: Path, kind: str, seed: int, kills: int) -> Iterator[Row]:
    """Kill the broker and each process of a run on Ray, all in one run."""
    (folder / "server").mkdir(parents=True)
    path, victims = folder / "run", [*VICTIMS] * kills
    seconds = 120 + 15 * len(victims) + len(rows.messages) / 100
    with running(kind, folder / "server") as server:
        uri = server.uri("digits", format="raw")
        run = StreamRun(path, uri, FLAGS, AHEAD, workers=WORKERS, seconds=seconds)
        train_killed(server, "digits", rows.messages, run, victims, seed)
        stopped = server.lazy  # by SIGTERM, so that it has on disk what it has acknowledged
    fine = rows.once(path)
    for victim, words in VICTIMS.items():
        count = f"{victims.count(victim)} times"  # each kill that does not strike is an error
        verb = "stopped" if stopped and victim == "broker" else "killed"
        yield Row(words.format(kind, verb), f"{len(rows.messages):,} rows", str(WORKERS), count, fine)


def cut(rows: Rows, folder: Path, kind: str) -> Iterator[Row]:
    """Cut a run off from the broker for a while, and then until it gives up; and continue it."""
    (folder / "server").mkdir(parents=True)
    path, number = folder / "run", len(rows.messages)
    with link_up() as link, running(kind, folder / "server", host=HERE) as server:
        server.send("digits", rows.messages[:CHUNK])
        uri = server.uri("digits", format="raw")
        run = StreamRun(path, uri, FLAGS, AHEAD, before=link.before, seconds=2 * NOTICED + number / 100)
        with Producer(server, "digits", rows.messages).sending(), run.training():
            run.wait_for(number // 4)
            link.cut()
            time.sleep(BRIEF)  # the fault itself
            lost = link.heal()
            run.wait_for(number // 2)
            link.cut()
            began = time.monotonic()
            status = run.process.wait(NOTICED)
            seconds = time.monotonic() - began
            lost_again = link.heal()
            error, *_ = run.errors().splitlines()
            (found, _), published = Run(path).checkpoints.newest(), run.published
            saved = found is not None and found.step == published // BATCH
            run.start()
            run.wait_until(lambda: server.count("digits") == number, f"{number} messages")
        run.finish(number)
    fine, words = rows.once(path), f"{kind} cut off from a run"
    yield Row(f"{words} for {BRIEF:g} s", f"{number:,} rows", "0", f"{int(lost > 0)} of 1", fine)
    ended = status == 1 and saved and error.startswith("error: ")
    when = f"not healed: after {seconds:.0f} s an error and a checkpoint, --resume"
    yield Row(words, when, "0", f"{int(lost_again > 0)} of 1", fine and ended)
