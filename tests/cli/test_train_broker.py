"""Training on the stream of a broker: the weights of the same rows from a file, whatever is killed meanwhile."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from tests.support.broker import Server, images
from tests.support.followed import FLAGS, ROWS, command
from tests.support.killed_streams import train_killed
from tests.support.runs import verified
from tests.support.stream_run import StreamRun
from tests.support.training import events, refused, result

pytestmark = pytest.mark.sources


def test_simple(own_server: Server, rows: tuple[Any, Any], expected: str, tmp_path: Path):
    """Rows that cannot be decoded are put aside, and change nothing."""
    run, bad = tmp_path / "run", (b"not an image", b"1")
    messages = images(*rows)
    own_server.send("digits", [*messages[:1_000], bad, *messages[1_000:], bad])
    words = "--data", own_server.uri("digits", format="raw"), "--run", run, "--quarantine", tmp_path / "bad"
    done = command(*words, *FLAGS, "--idle-timeout", "1.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 were put aside" in done.stdout
    assert events(run)[-2]["bad_rows"] == result(run)["bad_rows"] == 2
    position = Manifest.read(run / "data" / "train").position
    moment = datetime.fromtimestamp(position.time / 1000, UTC)
    assert datetime.fromisoformat(result(run)["trained_to"]) <= moment
    assert f"trained up to   {moment:%Y-%m-%d}" in done.stdout
    assert any("rows" in line.get("lag", {}) for line in events(run))
    assert f"--quarantine {tmp_path / 'bad'}" in done.stdout
    assert command("--run", run, "--resume", "--end").returncode == 0
    assert result(run)["weights_sha256"] == expected
    assert datetime.fromisoformat(result(run)["trained_to"]) == moment
    assert verified(run)
    assert len(json.loads("[" + (tmp_path / "bad/bad-rows.jsonl").read_text().strip().replace("\n", ",") + "]")) == 2


def test_killed(own_server: Server, rows: tuple[Any, Any], expected: str, tmp_path: Path):
    path = tmp_path / "run"
    run = StreamRun(path, own_server.uri("digits", format="raw"), FLAGS)
    found = train_killed(own_server, "digits", images(*rows), run, ["command", "broker"] * 2, seed=1)
    assert (found["weights_sha256"], found["rows"], found["finished"]) == (expected, ROWS, True)
    assert len(Dataset(path / "data" / "train", verify=True)) == ROWS


def test_refused(own_server: Server, rows: tuple[Any, Any], tmp_path: Path):
    own_server.send("digits", [*images(rows[0][:500], rows[1][:500]), (b"1234", b"1")])
    uri = own_server.uri("digits", format="raw")
    done = command("--data", uri, *FLAGS, "--run", tmp_path / "run")
    refused(done, 1, "offset", "4 bytes", "continue with")
    refused(command("--run", tmp_path / "run", "--resume", "--data", "-"), 1, "digits")
