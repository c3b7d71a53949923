"""TensorBoard event files have the points of metrics.jsonl, even after a resume or the death of a server."""

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from ddmlp.cli.train import main
from ddmlp.runs.events import Started
from ddmlp.runs.records import Records
from ddmlp.runs.scalars import scalars
from ddmlp.runs.tensorboard import EventFiles
from tests.support.events import progress
from tests.support.helpers import inside

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event as Entry

SMALL = ["--hidden", "16", "--batch", "100", "--epochs", "3", "--quiet"]


def crc32c(data: bytes) -> int:
    """The checksum of a record: masked CRC-32C, as TensorFlow's record_writer describes it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def entries(path: Path) -> Iterator["Entry"]:
    """Yield the events of a file. Asserts the checksum of every length and every record."""
    from tensorboardX.proto.event_pb2 import Event as Entry

    data = path.read_bytes()
    while data:
        length, check = struct.unpack("<QI", data[:12])
        record, (other,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
        assert (crc32c(data[:8]), crc32c(record)) == (check, other)
        yield Entry.FromString(record)
        data = data[16 + length :]


def read(folder: Path) -> dict[tuple[str, int], float]:
    """The points that TensorBoard shows, by curve and step: a start drops those of its step and later."""
    from tensorboardX.proto.event_pb2 import SessionLog

    points: dict[tuple[str, int], float] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.name.split(".")[3], path.stat().st_mtime_ns)):
        first, *rest = entries(path)
        assert first.file_version == "brain.Event:2"
        for entry in rest:
            if entry.HasField("session_log"):
                assert entry.session_log.status == SessionLog.START
                points = {key: value for key, value in points.items() if key[1] < entry.step}
            for value in entry.summary.value:
                points[value.tag, entry.step] = value.simple_value
    return points


def expected(run: Path) -> dict[tuple[str, int], float]:
    """The points of metrics.jsonl, in float32 as in event files."""
    events = Records.read(run / "metrics.jsonl").lines
    whole = {(tag, event.step): value for event in events for tag, value in scalars(event)}
    return {key: struct.unpack("f", struct.pack("f", value))[0] for key, value in whole.items()}


def test_simple(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert inside(main, "--data", data, *SMALL, "--run", run, "--tensorboard").returncode == 0
    found = read(run / "tensorboard")
    assert found == expected(run)
    result = json.loads((run / "result.json").read_bytes())
    assert found["error/test", 120] == pytest.approx(result["test_error"])
    assert found["loss/train", 120] < found["loss/train", 1]
    assert {"speed/rows_per_second", "queues/units_depth", "staleness/max", "workers/count"} <= {
        tag for tag, _ in found
    }


def test_resume(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert inside(main, "--data", data, *SMALL, "--run", run, "--tensorboard", "--stop-after", "50").returncode == 0
    with mock.patch.object(os, "getpid", return_value=os.getpid() + 1):  # as in another process
        assert inside(main, "--run", run, "--resume", "--tensorboard").returncode == 0
    assert len(list((run / "tensorboard").iterdir())) == 2
    assert read(run / "tensorboard") == expected(run)


def test_server_death(tmp_path: Path):
    with EventFiles(tmp_path / "new") as files:
        files.record([Started(0, []), *(progress(step, error=4 - step / 10) for step in (10, 20, 30))])
        files.record([Started(20, []), progress(40, error=0.5)])
    found = read(tmp_path / "new")
    assert {step: value for (tag, step), value in found.items() if tag == "loss/train"} == {10: 3.0, 20: 2.0, 40: 0.5}


def test_off_by_default(data: Path, tmp_path: Path):
    hashes = []
    for flags in ([], ["--tensorboard"]):
        run = tmp_path / f"run{len(flags)}"
        assert inside(main, "--data", data, *SMALL, "--run", run, *flags).returncode == 0
        assert (run / "tensorboard").exists() == bool(flags)
        hashes.append(json.loads((run / "result.json").read_bytes())["weights_sha256"])
    assert hashes[0] == hashes[1]


def test_missing_package(data: Path, tmp_path: Path):
    absent = {name: None for name in sys.modules if name.startswith("tensorboardX")} | {"tensorboardX": None}
    with mock.patch.dict(sys.modules, absent):
        sys.modules.pop("ddmlp.runs.tensorboard", None)
        done = inside(main, "--data", data, *SMALL, "--run", tmp_path / "run", "--tensorboard")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'ddmlp[tensorboard]'" in done.stderr
    assert not (tmp_path / "run").exists()
