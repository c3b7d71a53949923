"""Training on a stream that needs a password: it is in no output and in no file of the run."""

from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.manifest import NAME
from ddmlp.data.sources import kafka_stream
from tests.support.broker import images
from tests.support.brokers import running
from tests.support.followed import FLAGS, command
from tests.support.kafka_proxy import proxy
from tests.support.training import refused, result

pytestmark = pytest.mark.sources
RIGHT, WRONG = "hunter2-right", "hunter2-wrong"


def test_simple(
    rows: tuple[Any, Any],
    expected: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(kafka_stream, "SHORT_SECONDS", 0.05)
    run, client = tmp_path / "run", tmp_path / "client"
    (tmp_path / "server").mkdir()
    login = "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username=trainer\nsasl.password="
    with (
        running("kafka", tmp_path / "server", host="127.0.0.2") as server,
        proxy(server, users={"trainer": RIGHT}) as address,
    ):
        server.send("digits", images(*rows))
        data = "--data", f"kafka://{address}/digits?format=raw&config={client}", "--run", run
        client.write_text(login + WRONG)
        done = [command(*data, *FLAGS)]
        client.write_text(login + RIGHT)
        done.append(command(*data, *FLAGS, "--idle-timeout", "1.5"))
        client.write_text(login + WRONG)
        done.append(command(*data, "--resume"))
        done.append(command("--run", run, "--resume", "--end"))
    for each in (done[0], done[2]):
        refused(each, 1, "refuses the user or the password")
    assert (done[1].returncode, done[1].stderr, done[3].returncode) == (0, "", 0)
    assert result(run)["weights_sha256"] == expected
    assert not [each for each in (caplog.text, *map(str, done)) if "hunter2" in each]
    files = [each for each in run.rglob("*") if each.is_file()]
    assert {"config.json", "metrics.jsonl", "result.json", NAME} <= {each.name for each in files}
    assert not [each for each in files if b"hunter2" in each.read_bytes()]
