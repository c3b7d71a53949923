"""The curves of a run in Weights & Biases."""

import os
from pathlib import Path
from typing import Any

from ddmlp.api.callback import Callback
from ddmlp.api.result import Result
from ddmlp.config import TrainConfig
from ddmlp.errors import require_extra
from ddmlp.runs.events import Event
from ddmlp.runs.scalars import scalars


class WandB(Callback):
    """A callback that logs settings, curves, test errors and the hash of the weights to Weights & Biases.

    Needs the extra `wandb`. Each call of `fit` or `resume` is one W&B run. By default it is offline: its files are in
    wandb/ in the run's folder, and `wandb sync` uploads them. W&B's telemetry and error reports are
    switched off, unless WANDB_ERROR_REPORTING is set or the program has already used W&B.

    Parameters
    ----------
    project : str
        The W&B project.
    mode : "offline", "online", "shared" or "disabled", optional
        By default WANDB_MODE, then "offline".
    log_model : bool
        Whether to store model.npz as an artifact.

    Raises
    ------
    ConfigError
        The extra is not installed.

    Examples
    --------
    >>> ddmlp.fit("data", callbacks=[ddmlp.WandB("digits", mode="online")])  # doctest: +SKIP
    """

    def __init__(self, project: str = "ddmlp", *, mode: str | None = None, log_model: bool = False) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with require_extra("wandb", "WandB"):
            import wandb
        self._wandb, self._project, self._log_model = wandb, project, log_model
        self._mode: Any = mode or os.environ.get("WANDB_MODE") or "offline"
        self._run: Any = None
        self._ended = False

    def on_begin(self, run: Path, config: TrainConfig) -> None:
        self._run = self._wandb.init(
            project=self._project,
            name=run.name,
            dir=run,
            mode=self._mode,
            config=config.as_dict(),
            reinit="create_new",  # the program's own run, if it has one, stays active
            settings=self._wandb.Settings(console="off", disable_git=True, disable_code=True),
        )
        self._run.define_metric("*", step_metric="step")  # W&B's own steps only increase; after a fault some are redone

    def on_event(self, event: Event) -> None:
        if points := dict(scalars(event)):
            self._run.log({"step": event.step, **points})

    def on_end(self, result: Result) -> None:
        self._ended = True
        self._run.summary["weights_sha256"] = result.weights_sha256
        if self._log_model:
            self._run.log_artifact(result.run / "model.npz", name=f"model-{self._run.id}", type="model")

    def close(self) -> None:
        if self._run:
            self._run.finish(exit_code=0 if self._ended else 1)
        self._run, self._ended = None, False
