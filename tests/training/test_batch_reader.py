"""Reading: each microbatch and step has the rows of the plan, however many are read at once."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import row_hash_sum
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training import batch_reader
from ddmlp.training.batch_reader import BatchReader

ROWS, LOT = 150, 64


class Counting(Dataset):
    """Counts the reads."""

    reads = 0

    def locate(self, rows):
        self.reads += 1
        return super().locate(rows)


@pytest.fixture(scope="module", autouse=True)
def lot():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_reader, "LOT", LOT)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A dataset in which pixel and label of row i are i."""
    path = tmp_path_factory.mktemp("reader") / "train"
    with DatasetWriter(path, (1, 1), ROWS, shard_rows=40) as writer:
        writer.append(np.arange(ROWS, dtype=np.uint8).reshape(-1, 1, 1), np.arange(ROWS, dtype=np.uint8))
    return path


def plan_of(batch, microbatch, rows=ROWS, stream=False, ended=True):
    kind = StreamPlan if stream else Plan
    return kind(rows, batch, microbatch, epochs=2, seed=3, block=10, window=ROWS, ended=ended)


def check(reading, plan, step, index=0, count=1):
    """Read `count` microbatches of a step, from `index` on, and compare them with the plan."""
    due = step_rows(plan, step)[index * plan.microbatch : (index + count) * plan.microbatch]
    found = reading.read(plan, step, index * plan.microbatch, count * plan.microbatch)
    assert found.labels.tolist() == pixels_of(found) == due.tolist() != []
    assert found.bounds.tolist() == [0, len(due)]
    assert found.fingerprints == [row_hash_sum(due)]


def check_steps(reading, plan, step, most):
    """Read at most `most` steps from `step` on, and compare them with the plan; returns how many were read."""
    found = reading.read_steps(plan, step, most)
    count = len(found.fingerprints)
    assert 1 <= count <= most
    due = [step_rows(plan, each) for each in range(step, step + count)]
    assert found.labels.tolist() == pixels_of(found) == np.concatenate(due).tolist()
    assert found.bounds.tolist() == [0, *np.cumsum([len(rows) for rows in due])]
    assert found.fingerprints == [row_hash_sum(rows) for rows in due]
    return count


def pixels_of(found):
    """The single pixel of each row."""
    return [ctypes.c_uint8.from_address(address).value for address in found.addresses.tolist()]


def step_rows(plan, step):
    """All rows of a step."""
    rows = plan.rows_from(step, 0, plan.batch)
    assert len(rows) == plan.rows_before(step + 1) - plan.rows_before(step)
    return rows


@given(
    batch=st.integers(1, 2 * LOT),
    microbatch=st.integers(1, 2 * LOT),
    stream=st.booleans(),
    draw=st.data(),
)
def test_microbatches_any_order(path, batch, microbatch, stream, draw):
    plan = plan_of(batch, microbatch, stream=stream)
    places = [(step, index) for step in range(plan.steps) for index in range(plan.microbatches(step))]
    start = draw.draw(st.integers(0, len(places) - 1))
    some = places[start : start + 20] + draw.draw(st.lists(st.sampled_from(places), max_size=10))
    reading = BatchReader(Dataset(path))
    for place in some:
        check(reading, plan, *place, count=draw.draw(st.integers(1, 5)))


@given(batch=st.integers(1, 2 * LOT), stream=st.booleans(), draw=st.data())
def test_steps_any_order(path, batch, stream, draw):
    """Reads of whole steps may be mixed with reads of parts."""
    plan = plan_of(batch, 5, stream=stream)
    reading, steps = BatchReader(Dataset(path)), st.integers(0, plan.steps - 1)
    for step in draw.draw(st.lists(steps, min_size=1, max_size=10)):
        check_steps(reading, plan, step, draw.draw(st.integers(1, 2 * LOT)))
        if draw.draw(st.booleans()):
            check(reading, plan, draw.draw(steps))


@pytest.mark.parametrize("batch", [7, 100])
def test_rest_of_a_step(path, batch):
    plan, reading = plan_of(batch, 3), BatchReader(Dataset(path))
    for step in range(plan.steps):
        for begin in (0, 2):
            assert reading.read(plan, step, begin).labels.tolist() == step_rows(plan, step)[begin:].tolist()


@pytest.mark.parametrize(
    ("batch", "counts", "reads"),
    [
        (1, [64, 64, 22], 3),  # a whole lot, or the rest of the epoch
        (7, [9, 9, 3, 1], 3),  # 63 rows per lot; the short step comes alone, and was located with those before it
        (32, [2, 2, 1], 3),
        (33, [1] * 5, 5),  # too large for a lot
        (128, [1] * 2, 2),
    ],
)
def test_steps_at_a_time(path, batch, counts, reads):
    plan, dataset = plan_of(batch, batch), Counting(path)
    reading, step = BatchReader(dataset), 0
    for expected in 2 * counts:
        assert check_steps(reading, plan, step, 10**9) == expected
        step += expected
    assert step == plan.steps
    assert dataset.reads == 2 * reads


def test_located_rows_are_kept(path):
    plan, dataset = plan_of(4, 4), Counting(path)
    reading = BatchReader(dataset)
    assert [check_steps(reading, plan, step, most) for step, most in [(0, 3), (3, 1), (4, 99)]] == [3, 1, 12]
    assert dataset.reads == 1


def test_known_steps(path):
    """The steps of a stream are whole, except the last one once the stream has ended."""
    reading, step = BatchReader(Dataset(path)), 0
    for known, count in [(11, 2), (12, 1), (23, 2), (40, 5)]:
        plan = plan_of(4, 4, known, stream=True, ended=False)
        assert check_steps(reading, plan, step, 99) == count
        step += count
        assert step == plan.steps
    plan = plan_of(4, 4, ROWS, stream=True)
    assert [check_steps(reading, plan, each, 99) for each in (10, 32, 37)] == [16, 5, 1]


@pytest.mark.parametrize(("batch", "reads"), [(1, 6), (7, 6), (32, 6), (33, 10)])
def test_reads_per_lot(path, batch, reads):
    plan, dataset = plan_of(batch, batch), Counting(path)
    reading = BatchReader(dataset)
    for step in range(plan.steps):
        check(reading, plan, step)
    assert dataset.reads == reads


def test_rows_that_arrive_later(path):
    reading = BatchReader(Dataset(path))
    for known in (10, 11, 12, 40, ROWS):
        plan = plan_of(4, 4, known, stream=True, ended=known == ROWS)
        for step in range(plan.steps):
            check(reading, plan, step)
    assert len(reading.read(plan, plan.steps - 1).labels) == 2, "the last step has the remaining rows"


def test_failed_read(path, monkeypatch):
    """After a failed read, earlier rows are not mistaken for those of the failed step."""
    reading, plan = BatchReader(Dataset(path)), plan_of(20, 20)
    check(reading, plan, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "locate", lambda *_: (_ for _ in ()).throw(DatasetError("a shard is gone")))
        with pytest.raises(DatasetError, match="a shard is gone"):
            reading.read(plan, 5)
    check(reading, plan, 5)
