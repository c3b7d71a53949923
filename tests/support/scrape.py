"""Trains on a Ray of its own that collects metrics, kills a worker meanwhile, and prints the result and what Prometheus
would read then, as JSON: python -m tests.support.scrape DATA RUN"""

import json
import os
import signal
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

from ddmlp.config import TrainConfig
from ddmlp.ray_backend.cluster import Cluster, connect
from ddmlp.ray_backend.prometheus import RayMetrics
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from tests.support.processes import actors

SECONDS = 30  # until what is counted must be seen
# All that can be shown, under another name, because no run has all of it.
QUEUE = {"depth": 1, "high_water": 2, "blocked_seconds": 3.0}
EVENTS = [
    {"event": "start", "step": 0},
    {"event": "progress", "queues": {"units": QUEUE, "gradients": QUEUE}, "wait_seconds": 4.0, "reissued": 5},
    {"event": "epoch", "test_error": 0.5},
    {"event": "checkpoint", "seconds": 0.03},
]


def train(job: Job, cluster: Cluster) -> Report:
    """Train to the end, killing one worker on the way."""
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
    """What the metrics endpoint of the node shows."""
    (node,) = cluster.ray.nodes()
    with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") as page:
        text: str = page.read().decode()
    return text


def main() -> None:
    data, run = map(Path, sys.argv[1:])
    run.mkdir()
    config = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=30)
    cluster = connect("local")
    try:
        report = train(Job(config, data, run, 2, checkpoint_every=1000), cluster)
        RayMetrics("everything").show(replace(report, trained=1, events=EVENTS), {"worker": 1, "server": 1})
        deadline = time.monotonic() + SECONDS
        while 'run="everything"' not in (text := scrape(cluster)) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        cluster.leave()
    print(json.dumps({"result": report.result, "text": text}))


if __name__ == "__main__":
    main()
