"""Weights & Biases has the settings, the curves, the hash and the model of a run, in its offline files."""

import sys
from pathlib import Path

import pytest

import ddmlp
from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError
from ddmlp.runs.records import Records
from ddmlp.runs.scalars import scalars
from tests.support.offline import run_offline

# A .wandb file is a LevelDB log after a header of 7 bytes: blocks of 32 KiB of records. A record is a checksum
# (4 bytes), its length (2), its kind (1: whole, 2: first part, 3: middle, 4: last) and its data.
STORED = """
import struct
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

def records(path):
    content, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""

def values(items):
    return {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items}

class Stopper(ddmlp.Callback):
    def on_test(self, epoch):
        raise OSError

result = ddmlp.fit((images, labels), callbacks=[ddmlp.WandB("digits", log_model=True)], **data)
try:
    ddmlp.fit((images, labels), callbacks=[ddmlp.WandB("digits"), Stopper()], **data | {"run": "two"})
except OSError:
    pass
import wandb
wandb.teardown()
found = {"history": [], "summary": {}, "config": {}, "artifacts": [], "sha256": result.weights_sha256, "exits": []}
for name in ("one", "two"):
    (path,) = Path(name, "wandb").glob("offline-run-*/*.wandb")
    for record in records(path):
        if record.HasField("exit"):
            found["exits"].append(record.exit.exit_code)
        if name == "two":
            continue
        if record.HasField("run"):
            found["project"], found["name"] = record.run.project, record.run.display_name
            found["config"] |= values(record.run.config.update)
        elif record.HasField("history"):
            found["history"].append(values(record.history.item))
        elif record.HasField("summary"):
            found["summary"] |= values(record.summary.update)
        elif record.HasField("artifact"):
            found["artifacts"] += [each.path for each in record.artifact.manifest.contents]
        elif record.request.HasField("log_artifact"):
            found["artifacts"] += [each.path for each in record.request.log_artifact.artifact.manifest.contents]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_simple(tmp_path: Path):
    found = run_offline(STORED, tmp_path)
    assert (found["project"], found["name"]) == ("digits", "one")
    config = TrainConfig(hidden=3, epochs=2)
    assert {name: found["config"][name] for name in TrainConfig.names()} == config.as_dict()
    events = Records.read(tmp_path / "one" / "metrics.jsonl").lines
    expected = [{"step": event.step, **dict(scalars(event))} for event in events if [*scalars(event)]]
    assert [{name: line[name] for name in line if name[0] != "_"} for line in found["history"]] == expected
    assert sum("error/test" in line for line in expected) == 2
    assert found["summary"]["weights_sha256"] == found["sha256"]
    assert found["artifacts"] == ["model.npz"]
    assert found["exits"] == [0, 1]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'ddmlp\[wandb\]'"):
        ddmlp.WandB()


def test_watch(tmp_path: Path):
    """`run_offline` notices what is sent."""
    with pytest.raises(AssertionError, match=r"CONNECT example\.org"):
        run_offline("import urllib.request\nurllib.request.urlopen('https://example.org', timeout=0.01)", tmp_path)
