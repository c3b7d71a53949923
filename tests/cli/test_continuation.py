"""The command that continues a run can be pasted into a shell, and continues it as it was begun."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddmlp.cli import continuation, shell, train
from ddmlp.cli.continuation import Continuation
from ddmlp.cli.shell import command_line
from ddmlp.cli.train_arguments import OF_THIS_COMMAND, _parser, parse
from ddmlp.config import TrainConfig
from tests.support.helpers import inside
from tests.support.training import SMALL, result

RUN = Path("/some where/run")
# A value for each flag that the run does not keep.
KEPT = ["--workers", "2:3", "--address", "here:1", "--dashboard", "--checkpoint-every", "7", "--keep", "2",
        "--idle-timeout", "2.5", "--no-report", "--classes", "5", "--tensorboard", "--quiet", "--servers", "2",
        "--certificates", "/there/tls", "--log-level", "debug", "--log-file", "/there/log",
        "--checkpoint-uri", "s3://bucket/one", "--quarantine", "/there/bad", "--max-bad-rows", "7",
        "--spool-bytes", "1000", "--transform", "a.b:c", "--drift-alarm", "--trace"]  # fmt: skip


def words(text: str) -> list[list[str]]:
    """Each command of a text, as a shell cuts it."""
    found = []
    for line in text.splitlines():
        script = f"printf '%s\\0' {line.partition(': ')[2]}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        found.append([os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]])
    return found


def told(*flags: str, moved: Path | None = None, stopped: bool = False, follow: bool = False) -> list[list[str]]:
    text = Continuation(parse([*flags]), RUN, moved, follow=follow).text(stopped=stopped)
    return [each[each.index("--run") :] for each in words(text)]


def test_simple():
    assert told() == [["--run", str(RUN), "--resume"]]


def test_flags_that_no_run_keeps():
    (found,) = told("--run", "here", "--resume", "--follow", *KEPT)
    assert parse(found) == parse(["--run", str(RUN), "--resume", *KEPT])
    missing = {name for name in vars(parse([])) if parse(found).__dict__[name] == _parser().get_default(name)}
    assert missing == ({*TrainConfig.names(), *OF_THIS_COMMAND} & {*vars(parse([]))}) - {"run", "resume"}


def test_settings_are_the_runs():
    assert told("--lr", "0.5", "--epochs", "3", "--hidden", "5", "--staleness", "2", "--data", "there") == told()


@pytest.mark.parametrize(("stopped", "more"), [(False, ["--stop-after", "9"]), (True, [])])
def test_stop_after(stopped: bool, more: list[str]):
    assert told("--stop-after", "9", stopped=stopped) == [["--run", str(RUN), "--resume", *more]]


def test_moved_data():
    assert told(moved=Path("/other data")) == [["--run", str(RUN), "--resume", "--data", "/other data"]]


@pytest.mark.parametrize("stream", ["-", "tcp://[::1]:5000"])
def test_streams(stream: str):
    assert told("--data", stream, "--keep", "2", follow=True) == [
        ["--run", str(RUN), "--resume", "--data", stream, "--keep", "2"],
        ["--run", str(RUN), "--resume", "--keep", "2", "--end"],
    ]


@pytest.mark.parametrize(
    "called",
    [
        ["python", "-m", "ddmlp.train"],
        [".venv/bin/python", "-X", "dev", "-m", "ddmlp", "train"],
        ["/a b/.venv/bin/python", "/a b/.venv/bin/ddmlp", "train"],
    ],
)
def test_as_the_user_called_it(called: list[str], monkeypatch: pytest.MonkeyPatch):
    flags = ["--run", "r", "--workers", "2"]
    monkeypatch.setattr(sys, "orig_argv", [*called, *flags])
    monkeypatch.setattr(sys, "argv", ["ddmlp train", *flags])
    (found,) = words(Continuation(parse(), RUN, None, follow=False).text())
    assert found == [*called, "--run", str(RUN), "--resume", "--workers", "2"]


def test_console_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its first line names its interpreter, which the user did not write."""
    script = tmp_path / "ddmlp"
    script.write_text("#!/there/python\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "orig_argv", ["/there/python", str(script), "train"])
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert continuation._called() == [str(script), "train"]


def test_called_as_a_function(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "orig_argv", ["/there/python", "-m", "notebook"])
    assert continuation._called() == ["/there/python", "-m", "ddmlp.train"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "name", [b"plain", b"it's", b'a "$b" `c` \\ !', b"a\nb\x1b[0m", b"\xff0\xe9", "zażółć".encode(), b"-"]
)
def test_any_name(name: bytes, encoding: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shell.sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    line = command_line(["x", os.fsdecode(name), "y"])
    line.encode(encoding)
    assert "\n" not in line
    assert words(f"continue with: {line}") == [["x", os.fsdecode(name), "y"]]


def test_pasted(data: Path, whole: Path, tmp_path: Path):
    """In another folder, with moved data, and names that need quotes or are not UTF-8."""
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a 'b' \xff\xc3\xa9"))
    place.mkdir()
    (place / "data").symlink_to(data)
    # pytest-xdist cannot send what is logged if it is not UTF-8.
    flags = ["--no-report", "--quiet", "--log-level", "error", "--data", place / "data", "--run", place / "run"]
    done = inside(train.main, *flags, *SMALL, "--stop-after", "50")
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if "continue with: " in each]
    done = subprocess.run(
        ["bash", "-c", line.partition("continue with: ")[2]], cwd="/", capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert result(place / "run")["weights_sha256"] == result(whole)["weights_sha256"]
