"""The exercises on runs can be solved, and typical wrong answers get a line that helps."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import ddmlp
from ddmlp.api.exercises import check, problem
from ddmlp.api.exercises.runs import MICROBATCH
from ddmlp.errors import RunError
from tests.support.exercises import refused, train


@pytest.mark.slow
def test_one_hash(exercises, tmp_path):
    result = train(exercises, tmp_path, microbatch=MICROBATCH)
    changed = result.weights_sha256
    assert check(5, changed) == check(5, f"{changed[:8].upper()}...") == ""
    refused(5, train(exercises, tmp_path).weights_sha256, "with any number of workers")
    refused(5, result.record.chain, "the chain")
    refused(5, 64 * "0", "neither run")
    refused(5, changed[:7], "first 8")


KILL = """
import os, signal, sys
import ddmlp
from ddmlp.api.exercises import problem

class Kill(ddmlp.Callback):
    def on_checkpoint(self, saved):
        if saved.step:
            os.kill(os.getpid(), signal.SIGKILL)

ddmlp.fit(sys.argv[1], run=sys.argv[2], progress=False, callbacks=[Kill()], **problem.KILLED | {"epochs": 30})
"""


@pytest.mark.slow
def test_killed_run(exercises, tmp_path, monkeypatch):
    monkeypatch.setattr(problem, "KILLED", problem.KILLED | {"epochs": 30})
    killed, stopped, whole = (tmp_path / name for name in ("killed", "stopped", "whole"))
    done = subprocess.run([sys.executable, "-c", KILL, exercises / "data", killed], check=False)
    assert done.returncode == -9
    refused(6, killed, "resume it")
    ddmlp.resume(killed, progress=False)
    assert check(6, str(killed)) == check(6, f"{killed}/") == ""

    ddmlp.resume(train(exercises, tmp_path, epochs=30, stop_after=15).run.rename(stopped), progress=False)
    refused(6, stopped, "step 15, in mid-epoch")
    result = train(exercises, tmp_path, epochs=30)
    result.run.rename(whole)
    assert result.record.chain == json.loads((killed / "result.json").read_bytes())["chain"]
    refused(6, whole, "never been resumed")
    metrics = whole / "metrics.jsonl"
    begin, *rest = metrics.read_text().splitlines(keepends=True)
    metrics.write_text(begin + begin + "".join(rest))
    refused(6, whole, "kill it later")
    refused(6, exercises / "broken", "has epochs 4")
    refused(6, tmp_path / "nowhere", "does not exist")

    metrics = killed / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"test_error": 0.', '"test_error": 0.9', 1))
    refused(6, killed, "'epoch' of step 10")
    chain = killed / "chain.jsonl"
    chain.write_bytes(b"".join(chain.read_bytes().splitlines(keepends=True)[::2]))
    refused(6, killed, "does not follow")


def test_broken_promise(exercises):
    with pytest.raises(RunError) as caught:
        ddmlp.verify(exercises / "broken")
    (found,) = re.findall(r"steps (\d+\.\.\d+)", str(caught.value))
    assert check(8, found) == check(8, f"steps {found.replace('..', ' to ')}") == ""
    refused(8, "35..40", "find the first")
    refused(8, "0..5", "as recorded")
    refused(8, "21..24", "neighbouring")
    refused(8, "20", "'20'")
    refused(8, f"{5000 * '9'}..5", "expected a range")


@pytest.mark.slow
def test_update_log(exercises, tmp_path):
    """Of all versions that the updates in the range could have read, one and only one gives the recorded weights."""
    run = Path(shutil.copytree(exercises / "asynchronous", tmp_path / "run"))
    with pytest.raises(RunError, match="verify"):
        ddmlp.replay(run)
    with pytest.raises(RunError) as caught:
        ddmlp.verify(run)
    ((first, last),) = re.findall(r"steps (\d+)\.\.(\d+)", str(caught.value))
    path, found = run / "updates.txt", []
    lines = path.read_text().splitlines(keepends=True)
    for place in range(int(first), int(last)):
        for version in range(int(first), place + 1):
            step = lines[place].split()[0]
            path.write_text("".join([*lines[:place], f"{step:>12} {version:12}\n", *lines[place + 1 :]]))
            with suppress(RunError):
                ddmlp.replay(run)
                found.append((place, int(step), version))
    ((place, step, version),) = found
    assert check(9, f"{step}:{version}") == check(9, f"step {step} read {version}") == ""
    refused(9, ":".join(lines[place].split()), "as it is now")
    refused(9, f"{step}:0", "that is the step")
    refused(9, "0:0", "step 0 is as recorded")
    refused(9, f"{last}:{last}", "differ already")
    refused(9, f"{lines[place + 1].split()[0]}:0", "as it was")
    refused(9, step, f"'{step}'")
