"""Settings: their checks and their flags."""

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
        *[("lr_end", value) for value in (0, -0.1, 1.5, math.nan, True, "1", None)],
        *[("staleness", value) for value in (-1, 1.5, "infinite", True, None)],
        *[("delay", value) for value in (-1, 65, True)],
        *[("gradient_bits", value) for value in (-1, 1, 3, 17, 8.0, False, "8", None)],
    ],
)
def test_bad_values(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} is .*{value!r}.*, expected "):
        replace(TrainConfig(), **{name: value})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"delay": 1, "staleness": 1}, "^delay .* staleness"),
        ({"delay": 1, "staleness": "inf"}, "^delay .* staleness"),
        ({"staleness_lr": True}, "^staleness_lr .* 1 .* 0$"),
        ({"staleness_lr": True, "delay": 2}, "^staleness_lr .* 1 "),
        ({"follow": True, "lr_schedule": "constant"}, "^follow .* epochs.* lr_schedule"),
        *[
            ({"follow": True, "epochs": 1, "lr_schedule": falling}, "^follow .* epochs.* linear or exponential")
            for falling in ("linear", "exponential")
        ],
        *[
            ({"lr_end": 0.1, "lr_schedule": other}, f"^lr_end is 0.1, .*exponential.*{other}")
            for other in ("constant", "linear", "inverse")
        ],
        ({"begun_epochs": 3, "lr_schedule": "exponential"}, "^begun_epochs is 3, .*exponential"),
    ],
)
def test_exclusive_settings(settings, says):
    with pytest.raises(ConfigError, match=says):
        TrainConfig(**settings)
    TrainConfig(follow=True, epochs=1, lr_schedule="inverse", staleness=3, staleness_lr=True)


@pytest.mark.parametrize(
    ("settings", "asynchronous", "bound"),
    [({}, False, 0), ({"delay": 3}, False, 3), ({"staleness": 3}, True, 3), ({"staleness": "inf"}, True, math.inf)],
)
def test_bound_on_staleness(settings, asynchronous, bound):
    config = TrainConfig(**settings)
    assert (config.asynchronous, config.bound) == (asynchronous, bound)


def test_batch_fits_the_dataset():
    TrainConfig(batch=100).check_rows(100)
    with pytest.raises(ConfigError, match=r"^batch is 101, expected at most the 100 rows"):
        TrainConfig(batch=101).check_rows(100)
