"""Exercises: what to answer, and whether an answer is right. docs/exercises.md has the tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ddmlp.api.exercises import runs, values
from ddmlp.api.exercises.child import check_file
from ddmlp.errors import ConfigError, printable

MAX_BYTES = 1_000_000  # of a Python file


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Parameters
    ----------
    title
        What it is about.
    learned
        What a right answer shows.
    signature
        The function that the answer, a Python file, defines; "" if the answer is a word.
    check
        Returns what is wrong with a word, "" if nothing is; not for a Python file. A word may be the path of a run.
    """

    title: str
    learned: str
    signature: str = ""
    check: Callable[[str], str] | None = None


EXERCISES = (
    Exercise("One row forward", "equations (1) and (2) are all that a prediction is", check=values.forward),
    Exercise("The gradient", "the trainer's kernels compute the same sums", "gradients(w1, w2, x, t)"),
    Exercise("A sum that no order of arrival changes", "this is why 1, 2 and 64 workers have one hash",
             "reduce(count, arrived)"),
    Exercise("The bytes of a step", "a faster network, larger batches or fewer bits are what remains",
             check=values.step_bytes),
    Exercise("What breaks the one hash", "the microbatch is part of the plan, the number of workers is not",
             check=runs.microbatch_hash),
    Exercise("Killed in the middle", "the chain is that of a run that was not killed: no step is lost or counts twice",
             check=runs.killed_run),
    Exercise("A unit that was sent again", "a unit is pure, so the second answer can be compared with the first",
             "accept(answers)"),
    Exercise("A broken promise", "one wrong bit of one weight is found, and between which checkpoints it arose",
             check=runs.broken_steps),
    Exercise("A byte of the update log", "an asynchronous run has one hash, too, for one order of updates",
             check=runs.changed_update),
    Exercise("A transform as a pure function", "workers can change pixels, and the run still has one hash",
             "shift(pixels, rows, seed, epoch)"),
)  # fmt: skip


def check(number: int, answer: str) -> str:
    """Check the answer to an exercise.

    Parameters
    ----------
    number
        Of the exercise, from 1.
    answer
        A word, the folder of a run, or a Python file, whose function is called in another process.

    Returns
    -------
    str
        What is wrong with it, in one line; "" if it is right.

    Raises
    ------
    ConfigError
        If there is no such exercise, or the answer is not what it expects.

    Examples
    --------
    >>> check(4, "794")
    'expected a number of bytes that is a multiple of 4: a float32 has 4'
    """
    if not 1 <= number <= len(EXERCISES):
        raise ConfigError(f"there is no exercise {number}, expected 1 to {len(EXERCISES)}")
    exercise, shown = EXERCISES[number - 1], printable(answer[:80])
    if exercise.check is not None:
        if answer.endswith(".py"):
            raise ConfigError(f"the answer is the file {shown}, but exercise {number} expects none")
        return printable(exercise.check(answer.strip()))
    path = Path(answer)
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"the answer to exercise {number} is {shown!r}, expected a Python file that defines {exercise.signature}"
        )
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ConfigError(f"{shown} has {size:,} bytes, expected at most {MAX_BYTES:,}")
    return check_file(path, exercise.signature.partition("(")[0])
