"""Feeds a kind of input with contents that were changed, and counts what comes of them."""

import gc
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

SAME, OTHER, REFUSED, FAULT = "read the same", "read as another", "refused", "fault"
SHOWN = 5  # faults of a kind
MEMORY_BYTES = 8 << 30  # of a process: an input that asks for more is a fault


@dataclass
class Outcome:
    """How many inputs came to what, and the first few that are faults: which input, and what happened."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, number: int, what: str) -> None:
        self.counts[FAULT] += 1
        if len(self.faults) < SHOWN:
            self.faults.append(f"input {number}: {what}")


def changed(kind: Kind, number: int) -> tuple[bytes, bytes]:
    """A good content of the kind, and the input of this number: always the same."""
    draw = random.Random(f"{kind.name} {number}")
    good = kind.good[number % len(kind.good)]
    return good, mutate(draw, good, kind.changes)


def fuzz(kind: Kind, numbers: range) -> Outcome:
    """Read the inputs of these numbers. A fault is an error that is none of ours, one whose message is not one line of
    text, and a content that should have been refused and was read as something else."""
    outcome = Outcome()
    meanings = {good: kind.read(good) for good in kind.good}
    warnings.simplefilter("ignore")
    for number in numbers:
        good, content = changed(kind, number)
        try:
            found = kind.read(content)
        except kind.refusals as error:
            said = str(error)
            if said.isprintable():
                outcome.counts[REFUSED] += 1
            else:
                outcome.fault(number, f"its message has characters that cannot be shown: {said!r:.200}")
        except Exception as error:
            outcome.fault(number, f"{type(error).__name__}: {error!r:.200}")
        else:
            if found == meanings[good]:
                outcome.counts[SAME] += 1
            elif not kind.sealed or kind.allowed(found, meanings[good]):
                outcome.counts[OTHER] += 1
            else:
                outcome.fault(number, f"{len(content)} bytes are read as another content")
        if number % 1000 == 999:
            gc.collect()
    return outcome


def one_kind(name: str, numbers: range) -> tuple[Outcome, float]:
    """Fuzz the kind of that name, in this process; and how many seconds it took."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    memory = Path("/dev/shm")  # where files are written much faster
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=memory if memory.is_dir() else None) as folder:
        (kind,) = [kind for kind in kinds(Path(folder)) if kind.name == name]
        began = time.perf_counter()
        return fuzz(kind, numbers), time.perf_counter() - began
