"""The curves of a run as event files for TensorBoard."""

from pathlib import Path

from ddmlp.api.callback import Callback
from ddmlp.config import TrainConfig
from ddmlp.errors import require_extra
from ddmlp.runs.events import Event


class TensorBoard(Callback):
    """Writes the curves of a run for TensorBoard, into the folder tensorboard/ of the run.

    Needs the extra `tensorboard`. To see the curves, run `tensorboard --logdir runs`.

    Raises
    ------
    ConfigError
        The extra is not installed.

    Examples
    --------
    >>> import ddmlp
    >>> ddmlp.fit("data", callbacks=[ddmlp.TensorBoard()])  # doctest: +SKIP
    """

    def __init__(self) -> None:
        with require_extra("tensorboard", "TensorBoard"):
            from ddmlp.runs.tensorboard import EventFiles
        self._kind = EventFiles
        self._files: EventFiles | None = None

    def on_begin(self, run: Path, config: TrainConfig) -> None:  # noqa: ARG002
        self._files = self._kind(run / "tensorboard")

    def on_event(self, event: Event) -> None:
        if self._files:
            self._files.record([event])

    def close(self) -> None:
        if self._files:
            self._files.close()
        self._files = None
