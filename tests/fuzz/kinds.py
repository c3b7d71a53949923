"""Every kind of file and message that ddmlp reads."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx, write_idx
from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import RunError
from ddmlp.inference.saved_model import load_model, load_weights
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Update
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.json_text import to_json
from ddmlp.runs.origin import Origin
from ddmlp.runs.records import Records
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from tests.fuzz.encrypted import encrypted
from tests.fuzz.kind import Kind, Meaning, of_file
from tests.fuzz.messages import frames, requests
from tests.fuzz.mutations import BYTES, JSON
from tests.fuzz.payloads import payloads
from tests.fuzz.sources import sources
from tests.fuzz.verified import verified
from tests.support.checkpoints import some
from tests.support.events import progress, result
from tests.support.manifests import POSITION
from tests.support.streams import Sent, batch, stream


def kinds(folder: Path) -> Iterator[Kind]:
    """Yield all kinds; files are written to and read from the folder."""
    yield from _data(folder)
    yield from sources(folder / "sources")
    yield from _run(folder / "run")
    yield from _weights(folder)
    yield from verified(folder / "verified")
    yield from requests()
    yield from frames()
    yield from payloads()
    yield from encrypted()


def _data(folder: Path) -> Iterator[Kind]:
    draw = np.random.default_rng(0)
    pixels, labels = draw.integers(0, 256, (40, 3, 2), np.uint8), draw.integers(0, 10, 40, np.uint8)
    with DatasetWriter(folder / "data", (3, 2), 10, shard_rows=40) as writer:
        writer.append(pixels, labels)
    manifest = Manifest.read(folder / "data")
    text, (shard,) = (folder / "data" / "dataset.json").read_bytes(), manifest.shards

    def rows() -> Meaning:
        dataset = Dataset(folder / "data")
        dataset.verify()
        return [each.tobytes() for each in dataset.gather(np.arange(40))]

    def manifest_of() -> Meaning:
        found = Manifest.read(folder / "data")
        return found.sha256(), found.pixels, found.ended, found.position

    replace(manifest, position=POSITION).write(folder / "data")
    streamed = (folder / "data" / "dataset.json").read_bytes()
    yield Kind("dataset.json", [text, streamed], of_file(folder / "data" / "dataset.json", manifest_of), JSON)
    path = folder / "data" / shard.file

    def whole(content: bytes) -> Meaning:
        (folder / "data" / "dataset.json").write_bytes(text)
        return of_file(path, rows)(content)

    yield Kind("shard", [path.read_bytes()], whole, sealed=True)

    def adapted(content: bytes) -> Meaning:
        (folder / "data" / "dataset.json").write_bytes(
            text.replace(shard.sha256.encode(), hashlib.sha256(content).hexdigest().encode()).replace(
                f'"bytes": {shard.bytes}'.encode(), f'"bytes": {max(1, len(content))}'.encode()
            )
        )
        return of_file(path, rows)(content)

    yield Kind("shard with matching hash", [path.read_bytes()], adapted)
    idx = folder / "images"

    def idx_of(array: np.ndarray, compress: bool) -> bytes:
        write_idx(idx, array, compress=compress)
        return idx.read_bytes()

    def image_file() -> Meaning:
        found = read_idx(idx)
        return found.shape, found.tobytes()

    for name, compress in (("IDX", False), ("IDX, gzip", True)):
        good = [idx_of(pixels, compress), idx_of(labels, compress)]
        yield Kind(name, good, of_file(idx, image_file), sealed=compress)
    yield Kind("Arrow stream", [stream(batch(5), batch(3, 5)), stream(batch(4), compression="zstd")], _stream)


def _stream(content: bytes) -> Meaning:
    found = list(read_stream(Sent(content), "stream", 10))
    return [(rows.pixels.tobytes(), rows.labels.tobytes()) for rows in found]


def _run(folder: Path) -> Iterator[Kind]:
    run = Run(folder)
    folder.mkdir()
    origin = Origin(TrainConfig(hidden=4, staleness="inf"), Path("/data"), "a" * 64)
    run.create(origin)
    config = folder / "config.json"
    yield Kind("config.json", [config.read_bytes()], of_file(config, lambda: Run(folder).origin()), JSON)
    run.record([*(progress(step) for step in range(1, 5))])

    def metrics() -> Meaning:
        found = Records.read(folder / "metrics.jsonl")
        read = found.lines, found.staleness(), [*found.neighbours()], found.sessions(), found.epochs, found.saved
        if found.damaged:
            raise RunError("a line is damaged")
        for line in found.lines:
            msgspec.json.encode(line)
        return repr(read)

    lines = (folder / "metrics.jsonl").read_bytes()
    yield Kind("metrics.jsonl", [lines], of_file(folder / "metrics.jsonl", metrics), JSON)
    chain = HashChain(run.chain, origin.fixed)
    chain.rewind(0, None)
    for step in range(5):
        chain.append(step, f"{step:064x}")

    def entries() -> Meaning:
        return HashChain(run.chain, origin.fixed).entries()

    def shorter(found: Meaning, good: Meaning) -> bool:
        """A lost end is acceptable: the result and every checkpoint have the digest of the last entry."""
        return bool(found == good[: len(found)])

    yield Kind("chain.jsonl", [run.chain.read_bytes()], of_file(run.chain, entries), JSON, sealed=True, allowed=shorter)
    log = UpdateLog(run.updates)
    for update in (Update(1, 0), Update(0, 0), Update(2, 1), Update(3, 3)):
        log.append(update)
    log.commit()
    yield Kind(
        "updates.txt", [run.updates.read_bytes()], of_file(run.updates, lambda: UpdateLog(run.updates).load(4).tolist())
    )
    run.write_model(Weights.draw(Shape(784, 4, 10), 0))

    def outcome() -> Meaning:
        msgspec.json.encode(found := run.result())
        return found, load_model(folder).image_shape

    good = (to_json(result(test_error=0.1, test_cross_entropy=0.5, test_rows=10), indent=1) + "\n").encode()
    yield Kind("result.json", [good], of_file(folder / "result.json", outcome), JSON)


def _weights(folder: Path) -> Iterator[Kind]:
    path = folder / "model.npz"
    np.savez(path, W1=np.ones((6, 4), np.float32), W2=np.ones((4, 3), np.float32))
    good = path.read_bytes()

    def model() -> Meaning:
        return load_weights(path).sha256()

    yield Kind("model.npz", [good], of_file(path, model), sealed=True)
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.read(name) for name in ("W1.npy", "W2.npy"))

    def adapted(content: bytes) -> Meaning:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("W1.npy", content)
            archive.writestr("W2.npy", second)
        return model()

    yield Kind("model.npz with matching CRC", [first], adapted, (*BYTES, *JSON[-2:]))
    saved = folder / "step.npz"
    state = {"velocity": np.zeros(3), "steps": np.array(3)}
    save_checkpoint(saved, Checkpoint(some(1).weights, 7, some(1).header, (some(2).weights,), state))

    def checkpoint() -> Meaning:
        found = load_checkpoint(saved)
        hashes = [each.sha256() for each in (found.weights, *found.earlier)]
        return hashes, found.step, found.header, {name: array.tobytes() for name, array in found.state.items()}

    yield Kind("checkpoint", [saved.read_bytes()], of_file(saved, checkpoint), sealed=True)
