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
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_flag(name, value):
    with pytest.raises(ConfigError, match=rf"^{flag(name)} is .*{value!r}.*, expected "):
        replace(TrainConfig(), **{name: value})


def test_a_batch_is_at_most_the_dataset():
    TrainConfig(batch=100).check_rows(100)
    with pytest.raises(ConfigError, match="--batch is 101, expected at most the 100 rows"):
        TrainConfig(batch=101).check_rows(100)


def test_the_learning_rate_is_kept_or_falls_to_zero_after_the_last_step():
    constant, linear = (TrainConfig(lr=0.8, lr_schedule=name) for name in ("constant", "linear"))
    assert [constant.learning_rate(step, 4) for step in range(4)] == [0.8] * 4
    assert [linear.learning_rate(step, 4) for step in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
