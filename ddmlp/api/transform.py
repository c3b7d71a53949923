"""The transform of a run: as it is given, or found again when the run continues or is verified."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError, RunError
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run


def transform_of(given: Any) -> Transform | None:
    """The transform of a new run, by the forms that `fit` takes; raises ConfigError."""
    return None if given is None else Transform.of(given)


def transform_again(given: Any, begun: Origin, run: Path) -> Transform | None:
    """The transform that a run was begun with, by default the one at the recorded place.

    Raises
    ------
    ConfigError
        If `given` is none.
    RunError
        If it is not the run's: its source has changed, the run has none, or it is not found.
    """
    due, text = begun.config.transform_sha256, Run(run).transform
    if not due:
        if given is not None:
            raise RunError(f"{run} was begun without a transform, so it continues without")
        return None
    found = _recorded(begun.transform, run, text) if given is None else Transform.of(given)
    if found.sha256 != due:
        raise RunError(
            f"{run} was begun with the transform {begun.transform} of the SHA-256 {due[:16]}..., but {found.name} now "
            f"has {found.sha256[:16]}...; {text} is the source that it was begun with"
        )
    return replace(found, answer=begun.transform_answer)


def _recorded(name: str, run: Path, text: Path) -> Transform:
    """The transform at the recorded place, unless that is in the run's own folder.

    A run may come from elsewhere: code of it must not be executed unless the user names it.
    """
    if ":" not in name:
        raise RunError(
            f"{run} was begun with the transform {name}, which is in no file that can be imported: give it again; its "
            f"source is {text}"
        )
    try:
        found = Transform.of(name)
    except ConfigError as error:
        raise RunError(
            f"{run} was begun with the transform {name}, which is not found: {error}; name its place; its source is "
            f"{text}"
        ) from None
    if found.file is not None and found.file.resolve().is_relative_to(run.resolve()):
        raise RunError(f"{run} was begun with the transform {name}, which is code in its own folder: name it")
    return found
