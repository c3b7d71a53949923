"""The result of a run, read back from result.json."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from ddmlp.errors import RunError
from ddmlp.runs.run import Run


class Prequential(NamedTuple):
    """The prequential error (see `metrics.Prequential`): of the newest `window` rows, and of all."""

    window: int
    error: float
    overall: float


@dataclass(frozen=True)
class Outcome:
    """What a run came to. seconds: of training; staleness: how many updates of each; test_error, test_rows,
    prequential: None where there was no test, or rows were trained on more than once; others: what else there is to
    say, as text."""

    weights_sha256: str
    chain: str
    steps: int
    finished: bool
    rows: int
    seconds: float
    speed: float
    staleness: Counter[int]
    workers: int
    test_error: float | None
    test_rows: int | None
    prequential: Prequential | None
    versions: dict[str, str]
    others: dict[str, str]

    @classmethod
    def read(cls, run: Run) -> "Outcome | None":
        """None where the run has not come to one; raises RunError."""
        found = run.result()
        if found is None:
            return None
        try:
            return cls.of(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{run.path}/result.json is damaged, or another version of ddmlp wrote it: {error}"
            ) from None

    @classmethod
    def of(cls, found: dict[str, Any]) -> "Outcome":
        """Raises KeyError, TypeError, ValueError and AttributeError."""
        tested, first = "test_error" in found, found.get("prequential")
        counted = {"worker_deaths": "workers that died", "server_deaths": "servers that died",
                   "reissued": "units given to a second worker", "compared": "second answers, compared"}  # fmt: skip
        return cls(
            weights_sha256=str(found["weights_sha256"]),
            chain=str(found["chain"]),
            steps=int(found["steps"]),
            finished=bool(found["finished"]),
            rows=int(found["rows"]),
            seconds=float(found["train_seconds"]),
            speed=float(found["rows_per_second"]),
            staleness=Counter({int(each): int(n) for each, n in found["staleness"]["histogram"].items()}),
            workers=int(found["workers"]),
            test_error=float(found["test_error"]) if tested else None,
            test_rows=int(found["test_rows"]) if tested else None,
            prequential=Prequential(int(first["window"]), float(first["error"]), float(first["overall"]))
            if first else None,
            versions={str(name): str(version) for name, version in found["versions"].items()},
            others={text: f"{int(found[name]):,}" for name, text in counted.items() if found.get(name)},
        )  # fmt: skip
