"""Exercises: what to answer, and whether an answer is right. docs/exercises.md has the tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ddmlp.api.exercises import values
from ddmlp.api.exercises.child import check_file
from ddmlp.errors import ConfigError, printable


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
        Returns what is wrong with a word, "" if nothing is; not for a file.
    """

    title: str
    learned: str
    signature: str = ""
    check: Callable[[str], str] | None = None


EXERCISES = (
    Exercise("One row forward", "equations (1) and (2) are all that a prediction is", check=values.forward),
    Exercise("The gradient", "the trainer's kernels compute the same sums", "gradients(w1, w2, x, t)"),
    Exercise("The learning rate of a step", "each row moves the weights by alpha / B, in every step of a run",
             "step_size(lr, batch, step, steps)"),
    Exercise("A sum that no order of arrival changes", "this is why 1, 2 and 64 workers have one hash",
             "reduce(count, arrived)"),
    Exercise("The bytes of a step", "a faster network, larger batches or fewer bits are what remains",
             check=values.step_bytes),
    Exercise("What breaks the one hash", "the microbatch is part of the plan, the number of workers is not",
             check=values.microbatch_hash),
    Exercise("What staleness costs", "old gradients have a price; with a fixed delay it is the same on every machine",
             check=values.delayed_mistakes),
    Exercise("A unit that was sent again", "a unit is pure, so the second answer can be compared with the first",
             "accept(answers)"),
    Exercise("A broken promise", "one wrong bit of one weight is found, and between which checkpoints it arose",
             check=values.broken_steps),
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
        A word, or the path of a Python file, whose function is called in another process.

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
    >>> check(5, "794")
    'expected a number of bytes that is a multiple of 4: a float32 has 4'
    """
    if not 1 <= number <= len(EXERCISES):
        raise ConfigError(f"there is no exercise {number}, expected 1 to {len(EXERCISES)}")
    exercise, shown = EXERCISES[number - 1], printable(answer[:80])
    if exercise.check is not None:
        if answer.endswith(".py"):
            raise ConfigError(f"the answer is the file {shown}, but exercise {number} expects a word or a number")
        return exercise.check(answer.strip())
    path = Path(answer)
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"the answer to exercise {number} is {shown!r}, expected a Python file that defines {exercise.signature}"
        )
    return check_file(number, path, exercise.signature.partition("(")[0])
