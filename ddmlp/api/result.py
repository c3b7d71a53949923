"""The result of a run."""

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ddmlp.errors import RunError
from ddmlp.files import as_path
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model
from ddmlp.runs import REPORT
from ddmlp.runs.result import RunResult


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run. A notebook shows its report.

    Parameters
    ----------
    run : Path
        The folder of the run.
    record : RunResult
        All that result.json holds.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    >>> result = ddmlp.fit((images, labels), test=(images, labels), run="runs/result", hidden=4, epochs=2)
    >>> result.run.name, result.steps, result.finished, result.test_error
    ('result', 16, True, 0.5)
    >>> result.model.weights.sha256() == result.weights_sha256
    True
    """

    run: Path
    record: RunResult

    @property
    def test_error(self) -> float | None:
        """The fraction of the test rows that the model mistakes; None without test data."""
        return self.record.test_error

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights, the same on every machine."""
        return self.record.weights_sha256

    @property
    def steps(self) -> int:
        """Steps made since the run began."""
        return self.record.steps

    @property
    def finished(self) -> bool:
        """Whether the run has reached its end; otherwise `resume` continues it."""
        return self.record.finished

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return self.record.seconds

    @property
    def speed(self) -> float:
        """Rows a second."""
        return self.record.speed

    @cached_property
    def model(self) -> Model:
        """The model; raises RunError if the run has other weights by now."""
        model = load_model(self.run)
        if (found := model.weights.sha256()) != self.weights_sha256:
            raise RunError(
                f"{self.run} has the weights {found[:16]}..., expected {self.weights_sha256[:16]}...: it was continued"
            )
        return model

    def write_report(self, out: str | Path | None = None) -> Path:
        """Write a page about the run to the file `out`, or to report.html in its folder; returns its path.

        Raises
        ------
        RunError, OSError
            The run cannot be read, or the page not be written.
        """
        from ddmlp.reporting import write_report

        path = self.run / REPORT if out is None else as_path(out, "out", "the path of a file")
        write_report([self.run], path)
        return path

    def __repr__(self) -> str:
        error = "" if self.test_error is None else f", test_error={self.test_error}"
        state = "" if self.finished else ", finished=False"
        return f"Result({str(self.run)!r}, steps={self.steps}{error}{state}, weights_sha256={self.weights_sha256!r})"

    def _repr_html_(self) -> str:
        """The report, for a notebook."""
        from ddmlp.reporting.page import page
        from ddmlp.reporting.summary import read_summary

        text = html.escape(page([read_summary(self.run)]))
        return f'<iframe srcdoc="{text}" style="width: 100%; height: 40rem; border: 0"></iframe>'
