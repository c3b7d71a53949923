"""Reads changed contents of a kind of input, and counts the outcomes."""

import gc
import math
import random
import resource
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.kind import Kind
from tests.fuzz.kinds import kinds
from tests.fuzz.mutations import mutate

SAME, OTHER, REFUSED, FAULT = "same meaning", "other meaning", "rejected", "fault"
SHOWN = 5  # faults to report per kind
MEMORY_BYTES = 8 << 30  # per process; an input that needs more is a fault


@dataclass
class Outcome:
    """The number of inputs by outcome, and descriptions of the first faults."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, number: int, what: str) -> None:
        self.counts[FAULT] += 1
        if len(self.faults) < SHOWN:
            self.faults.append(f"input {number}: {what}")


def changed(kind: Kind, number: int) -> tuple[bytes, bytes]:
    """Return a valid content of the kind, and the changed one with this number; they are always the same."""
    draw = random.Random(f"{kind.name} {number}")
    good = kind.good[number % len(kind.good)]
    return good, mutate(draw, good, kind.changes)


def fuzz(kind: Kind, numbers: range, seconds: float = math.inf) -> Outcome:
    """Read the inputs with these numbers, as far as that takes no longer than `seconds`.

    A fault is an unexpected error, an error whose message is not one printable line, or a content that should have been
    rejected but was read with another meaning.
    """
    outcome = Outcome()
    meanings = {good: kind.read(good) for good in kind.good}
    warnings.simplefilter("ignore")
    until = time.monotonic() + seconds
    for number in numbers:
        if time.monotonic() > until:
            break
        good, content = changed(kind, number)
        try:
            found = kind.read(content)
        except kind.refusals as error:
            message = str(error)
            if message.isprintable():
                outcome.counts[REFUSED] += 1
            else:
                outcome.fault(number, f"the message has unprintable characters: {message!r:.200}")
        except Exception as error:
            outcome.fault(number, f"{type(error).__name__}: {error!r:.200}")
        else:
            if found == meanings[good]:
                outcome.counts[SAME] += 1
            elif not kind.sealed or kind.allowed(found, meanings[good]):
                outcome.counts[OTHER] += 1
            else:
                outcome.fault(number, f"{len(content)} bytes are read with another meaning")
        if number % 1000 == 999:
            gc.collect()
    return outcome


def one_kind(name: str, numbers: range, seconds: float = math.inf) -> tuple[Outcome, float]:
    """Fuzz a kind in this process; return the outcome and the seconds."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    memory = Path("/dev/shm")  # in memory, where writing files is much faster
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=memory if memory.is_dir() else None) as folder:
        (kind,) = [kind for kind in kinds(Path(folder)) if kind.name == name]
        began = time.perf_counter()
        return fuzz(kind, numbers, seconds), time.perf_counter() - began
