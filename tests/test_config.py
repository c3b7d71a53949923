"""Settings: their checks, their flags, and the learning rate they give."""

import math
from dataclasses import replace

import pytest

from ddmlp.config import TrainConfig, flag
from ddmlp.errors import ConfigError


def test_simple():
    config = TrainConfig(hidden=20, epochs=0)
    assert config.as_dict()["hidden"] == 20
    assert TrainConfig(**config.as_dict()) == config
    assert set(TrainConfig.names()) == set(config.as_dict())
    assert flag("lr_schedule") == "--lr-schedule"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (name, value)
            for name in ("hidden", "batch", "microbatch", "window")
            for value in (0, -1, 1.0, True, "3", None)
        ],
        *[("epochs", value) for value in (-1, 0.5)],
        *[("seed", value) for value in (-1, 2**64)],
        *[("lr", value) for value in (0, -0.1, math.nan, math.inf, "1")],
        *[("lr_schedule", value) for value in ("", "cosine", None)],
        *[("lr_half", value) for value in (0, 1.5)],
        *[("staleness", value) for value in (-1, 1.5, "infinite", True, None)],
        *[("delay", value) for value in (-1, 65, True)],
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_flag(name, value):
    with pytest.raises(ConfigError, match=rf"^{flag(name)} is .*{value!r}.*, expected "):
        replace(TrainConfig(), **{name: value})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"delay": 1, "staleness": 1}, "--delay and --staleness exclude each other"),
        ({"delay": 1, "staleness": "inf"}, "--delay and --staleness exclude each other"),
        ({"staleness_lr": True}, "--staleness-lr goes with --staleness 1 or more"),
        ({"staleness_lr": True, "delay": 2}, "--staleness-lr goes with --staleness"),
        ({"follow": True, "lr_schedule": "constant"}, "--follow has neither epochs nor an end"),
        ({"follow": True, "epochs": 1}, "--follow has neither epochs nor an end"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        TrainConfig(**settings)
    TrainConfig(follow=True, epochs=1, lr_schedule="inverse", staleness=3, staleness_lr=True)


@pytest.mark.parametrize(
    ("settings", "asynchronous", "bound"),
    [({}, False, 0), ({"delay": 3}, False, 3), ({"staleness": 3}, True, 3), ({"staleness": "inf"}, True, math.inf)],
)
def test_the_bound_is_the_most_that_a_gradient_may_be_old(settings, asynchronous, bound):
    config = TrainConfig(**settings)
    assert (config.asynchronous, config.bound) == (asynchronous, bound)


def test_the_learning_rate_of_an_endless_run_falls_as_the_inverse_of_time():
    config = TrainConfig(lr=0.8, lr_schedule="inverse", lr_half=10)
    assert [config.learning_rate(step, 0) for step in (0, 10, 30)] == pytest.approx([0.8, 0.4, 0.2])


def test_staleness_divides_the_learning_rate_where_that_is_asked_for():
    for asked, expected in [(False, [0.8, 0.8, 0.8]), (True, [0.8, 0.8, 0.2])]:
        config = TrainConfig(lr=0.8, lr_schedule="constant", staleness="inf", staleness_lr=asked)
        assert [config.learning_rate(9, 10, staleness) for staleness in (0, 1, 4)] == pytest.approx(expected)


def test_a_batch_is_at_most_the_dataset():
    TrainConfig(batch=100).check_rows(100)
    with pytest.raises(ConfigError, match="--batch is 101, expected at most the 100 rows"):
        TrainConfig(batch=101).check_rows(100)


def test_the_learning_rate_is_kept_or_falls_to_zero_after_the_last_step():
    constant, linear = (TrainConfig(lr=0.8, lr_schedule=name) for name in ("constant", "linear"))
    assert [constant.learning_rate(step, 4) for step in range(4)] == [0.8] * 4
    assert [linear.learning_rate(step, 4) for step in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
