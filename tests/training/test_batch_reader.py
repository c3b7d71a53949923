"""Reading: the rows of every microbatch are those of the plan, however many are read in one go."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import row_hash_sum
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training import batch_reader
from ddmlp.training.batch_reader import BatchReader
from tests.support.units import microbatch_rows

ROWS, LOT = 150, 64


class Counting(Dataset):
    """Counts how often it is read."""

    reads = 0

    def gather(self, rows):
        self.reads += 1
        return super().gather(rows)


@pytest.fixture(scope="module", autouse=True)
def lot():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_reader, "LOT", LOT)
        patch.setattr(batch_reader, "MAX_LOT_BATCH", LOT // 2)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Row i is i, as pixel and as label."""
    path = tmp_path_factory.mktemp("reader") / "train"
    with DatasetWriter(path, (1, 1), ROWS, shard_rows=40) as writer:
        writer.append(np.arange(ROWS, dtype=np.uint8).reshape(-1, 1, 1), np.arange(ROWS, dtype=np.uint8))
    return path


def plan_of(batch, microbatch, rows=ROWS, stream=False, ended=True):
    kind = StreamPlan if stream else Plan
    return kind(rows, batch, microbatch, epochs=2, seed=3, block=10, window=ROWS, ended=ended)


def check(reading, plan, step, index):
    due = microbatch_rows(plan, step, index)
    found = reading.read(plan, step, index)
    assert found.labels.tolist() == found.pixels[:, 0].tolist() == due.tolist() != []
    assert found.fingerprints == row_hash_sum(due)


@given(
    batch=st.integers(1, 2 * LOT),
    microbatch=st.integers(1, 2 * LOT),
    stream=st.booleans(),
    draw=st.data(),
)
def test_any_microbatches_in_any_order(path, batch, microbatch, stream, draw):
    plan = plan_of(batch, microbatch, stream=stream)
    places = [(step, index) for step in range(plan.steps) for index in range(plan.microbatches(step))]
    start = draw.draw(st.integers(0, len(places) - 1))
    some = places[start : start + 20] + draw.draw(st.lists(st.sampled_from(places), max_size=10))
    reading = BatchReader(Dataset(path))
    for place in some:
        check(reading, plan, *place)


@pytest.mark.parametrize(("batch", "reads"), [(1, 6), (7, 8), (32, 6), (33, 10)])
def test_small_steps_are_read_in_one_go(path, batch, reads):
    plan, dataset = plan_of(batch, batch), Counting(path)
    reading = BatchReader(dataset)
    for step in range(plan.steps):
        check(reading, plan, step, 0)
    assert dataset.reads == reads


def test_rows_that_come_later_are_read_later(path):
    reading = BatchReader(Dataset(path))
    for known in (10, 11, 12, 40, ROWS):
        plan = plan_of(4, 4, known, stream=True, ended=known == ROWS)
        for step in range(plan.steps):
            check(reading, plan, step, 0)
    assert len(reading.read(plan, plan.steps - 1, 0).labels) == 2, "the last step, of what is left"
