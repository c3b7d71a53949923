"""The trainer on a real Ray: one result for any number of workers, and nothing left behind."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cluster import Cluster, connect, has_token
from ddmlp.config import TrainConfig
from ddmlp.errors import ClusterError, DatasetError
from ddmlp.job import Job
from ddmlp.local import local_trainer
from ddmlp.remote import RemoteTrainer

# Nothing divides evenly: 4,000 rows, steps of 150, the last of 100; microbatches of 32, the last ones of 22 and 4.
CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=2)


def train(trainer: Any) -> dict[str, Any]:
    """Train to the end and let everything go."""
    try:
        while not trainer.advance(0.2).done:
            pass
        found: dict[str, Any] = trainer.finish()
        return found
    finally:
        trainer.close()


def job(data: Path, run: Path, workers: int, **more: Any) -> Job:
    run.mkdir(exist_ok=True)
    return Job(CONFIG, data, run, workers, checkpoint_every=1000, **more)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of the single-process mode."""
    return train(local_trainer(job(data, tmp_path_factory.mktemp("run"), 0)))


def actors(*titles: bytes) -> list[int]:
    """The processes of our actors on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(titles or (b"ray::ServerActor", b"ray::WorkerActor")):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def assert_no_actor_is_left() -> None:
    deadline = time.monotonic() + 20
    while actors() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert actors() == []


def test_simple(cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path):
    trainer = RemoteTrainer(job(data, tmp_path, 2), cluster)
    assert len(actors()) == 3
    found = train(trainer)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["test_error"] == expected["test_error"] < 0.3
    assert_no_actor_is_left()


@pytest.mark.parametrize("workers", [1, 3, 4, 7])
def test_any_number_of_workers_gives_the_hash_of_one_process(
    workers: int, cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path
):
    found = train(RemoteTrainer(job(data, tmp_path, workers), cluster))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert sorted(found["answered"]) == list(range(workers))
    assert min(found["answered"].values()) > 0


def test_a_run_goes_on_in_mid_epoch_with_other_workers(
    cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path
):
    assert train(RemoteTrainer(job(data, tmp_path, 2, stop_after=13), cluster))["steps"] == 13
    assert train(local_trainer(job(data, tmp_path, 0, stop_after=31)))["steps"] == 31
    trainer = RemoteTrainer(job(data, tmp_path, 3), cluster)
    assert trainer.step == 31
    assert train(trainer)["weights_sha256"] == expected["weights_sha256"]


def test_workers_that_find_no_place_are_a_clear_error_within_a_bound(cluster: Cluster, data: Path, tmp_path: Path):
    class Holder:
        def ready(self) -> bool:
            return True

    holder = cluster.ray.remote(Holder).options(num_cpus=cluster.cpus).remote()
    assert cluster.ray.get(holder.ready.remote())
    with pytest.raises(ClusterError, match=r"2 of 2 workers found no place within 1 s.*0 of them free.*--workers"):
        RemoteTrainer(job(data, tmp_path, 2), cluster, place_seconds=1)
    cluster.ray.kill(holder)
    assert_no_actor_is_left()


def test_an_error_in_an_actor_is_ours_again_and_leaves_no_actor(cluster: Cluster, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nowhere/train is no dataset"):
        RemoteTrainer(job(tmp_path / "nowhere", tmp_path / "run", 1), cluster)
    assert_no_actor_is_left()


def test_the_shares_of_the_workers_fit_the_cluster(cluster: Cluster):
    assert cluster.share(1) == 1
    for workers in (3, 4, 7, 100):
        assert 0 < cluster.share(workers) * workers <= max(cluster.cpus, workers)
        assert cluster.share(workers) <= 1


def test_a_ray_of_our_own_listens_on_loopback_only_and_demands_a_token(cluster: Cluster):
    assert cluster.own
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    addresses = listening(descendants(os.getpid()))
    assert len(addresses) >= 3
    assert [address for address in addresses if not address.is_loopback] == []
    command = [sys.executable, "-c", "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)", cluster.address]
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    bounded = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
    assert subprocess.run(command, env={**os.environ, **bounded}, capture_output=True, timeout=60).returncode == 0
    refused = subprocess.run(command, env={**without, **bounded}, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "uthenticat" in refused.stderr or "Failed to connect" in refused.stderr


def test_the_command_attaches_to_a_running_ray_and_shares_its_cpus(
    cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path
):
    workers = int(cluster.cpus) + 2
    settings = [
        "--hidden",
        "20",
        "--batch",
        "150",
        "--microbatch",
        "32",
        "--epochs",
        "2",
        "--run",
        str(tmp_path / "run"),
    ]
    command = [sys.executable, "-m", "ddmlp.train", "--data", str(data), *settings]
    done = subprocess.run(
        [*command, "--workers", str(workers), "--address", cluster.address], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert f"using the Ray at {cluster.address}" in done.stdout
    assert f"{workers} workers share {cluster.cpus:g} CPUs" in done.stdout
    found = json.loads((tmp_path / "run" / "result.json").read_bytes())
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["workers"] == workers
    assert_no_actor_is_left()


@pytest.mark.parametrize("count", [1, 2])
def test_workers_killed_in_mid_run_are_replaced_and_change_no_bit(
    count: int, cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path
):
    trainer = RemoteTrainer(job(data, tmp_path, 2), cluster)
    assert not trainer.advance(0).done
    for process in actors(b"ray::WorkerActor")[:count]:
        os.kill(process, signal.SIGKILL)
    found = train(trainer)
    assert found["weights_sha256"] == expected["weights_sha256"]
    left = {worker for worker in found["answered"] if worker < 2}
    assert len(left) == 2 - count, "the fault has fired: who is dead is not there at the end"
    assert found["answered"], "somebody has done the work"
    assert_no_actor_is_left()


def test_ctrl_c_leaves_a_checkpoint_and_no_actor_and_the_run_goes_on_without_ray(
    cluster: Cluster, data: Path, tmp_path: Path
):
    settings = ["--data", str(data), "--hidden", "20", "--epochs", "60", "--workers"]
    command = [sys.executable, "-m", "ddmlp.train"]
    run = ["--run", str(tmp_path / "run")]
    with subprocess.Popen(
        [*command, *settings, "2", *run, "--address", cluster.address], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch 2/60"):
                process.send_signal(signal.SIGINT)
                break
        said = process.stdout.read()
    assert process.returncode == 130
    assert "--resume" in said
    assert_no_actor_is_left()
    assert not (tmp_path / "run" / "result.json").exists()
    hashes = []
    for more in ([*settings, "0", "--run", str(tmp_path / "whole")], ["--resume", *run]):
        assert subprocess.run([*command, *more], capture_output=True, timeout=100).returncode == 0
        result = json.loads((Path(more[more.index("--run") + 1]) / "result.json").read_bytes())
        hashes.append(result["weights_sha256"])
    assert hashes[0] == hashes[1]


def test_the_token_is_offered_where_the_user_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    assert has_token()


def test_an_address_where_no_ray_answers_is_a_clear_error():
    with pytest.raises(ClusterError, match=r"no Ray answers at 127\.0\.0\.1:9"):
        connect("127.0.0.1:9")


def descendants(process: int) -> set[int]:
    """The processes below `process`."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def listening(processes: set[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses on which these processes listen for TCP connections."""
    sockets = set()
    for process in processes:
        for path in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in sockets:
                words = bytes.fromhex(local.partition(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                address = ipaddress.ip_address(packed)
                found.append(getattr(address, "ipv4_mapped", None) or address)
    return found
