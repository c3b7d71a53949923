"""Trains on a local Ray cluster that collects metrics, and kills a worker: python -m tests.support.scrape DATA RUN

Prints the result, and the metrics that Prometheus would read, as JSON.
"""

import json
import os
import signal
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import msgspec

from ddmlp.config import TrainConfig
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import Cluster, connect
from ddmlp.ray_backend.prometheus import RayMetrics
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.runs.events import Drift, Epoch, Queue, Queues, Saved, Started
from ddmlp.runs.lag import Lag
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from tests.support.events import progress
from tests.support.processes import actors

SECONDS = 30  # timeout for the export of metrics
# One event of every kind, under another run name, because no run has all of them.
EVENTS = [
    Started(0, []),
    progress(1, queues=Queues(*[Queue(1, 2, 3.0)] * 2), waited=4.0, reissued=5),
    Epoch(step=1, epoch=1, error=0.5, cross_entropy=1.0, rows=10, seconds=1.0),
    Saved(1, 0.03, "c" * 64),
    Drift(step=1, rows=10, before=0.1, after=0.5),
]
LAG = Lag(messages=3, rows=35, seconds=2.5)


def train(job: Job, cluster: Cluster) -> Report:
    """Train to the end, and kill one worker meanwhile."""
    trainer = RayTrainer(job, cluster)
    killed = False
    try:
        while (report := trainer.advance(0.2)).result is None:
            if not killed:
                os.kill(actors(b"ray::WorkerActor")[0], signal.SIGKILL)
                killed = True
    finally:
        trainer.close()
    return report


def scrape(cluster: Cluster) -> str:
    """Return ddmlp's lines of the node's metrics endpoint."""
    (node,) = cluster.ray.nodes()
    with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") as page:
        lines = page.read().decode().splitlines(keepends=True)
    return "".join(line for line in lines if "ray_ddmlp_" in line)


def main() -> None:
    data, run = map(Path, sys.argv[1:])
    run.mkdir()
    config = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=30)
    cluster, text = connect(choose("local")), ""
    try:
        report = train(Job(config, data, run, 2, checkpoint_every=1000), cluster)
        # A report may be exported in two parts. Reports are exported in order, so when the last one is visible, all of
        # the first is.
        for name in ("everything", "more", "last"):
            RayMetrics(name).show(replace(report, trained=1, events=EVENTS), {"worker": 1, "server": 1}, LAG)
            deadline = time.monotonic() + SECONDS
            while f'run="{name}"' not in text and time.monotonic() < deadline:
                text += scrape(cluster)  # a gauge is exported once
                time.sleep(0.1)
    finally:
        cluster.leave()
    print(json.dumps({"result": msgspec.to_builtins(report.result, str_keys=True), "text": text}))


if __name__ == "__main__":
    main()
