"""The shards that a run was trained on: the data must still begin with them."""

from dataclasses import replace

import pytest
from msgspec import structs

from ddmlp.data.manifest import Manifest, Shard
from ddmlp.errors import RunError
from ddmlp.runs.checkpoint_manager import check_trained_on, covering, trained_on
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from tests.support.delays import manager_of

SHARDS = [Shard(f"{place}.arrow", rows, 100, f"{place}" * 64) for place, rows in enumerate([5, 7, 3])]


def manifest_of(*shards: Shard, ended: bool = False) -> Manifest:
    return Manifest(sum(shard.rows for shard in shards), (2, 2), 10, 5, shards, ended)


@pytest.mark.parametrize(("rows", "shards"), [(0, 0), (1, 1), (5, 1), (6, 2), (12, 2), (13, 3), (15, 3)])
def test_covering(rows: int, shards: int):
    assert covering(manifest_of(*SHARDS), rows) == shards
    assert trained_on(manifest_of(*SHARDS), rows).shards == shards


def test_trained_on(job: Job):
    run, start = Run(job.run), manager_of(job).start
    for rows in range(16):
        header = structs.replace(start.header, data=trained_on(manifest_of(*SHARDS), rows))
        checkpoint = replace(start, header=header)
        shards = covering(manifest_of(*SHARDS), rows)
        other = Shard("other", 7, 100, "a" * 64)
        for now in ([*SHARDS], [*SHARDS, other], [*SHARDS[:2], other], SHARDS[:1], [other, *SHARDS[1:]]):
            if now[:shards] == SHARDS[:shards]:
                check_trained_on(checkpoint, manifest_of(*now, ended=True), run)
                continue
            with pytest.raises(RunError, match=rf"\b{shards} shards .*/run "):
                check_trained_on(checkpoint, manifest_of(*now), run)


def test_no_record(job: Job):
    with pytest.raises(RunError, match="/checkpoints "):
        check_trained_on(manager_of(job).start, manifest_of(*SHARDS), Run(job.run))
