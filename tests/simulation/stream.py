"""A dataset that grows during a simulation."""

import os
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from tests.simulation.scheduler import Scheduler

NEAR, FAR = "near", "far"  # the folders of the driver's host, and of the others
LONGEST = 0.5  # seconds between two publications, and until they are visible on other hosts


class Stream:
    """Copies of a dataset on the driver's host and on the others, which get its shards one after another."""

    def __init__(self, complete: Dataset, folder: Path, scheduler: Scheduler) -> None:
        """Publish the first shard everywhere. complete: the whole dataset; folder: for the copies."""
        self._complete, self._scheduler = complete, scheduler
        self.near, self.far = folder / NEAR, folder / FAR
        for place in (self.near, self.far):
            (place / "train").mkdir(parents=True)
            self._show(place, complete.manifest.prefix(1))

    def run(self) -> None:
        """Publish the rest, some shards at a time, and then mark the dataset as complete."""
        scheduler, manifest = self._scheduler, self._complete.manifest
        draw, shards = scheduler.draw, 1
        while shards < len(manifest.shards):
            scheduler.wait(draw.random() * LONGEST)
            shards = min(shards + draw.randint(1, 3), len(manifest.shards))
            self._publish(manifest.prefix(shards))
        scheduler.wait(draw.choice((0.0, LONGEST)))
        self._publish(manifest)

    def opened(self, *, far: bool) -> Dataset:
        """The dataset as it is now on the driver's host, or on others."""
        return Dataset((self.far if far else self.near) / "train")

    def _publish(self, manifest: Manifest) -> None:
        self._show(self.near, manifest)
        self._scheduler.wait(self._scheduler.draw.choice((0.0, LONGEST)))
        self._show(self.far, manifest)

    def _show(self, place: Path, manifest: Manifest) -> None:
        folder = place / "train"
        for shard in manifest.shards:
            if not (folder / shard.file).exists():
                os.link(self._complete.path / shard.file, folder / shard.file)
        manifest.write(folder)
