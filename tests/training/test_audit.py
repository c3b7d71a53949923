"""A recorded run: its contents, the start of a recomputation, and files that disagree.

tests/cli/test_verify.py tests the command's message for each changed file.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DatasetError, RunError
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.run import Run
from ddmlp.training.audit import RecordedRun
from ddmlp.training.setup import build_trainer
from tests.support import runs
from tests.support.local import CONFIG

POSITIONS = [0, 10, 20, 27, 30, 40, 50, 54]  # of all checkpoints; the last three are kept


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Tests must not change it."""
    path = tmp_path_factory.mktemp("audit") / "run"
    runs.begin(path, CONFIG, data)
    runs.train(build_trainer(runs.job(data, path, 0, CONFIG)), path)
    return path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run that the test may change."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_simple(whole: Path):
    recorded, result = RecordedRun(whole), Run(whole).result()
    assert recorded.steps == POSITIONS
    assert sorted(recorded.checkpoints) == [40, 50, 54]
    assert (recorded.entries[-1].digest, recorded.entries[-1].weights_sha256) == (result.chain, result.weights_sha256)
    assert recorded.checkpoints[54].weights.sha256() == result.weights_sha256


def test_lock_is_released(whole: Path):
    RecordedRun(whole)
    with Run(whole):
        pass


def test_run_in_use(whole: Path):
    with Run(whole), pytest.raises(RunError, match="in use"):
        RecordedRun(whole)


@pytest.mark.parametrize(("first", "start"), [(0, 0), (30, 0), (40, 40), (49, 40), (54, 54)])
def test_recomputation_start(first: int, start: int, whole: Path):
    """A recomputation starts at the newest kept checkpoint at or before the first step."""
    recorded = RecordedRun(whole)
    redone = recorded.recomputation(recorded.open_dataset(None), first, 54)
    assert redone.step == start
    (entry,) = [entry for entry in recorded.entries if entry.step == start]
    assert redone.weights.sha256() == entry.weights_sha256


def test_first_difference(whole: Path):
    recorded, shown = RecordedRun(whole), []
    dataset = recorded.open_dataset(None)
    redone = recorded.recomputation(dataset, 40, 54)
    assert recorded.first_difference(redone, 54, lambda *of: shown.append(of)) is None
    assert shown == sorted(shown)
    assert shown[-1] == (14, 14)
    recorded.entries = [structs.replace(entry, weights_sha256="f" * 64) for entry in recorded.entries]
    redone = recorded.recomputation(dataset, 0, 54)
    redone.advance(1, lambda _: None)
    assert recorded.first_difference(redone, 54, lambda *_: None) is recorded.entries[1]
    assert redone.step == 10, "it stopped there"


def contradicted(run: Path, name: str, *words: str) -> None:
    """Assert that the run is refused, and that the message names the file."""
    with pytest.raises(RunError) as caught:
        RecordedRun(run)
    for word in (str(run / name), *words):
        assert word in str(caught.value)


def test_chain_without_start(run: Path):
    chain = HashChain(run / "chain.jsonl", Run(run).origin().fixed)
    entries = chain.entries()
    chain.path.unlink()
    chain.rewind(0, None)
    for entry in entries[1:]:
        chain.append(entry.step, entry.weights_sha256)
    contradicted(run, "chain.jsonl", "step 0")


def test_result_of_another_chain(run: Path):
    result = json.loads((run / "result.json").read_bytes())
    (run / "result.json").write_text(json.dumps(result | {"chain": "f" * 64}))
    contradicted(run, "result.json", str(run / "chain.jsonl"))


@pytest.mark.parametrize("step", [31, 40])
def test_another_step(step: int, run: Path):
    """The checkpoint has the weights of step 50, but the chain has no such position, or other weights there."""
    found = load_checkpoint(run / "checkpoints" / "step-000000000050.npz")
    path = Run(run).checkpoints.save(Checkpoint(found.weights, step, found.header), keep=10)
    contradicted(run, f"checkpoints/{path.name}", f"step {step}")


def test_another_history(run: Path):
    path = run / "checkpoints" / "step-000000000050.npz"
    found = load_checkpoint(path)
    Run(run).checkpoints.save(replace(found, header=structs.replace(found.header, chain="f" * 64)))
    contradicted(run, "checkpoints/step-000000000050.npz", "step 50")


def test_unfinished_run(run: Path):
    for name in ("result.json", "model.npz"):
        (run / name).unlink()
    assert RecordedRun(run).steps == POSITIONS


def test_dataset(run: Path, data: Path, tmp_path: Path):
    recorded = RecordedRun(run)
    assert recorded.open_dataset(None).path == data / "train"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train").symlink_to(data / "test")
    with pytest.raises(RunError) as caught:
        recorded.open_dataset(tmp_path / "other")
    assert str(tmp_path / "other" / "train") in str(caught.value)
    assert str(run) in str(caught.value)


def test_dataset_is_verified(whole: Path, data: Path, tmp_path: Path):
    copy = Path(shutil.copytree(data / "train", tmp_path / "train"))
    shard = copy / Manifest.read(copy).shards[1].file
    content = bytearray(shard.read_bytes())
    content[-5_000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match=shard.name):
        RecordedRun(whole).open_dataset(tmp_path)
