"""resume: continues a run."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ddmlp.api.callback import Callback, checked
from ddmlp.api.options import MAX_BAD_ROWS, Options, check_switches
from ddmlp.api.progress import RunProgress
from ddmlp.api.result import Result
from ddmlp.api.rows import rows_again
from ddmlp.api.run import resume_call, settings
from ddmlp.api.session import Session
from ddmlp.api.stored import run_again
from ddmlp.api.transform import transform_again
from ddmlp.data.sources.registry import is_stream


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    transform: Callable[..., Any] | str | None = None,
    workers: int | tuple[int, int] = 0,
    servers: int = 1,
    address: str | None = None,
    dashboard: bool = False,
    epochs: int | None = None,
    end: bool = False,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
    checkpoint_every: int = 10_000,
    keep: int = 3,
    checkpoint_uri: str | None = None,
    stop_after: int | None = None,
    report: bool = False,
    idle_timeout: float = math.inf,
    quarantine: str | Path | None = None,
    max_bad_rows: int = MAX_BAD_ROWS,
    spool_bytes: int | None = None,
    drift_alarm: bool = False,
    trace: bool = False,
    certificates: str | Path | None = None,
) -> Result:
    """Continue a run from its newest checkpoint: one that was interrupted, or stopped, or is to have more epochs.

    The weights are the same as if the run had never stopped. A run that has ended is returned as it is.

    Parameters
    ----------
    run : str or Path
        The folder of the run; or the store that has its checkpoints, for example s3://BUCKET/FOLDER: then a new folder
        in runs/ gets the newest one.
    data : str or Path, optional
        Where its data are, if not where it was begun; or the URI of the stream that it continues with.
    transform : function or str, optional
        The transform that it was begun with, if it is not found where it was; see `fit`.
    epochs : int, optional
        More epochs than the run has. Not with lr_schedule "linear" or "exponential", whose learning
        rate depends on their number.
    end : bool
        The run follows its data, and no more rows will arrive: train on the existing rows, and end.
    checkpoint_uri : str, optional
        The store that also gets the newest checkpoints; by default the one that `run` names. If the folder `run` holds
        no run, it gets the newest checkpoint of the store.
    workers, servers, address, dashboard, certificates, callbacks, progress, checkpoint_every, keep, stop_after, report
        See `fit`. They need not be those that the run was begun with.
    idle_timeout, quarantine, max_bad_rows, spool_bytes, drift_alarm, trace
        See `fit`. They need not be those that the run was begun with.

    Returns
    -------
    Result

    Raises
    ------
    RunError
        The folder holds no run, or one of another arithmetic, or its data or its transform have changed.
    ConfigError, DatasetError, TrainingError, ClusterError, KeyboardInterrupt
        As `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    >>> part = ddmlp.fit((images, labels), run="runs/one", hidden=4, epochs=2, stop_after=5)
    >>> part.steps, part.finished
    (5, False)
    >>> whole = ddmlp.resume(part.run)
    >>> whole.steps, whole.finished
    (16, True)
    """
    options = Options(
        workers=workers,
        servers=servers,
        address=address,
        dashboard=dashboard,
        checkpoint_every=checkpoint_every,
        keep=keep,
        checkpoint_uri=checkpoint_uri,
        stop_after=stop_after,
        idle_timeout=idle_timeout,
        quarantine=quarantine,
        max_bad_rows=max_bad_rows,
        spool_bytes=spool_bytes,
        drift_alarm=drift_alarm,
        trace=trace,
        certificates=certificates,
    )
    check_switches(end=end, report=report, progress=False if progress is None else progress)
    with run_again(run, options) as (found, options):
        begun = found.require_arithmetic()
        changed = transform_again(transform, begun, found.path)
        stream = is_stream(data)
        session = Session(
            run=found,
            rows=rows_again(data, begun, found),
            config=settings({"epochs": epochs}, begun, None, follow=stream),
            options=options,
            begun=begun,
            transform=changed,
            end=end,
            callbacks=checked(callbacks),
            progress=RunProgress(quiet=None if progress is None else not progress),
            hint=lambda: resume_call(found.path, options, data, changed),
        )
        return session.complete(report=report)
