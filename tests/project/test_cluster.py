"""The files in cluster/: they parse, fit their schemas and name things that exist; local.sh really runs."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCRIPT = CLUSTER / "local.sh"
FLAGS = {"--data", "--batch", "--run", "--workers", "--resume", "--address", "--epochs"}

SETTINGS = ["--hidden", "16", "--batch", "150", "--epochs", "10", "--quiet"]


def local(*arguments, state, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Ray of another test may have left variables in the environment.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [SCRIPT, *arguments],
        env={**clean, "PATH": path, "DDMLP_CLUSTER_DIR": str(state), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def state(short):
    state = short / "s"
    yield state
    if state.exists():
        local("stop", state=state)


def load(name):
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def test_simple():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert len(load("ray-cluster.yaml")) == 1
    assert "RayJob" in {document["kind"] for document in load("rayjob.yaml")}


def test_ray_up_schema():
    (config,) = load("ray-cluster.yaml")
    package = Path(find_spec("ray").submodule_search_locations[0])
    jsonschema.validate(config, json.loads((package / "autoscaler" / "ray-schema.json").read_text()))

    assert config["head_node_type"] in config["available_node_types"]
    assert {"--env=RAY_AUTH_MODE=token", "--env=RAY_USAGE_STATS_ENABLED=0"} <= set(config["docker"]["run_options"])
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_rayjob():
    documents = {document["kind"]: document for document in load("rayjob.yaml")}
    job = documents["RayJob"]["spec"]
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    assert job["shutdownAfterJobFinishes"]

    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    templates = [job["submitterPodTemplate"], *(group["template"] for group in groups)]
    ours = documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    for template in templates:
        assert template["metadata"]["labels"] == ours
        for container in template["spec"]["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted == {volume["name"] for volume in template["spec"].get("volumes", [])}
    for group in groups:
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
        claim = volumes["ddmlp"]["persistentVolumeClaim"]["claimName"]
        assert claim == documents["PersistentVolumeClaim"]["metadata"]["name"]


def test_one_ray_version():
    job = load("rayjob.yaml")[-1]["spec"]
    (version,) = re.findall(r"^ARG RAY_VERSION=(.+)$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE)
    assert job["rayClusterSpec"]["rayVersion"] == version


@pytest.mark.parametrize("name", ["rayjob.yaml", "README.md"])
def test_commands_have_flags(name):
    commands = re.findall(r"python -m (ddmlp\.\w+)([^\n`']*)", (CLUSTER / name).read_text())
    assert commands
    for module, arguments in commands:
        assert find_spec(module), module
        assert set(re.findall(r"--[a-z-]+", arguments)) <= FLAGS


def test_no_token_in_files():
    for file in CLUSTER.iterdir():
        assert not re.search(r"RAY_AUTH_TOKEN=[^\s$]|\b[0-9a-f]{64}\b", file.read_text()), file


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "usage: local.sh start"),
        (("launch",), "'launch'"),
        (("stop", "now"), "takes no arguments"),
        (("start", "--nodes", "2"), "'--nodes'"),
        (("start", "--workers"), "--workers needs a whole number"),
        (("start", "--workers", "two"), "'two'"),
        (("start", "--workers", "65"), "at most 64"),
        (("start", "--port", "80"), "--port 80"),
        (("join", "--workers", "2"), "join does not know '--workers'"),
        (("join", "--cpus"), "--cpus needs a whole number"),
    ],
)
def test_bad_arguments(state, arguments, complaint):
    result = local(*arguments, state=state)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert complaint in result.stderr
    assert not state.exists()


def test_nothing_started(state):
    result = local("stop", state=state)
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert "nothing to stop" in result.stderr
    for command in ("env", "join", "status"):
        result = local(command, state=state)
        assert result.returncode == 1
        assert "no cluster is started" in result.stderr


def test_stop_spares_other_folders(state):
    state.mkdir()
    (state / "thesis.tex").touch()
    assert local("stop", state=state).returncode == 1
    assert local("start", state=state).returncode == 1
    assert (state / "thesis.tex").exists()
    shutil.rmtree(state)


def free_port():
    """A free port whose successor is free, too: the script uses both."""
    for port in range(23456, 24456, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return str(port)
    raise AssertionError("no free ports")


def processes(state):
    return subprocess.run(["pgrep", "-f", f"{state}/"], capture_output=True, text=True).stdout.split()


def sessions(numbers):
    listing = subprocess.run(["ps", "-eo", "sid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return [row for row in rows if row[0] in numbers and not row[1].startswith("Z")]


@pytest.mark.cluster
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux")
def test_start_train_stop(state, data, tmp_path):
    started = local("start", "--workers", "1", "--cpus", "1", "--port", free_port(), state=state)
    assert started.returncode == 0, started.stderr
    assert (state / "token").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    if shutil.which("ss"):
        assert "listens on 127.0.0.1 only" in started.stderr
    assert "already started" in local("start", state=state).stderr
    assert "2 of 2 nodes" in local("status", state=state).stderr

    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        **dict(re.findall(r"^export (\w+)=(.*)$", started.stdout, re.MULTILINE)),
    }
    hashes = []
    # Each node has one CPU, so two workers are on two nodes, and one of them gets its arrays over the network.
    for workers in ("0", "2"):
        run = ["--run", str(tmp_path / workers), "--workers", workers]
        command = [sys.executable, "-m", "ddmlp.train", "--no-report", "--data", str(data), *SETTINGS, *run]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / workers / "result.json").read_bytes())
        hashes.append(result["weights_sha256"])
    assert min(result["answered"].values()) > 0
    assert hashes[0] == hashes[1]
    refused = subprocess.run(
        [*command[:-4], "--run", str(tmp_path / "refused"), "--workers", "1"],
        env=environment | {"RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "RAY_AUTH_TOKEN has another" in refused.stderr

    numbers = (state / "sessions").read_text().split()
    assert len(numbers) == 2
    assert processes(state)
    assert local("stop", state=state).returncode == 0
    assert processes(state) == []
    assert sessions(numbers) == []
    assert not state.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux")
def test_failed_start_leaves_nothing(state, tmp_path):
    """If the head starts a process and fails, neither of them may stay."""
    fake = tmp_path / "ray"
    fake.write_text(
        f"#!/bin/bash\n(exec -a {state}/raylet sleep 1000) </dev/null >/dev/null 2>&1 &\necho no luck\nexit 1\n"
    )
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    result = local("start", "--port", free_port(), state=state, PATH=path)
    assert result.returncode == 1
    assert "no luck" in result.stderr
    assert "the head did not start" in result.stderr
    assert processes(state) == []
    assert not state.exists()
