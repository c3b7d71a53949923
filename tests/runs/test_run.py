"""Runs: begun once, held by one process, gone on with only as they were begun."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig, flag
from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.run import Origin, Run

ORIGIN = Origin(TrainConfig(hidden=7, lr=0.5, seed=2**64 - 1), Path("/some/data"), "a" * 64)
OTHERS = {
    "hidden": 8,
    "batch": 65,
    "microbatch": 33,
    "lr": 0.25,
    "lr_schedule": "constant",
    "epochs": 31,
    "seed": 1,
    "window": 5,
    "lr_half": 7,
    "staleness": 3,
    "staleness_lr": True,
    "delay": 2,
    "follow": True,
}
BESIDE = {"staleness_lr": {"staleness": 1}, "follow": {"epochs": 1, "lr_schedule": "constant"}}  # what they need
HOLD = """
import sys
from pathlib import Path
from ddmlp.errors import RunError
from ddmlp.runs.run import Run
try:
    with Run(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except RunError as error:
    print(error)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "run")
    made.path.mkdir()
    made.create(ORIGIN)
    return made


def holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def events(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def start(step: int) -> dict[str, object]:
    return {"event": "start", "step": step, "complaints": []}


def test_simple(tmp_path):
    with Run(tmp_path / "runs" / "first") as run:
        assert not run.exists
        run.create(ORIGIN)
        assert run.exists
        assert run.origin() == ORIGIN
        run.check(ORIGIN)
        assert run.result() is None
        run.write_result({"steps": 5})
        assert run.result() == {"steps": 5}


def test_a_run_is_not_begun_twice(run):
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(RunError) as caught:
        run.create(replace(ORIGIN, dataset_sha256="b" * 64))
    assert str(caught.value) == f"{run.path} holds a run already; go on with it by --resume, or choose another --run"
    assert (run.path / "config.json").read_bytes() == before


def test_the_origin_is_plain_json(run):
    about = json.loads((run.path / "config.json").read_text())
    assert about == {**ORIGIN.config.as_dict(), "data": "/some/data", "dataset_sha256": "a" * 64}


def test_the_result_is_a_function_of_the_settings_and_the_data_wherever_they_lie(run):
    assert ORIGIN.fixed == {"config": ORIGIN.config.as_dict(), "dataset_sha256": "a" * 64}
    assert replace(ORIGIN, data=Path("/elsewhere")).fixed == run.origin().fixed


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RunError) as caught:
        Run(tmp_path).origin()
    assert str(caught.value) == (
        f"{tmp_path} holds no run: it has no config.json; training without --resume begins one"
    )


@pytest.mark.parametrize("name", TrainConfig.names())
def test_another_setting_is_named_with_both_values(tmp_path, name):
    begun = Run(tmp_path / "begun")
    beside = BESIDE.get(name, {})
    origin = replace(ORIGIN, config=replace(ORIGIN.config, **beside))
    with begun:
        begun.create(origin)
    with pytest.raises(RunError) as caught:
        begun.check(replace(origin, config=replace(origin.config, **{name: OTHERS[name]})))
    was, now = getattr(ORIGIN.config, name), OTHERS[name]
    assert str(caught.value) == f"{begun.path} was begun with {flag(name)} {was}; it cannot be resumed with {now}"


def test_another_dataset_is_named_with_both_sums(run):
    with pytest.raises(RunError) as caught:
        run.check(Origin(ORIGIN.config, Path("/other"), "b" * 64))
    assert str(caught.value) == (
        f"{run.path} was begun on the dataset {'a' * 16}... (/some/data); /other holds another: {'b' * 16}..."
    )


def test_a_dataset_that_was_moved_is_the_same(run):
    run.check(replace(ORIGIN, data=Path("/elsewhere")))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '"x"', b"\xff", '{"hidden": 7}', pytest.param(b"[" * 100_000, id="deep")]
    + [{name: "x"} for name in TrainConfig.names()]
    + [{"data": None}, {"dataset_sha256": 5}],
)
def test_a_damaged_configuration_is_named(run, text):
    path = run.path / "config.json"
    if isinstance(text, dict):
        text = json.dumps({**json.loads(path.read_text()), **text})
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunError) as caught:
        run.check(ORIGIN)
    assert re.match(rf"{path} (is damaged: |has no '\w+': it is damaged, or another version)", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_second_process_is_refused_until_the_first_has_gone(tmp_path):
    path = tmp_path / "run"
    with Run(path):
        assert holder(path).communicate(timeout=60)[0] == (
            f"{path} is in use by another process; wait for it, or choose another --run\n"
        )
    assert holder(path).communicate(timeout=60)[0] == "held\n"


def test_a_killed_process_does_not_hold_its_run(tmp_path):
    path = tmp_path / "run"
    with holder(path) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="/run is in use by another process"), Run(path):
            pass
        process.kill()
        assert process.wait() == -signal.SIGKILL
        with Run(path) as run:
            run.create(ORIGIN)
    assert Run(path).origin() == ORIGIN


