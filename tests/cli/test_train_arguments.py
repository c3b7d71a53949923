"""The flags: what is asked for is what is parsed, and a bad value is one line."""

import math
from pathlib import Path

import pytest

from ddmlp.cli import train
from ddmlp.cli.train import configure
from ddmlp.cli.train_arguments import flags_again, parse, streamed, workers_text
from ddmlp.config import TrainConfig
from tests.support.helpers import inside

STREAM = TrainConfig(follow=True, epochs=1, lr_schedule="constant")


def configured(*arguments: str) -> TrainConfig:
    return configure(parse([*arguments]), None)


def test_simple():
    args = parse(["--data", "there", "--run", "here", "--workers", "3", "--batch", "50", "--staleness", "2"])
    assert (args.data, args.run, args.workers, args.batch, args.staleness) == ("there", Path("here"), (3, 3), 50, 2)


def test_defaults():
    args = parse([])
    assert configure(args, None) == TrainConfig()
    assert {getattr(args, name, None) for name in TrainConfig.names()} == {None}, "which of them are given must show"
    assert (args.workers, args.checkpoint_every, args.keep, args.stop_after) == ((0, 0), 10_000, 3, None)
    assert (args.data, args.run, args.resume, args.idle_timeout, args.classes) == (None, None, False, math.inf, None)


@pytest.mark.parametrize(
    ("text", "workers"), [("0", (0, 0)), ("4", (4, 4)), ("1:4", (1, 4)), ("2:2", (2, 2)), ("0:0", (0, 0))]
)
def test_workers_are_a_number_or_a_range(text: str, workers: tuple[int, int]):
    assert parse(["--workers", text]).workers == workers
    assert parse(["--workers", workers_text(workers)]).workers == workers


def test_servers():
    assert (parse([]).servers, parse(["--servers", "3"]).servers) == (1, 3)
    assert flags_again(parse(["--servers", "3", "--workers", "2"])) == ["--workers", "2", "--servers", "3"]


def test_a_range_is_shown_as_it_is_given():
    assert [workers_text(workers) for workers in [(0, 0), (3, 3), (1, 4)]] == ["0", "3", "1:4"]


@pytest.mark.parametrize(
    ("arguments", "staleness"), [([], 0), (["0"], 0), (["1"], 1), (["100"], 100), (["inf"], "inf")]
)
def test_staleness_is_a_number_or_inf(arguments: list[str], staleness: int | str):
    found = configured(*(["--staleness", *arguments] if arguments else []))
    assert found.staleness == staleness
    assert found.asynchronous == bool(arguments and staleness)
    assert found.bound == (math.inf if staleness == "inf" else staleness)


def test_every_setting_has_a_flag():
    given = {
        "hidden": 7, "batch": 9, "microbatch": 3, "lr": 0.5, "lr_schedule": "inverse", "lr_half": 5, "epochs": 1,
        "seed": 3, "staleness": 4, "gradient_bits": 8,
        "augment": "shift:pixels=3",
    }  # fmt: skip
    flags = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    found = configured(*flags, "--staleness-lr", "--follow")
    assert found == TrainConfig(**given, staleness_lr=True, follow=True)
    assert configured("--delay", "3") == TrainConfig(delay=3)
    falling = configured("--lr-schedule", "exponential", "--lr-end", "0.005")
    assert falling == TrainConfig(lr_schedule="exponential", lr_end=0.005)
    others = {"window", "init_sha256", "begun_epochs", "transform_sha256"}  # have none
    assert {*given, "lr_end", "staleness_lr", "follow", "delay", *others} == {*TrainConfig.names()}


@pytest.mark.parametrize(
    ("arguments", "stream"),
    [
        (["--follow"], False),
        (["--data", "-"], True),
        (["--data", "tcp://there:5000"], True),
        (["--data", "-", "--follow"], True),
        (["--data", "there", "--follow"], False),
    ],
)
def test_streams_have_one_epoch(arguments: list[str], stream: bool):
    args = parse(arguments)
    assert (streamed(args), args.follow) == (stream, True)
    assert configure(args, None) == STREAM
    assert configure(parse([*arguments, "--lr-schedule", "inverse"]), None).lr_schedule == "inverse"


def test_a_folder_is_no_stream():
    assert not any(streamed(parse(arguments)) for arguments in ([], ["--data", "./-"], ["--data", "./tcp://"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "x"], ["--workers", "'x' is not a whole number"]),
        (["--workers", "2:x"], ["--workers", "'x' is not a whole number"]),
        (["--workers", "2:"], ["--workers", "'' is not a whole number"]),
        (["--workers", ":"], ["--workers", "'' is not a whole number"]),
        (["--workers", "1:2:3"], ["--workers", "'2:3' is not a whole number"]),
        (["--workers", "1.5"], ["--workers", "'1.5' is not a whole number"]),
        (["--workers", "4:2"], ["workers is 4 to 2", "1 to 1024"]),
        (["--workers", "0:2"], ["workers is 0 to 2", "1 to 1024"]),
        (["--workers=-1"], ["workers is -1"]),
        (["--workers=-2:-1"], ["workers is -2 to -1"]),
        (["--staleness", "x"], ["--staleness", "'x' is not a whole number"]),
        (["--staleness", "infinity"], ["--staleness", "'infinity' is not a whole number"]),
        (["--staleness", "0.5"], ["--staleness", "'0.5' is not a whole number"]),
        (["--delay", "65"], ["delay is 65", "0 to 64"]),
        (["--follow", "--epochs", "2"], ["follow", "epochs"]),
        (["--data", "-", "--epochs", "2"], ["epochs"]),
        (["--idle-timeout", "5"], ["--idle-timeout", "--end", "--follow"]),
        (["--follow", "--idle-timeout=-1"], ["idle_timeout is -1"]),
        (["--follow", "--idle-timeout", "nan"], ["idle_timeout is nan"]),
        (["--end"], ["--end", "--follow"]),
        (["--data", "-", "--end"], ["--end", "--data -"]),
        (["--run", "r", "--resume", "--init", "m"], ["--init", "--resume"]),
        (["--workers", "1025"], ["workers is 1025", "1024"]),
        (["--workers", "1:100000"], ["workers is 1 to 100000", "1024"]),
        (["--keep", "0"], ["keep is 0"]),
        (["--checkpoint-every", "0"], ["checkpoint_every is 0"]),
        (["--stop-after=-1"], ["stop_after is -1"]),
        (["--data", "-", "--classes", "257"], ["--classes is 257"]),
        (["--data", "there", "--classes", "5"], ["--classes", "stream"]),
        (["--address", "here:1"], ["need 1 or more workers"]),
        (["--dashboard"], ["need 1 or more workers"]),
        (["--resume"], ["--resume needs --run"]),
        (["there"], ["there"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_bad_values(arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = inside(train.main, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []
