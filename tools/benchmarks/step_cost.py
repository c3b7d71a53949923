"""Duration of a step in one process without its kernels: reading rows, bookkeeping, metrics."""

import io
import json
import time
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from ddmlp.cli import train
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target
from tools.benchmarks.processes import in_process, length
from tools.benchmarks.record import Entry

HIDDEN, BATCHES = (300, 800), (1, 16, 64)
TARGET_BATCH, MAX_MICROSECONDS = 16, 25  # the target: at most 25 µs at this batch
BEYOND = "µs beyond the kernels"


def cost(data: Path, hidden: int, batch: int, seconds: float) -> dict[str, float]:
    """Train in this process for about `seconds`; return the microseconds per step, without checkpoints."""
    from ddmlp.nn import known_answer, network, steps

    known_answer.check_arithmetic()  # loads the kernels, so that the first step does not
    inside, kernel = 0.0, steps.train_steps

    def timed(*arguments: Any) -> int:
        nonlocal inside
        start = time.perf_counter()
        done = kernel(*arguments)
        inside += time.perf_counter() - start
        return int(done)

    with TemporaryDirectory() as folder, mock.patch.object(network, "train_steps", timed):
        run, settings = Path(folder, "run"), {"microbatch": batch, **length(data, hidden, batch, seconds)}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        with redirect_stdout(io.StringIO()):
            train.main(["--data", str(data), "--run", str(run), "--workers=0", "--quiet", "--no-report", *flags])
        result = json.loads((run / "result.json").read_bytes())
    count, whole = result["steps"], result["train_seconds"]
    return {"µs a step": 1e6 * whole / count, BEYOND: 1e6 * (whole - inside) / count}


def cases(settings: Settings) -> Cases:
    for hidden in HIDDEN:
        for batch in BATCHES:
            arguments = (settings.data, hidden, batch, settings.seconds)
            yield f"{hidden} hidden, batch {batch}", {"ddmlp": partial(in_process, cost, *arguments)}


def targets(entry: Entry) -> list[Target]:
    cases = [f"{hidden} hidden, batch {TARGET_BATCH}" for hidden in HIDDEN]
    return [Target(f"{BEYOND}, {case}", entry.get(case, "ddmlp", BEYOND), most=MAX_MICROSECONDS) for case in cases]


BENCHMARK = Benchmark("step-cost", cases, targets)