def test_an_exception_lets_go_of_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError), Run(tmp_path / "run"):
        raise ZeroDivisionError
    with Run(tmp_path / "run") as run:
        run.create(ORIGIN)
    assert run.exists


def test_a_second_writer_is_refused_until_the_first_has_ended(run, monkeypatch):
    monkeypatch.setattr("ddmlp.runs.run.WRITER_SECONDS", 0)
    second = Run(run.path)
    run.begin_writing()
    with pytest.raises(RunError) as caught:
        second.begin_writing()
    assert str(caught.value) == f"another process has been writing to {run.path} for 0 s; end it"
    run.end_writing()
    second.begin_writing()
    with pytest.raises(RunError, match="another process has been writing"):
        run.begin_writing()


def test_who_writes_need_not_be_who_holds_the_run(tmp_path):
    with Run(tmp_path / "run") as held:
        held.create(ORIGIN)
        Run(held.path).begin_writing()
        assert Run(held.path).origin() == ORIGIN


def test_going_on_with_a_run_that_is_not_there_leaves_no_folder(tmp_path):
    with pytest.raises(RunError, match="/typo holds no run"), Run(tmp_path / "typo") as run:
        run.origin()
    assert not (tmp_path / "typo").exists()


def test_events_are_appended(run):
    run.record([{"event": "a", "step": 1}, {"event": "b", "step": 2}])
    run.record([])
    run.record([{"event": "c", "step": 2}])
    assert [event["event"] for event in events(run)] == ["a", "b", "c"]


def test_no_events_are_no_file(run):
    run.record([])
    assert not (run.path / "metrics.jsonl").exists()


def test_a_start_takes_back_what_lies_past_its_step(run):
    run.record({"event": "progress", "step": step} for step in (1, 2, 3, 3, 4))
    run.record([start(3), {"event": "progress", "step": 4}])
    assert [event["step"] for event in events(run)] == [1, 2, 3, 3, 3, 4]
    run.record([start(0)])
    assert events(run) == [start(0)]


def test_a_start_may_come_between_other_events(run):
    run.record([{"event": "progress", "step": 1}, {"event": "progress", "step": 2}, start(1), start(1)])
    assert events(run) == [{"event": "progress", "step": 1}, start(1), start(1)]


@pytest.mark.parametrize("cut", ['{"event": "prog', '{"event": "progress", "step": 2}', "{", '{"step": 1'])
def test_a_start_drops_a_line_that_was_cut_short(run, cut):
    run.record([{"event": "progress", "step": 1}])
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(cut)
    run.record([start(5)])
    assert events(run) == [{"event": "progress", "step": 1}, start(5)]


def test_a_first_start_makes_the_file(run):
    run.record([start(5)])
    assert events(run) == [start(5)]


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0\0\0\n",
        b"nonsense\n",
        b"[]\n",
        b"7\n",
        b'{"event": "progress"}\n',
        b'{"event": "progress", "step": "1"}\n',
        b'{"event": "progress", "step": null}\n',
        b'{"event": "progress", "step": true}\n',
        b'{"event": "progress", "step": NaN}\n',
        b'{"event": "progress", "st{"event": "progress", "step": 1}\n',
        b"\xff\n",
        b"\n",
        pytest.param(b"[" * 100_000 + b"\n", id="deep"),
    ],
)
def test_a_start_drops_damaged_lines_and_keeps_all_others(run, line):
    path = run.path / "metrics.jsonl"
    first, second = b'{"event": "progress", "step": 1}\n', b'{"event": "epoch", "step": 5}\n'
    path.write_bytes(line + first + line + line + second + line)
    run.record([start(5)])
    assert path.read_bytes() == first + second + json.dumps(start(5)).encode() + b"\n"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"5", b"\xff", b'{"steps": 5', pytest.param(b"[" * 100_000, id="deep")]
)
def test_a_damaged_result_is_an_error_that_names_it(run, text):
    path = run.path / "result.json"
    path.write_bytes(text)
    with pytest.raises(RunError) as caught:
        run.result()
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert str(caught.value).endswith("; remove it to go on from the last checkpoint")
    assert "\n" not in str(caught.value)


def test_the_model_opens_without_pickle(run):
    weights = Weights.draw(Shape(5, 4, 3), 0)
    run.write_model(weights)
    with np.load(run.path / "model.npz", allow_pickle=False) as file:
        assert {name: array.dtype for name, array in file.items()} == {"W1": np.float32, "W2": np.float32}
        assert (file["W1"] == weights.w1).all()
        assert (file["W2"] == weights.w2).all()
