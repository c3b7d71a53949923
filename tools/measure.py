"""Measure what the README says: python tools/measure.py accuracy|speed|checkpoints|modes DATA

    accuracy     the default settings over 5 seeds: test error, mean and standard deviation
    speed        2 epochs with 0 to 4 workers, with the default batch and a large one, in turns: rows/s, median and
                 spread; and that the number of workers does not change the hash
    modes        5 epochs with a delay and with staleness, with 1, 2 and 4 workers, over 3 seeds: test error and rows/s
    checkpoints  5 runs of 3 epochs with the default settings: what share of the training time checkpoints take

DATA is a folder with train/ and test/. Prints a Markdown table.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ddmlp.errors import TrainingError
from ddmlp.terminal import Parser, command

SEEDS = 5
REPEATS = 5
WORKERS = (0, 1, 2, 4)
MODES = {
    "synchronous": (),
    "--delay 1": ("--delay", "1"),
    **{f"--staleness {bound}": ("--staleness", bound) for bound in ("1", "4", "16", "inf")},
}
MODE_WORKERS, MODE_SEEDS = (1, 2, 4), 3
BATCHES = {"64, 32": (), "1,024, 128": ("--batch", "1024", "--microbatch", "128")}


def train(data: Path, *flags: str) -> dict[str, Any]:
    """The result of the training command with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        words = [sys.executable, "-m", "ddmlp.train", "--data", str(data), "--run", str(run), *flags]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise TrainingError(f"{' '.join(words)} failed: {done.stderr.strip()}")
        result: dict[str, Any] = json.loads((run / "result.json").read_bytes())
        events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        written = [event["seconds"] for event in events if event["event"] == "checkpoint"]
        return {**result, "checkpoints": len(written), "checkpoint_seconds": sum(written)}


def accuracy(data: Path) -> None:
    errors = []
    for seed in range(SEEDS):
        errors.append(train(data, "--seed", str(seed))["test_error"] * 100)
        print(f"seed {seed}: {errors[-1]:.2f} %", file=sys.stderr, flush=True)
    mean, deviation = statistics.mean(errors), statistics.stdev(errors)
    print("| seed | test error |\n| --- | --- |")
    print("\n".join(f"| {seed} | {error:.2f} % |" for seed, error in enumerate(errors)))
    print(f"| mean ± standard deviation | {mean:.2f} ± {deviation:.2f} % |")


def speed(data: Path) -> None:
    found: dict[tuple[str, int], list[float]] = {(name, workers): [] for name in BATCHES for workers in WORKERS}
    hashes: dict[str, set[str]] = {name: set() for name in BATCHES}
    for repeat in range(REPEATS):
        # In turns, so that a machine whose speed drifts is fair to all.
        for (name, workers), speeds in found.items():
            result = train(data, "--epochs", "2", "--workers", str(workers), *BATCHES[name])
            speeds.append(result["rows_per_second"])
            hashes[name].add(result["weights_sha256"])
        print(f"{repeat + 1} of {REPEATS}", file=sys.stderr, flush=True)
    if any(len(different) != 1 for different in hashes.values()):
        raise TrainingError(f"the number of workers changed the hash, which it must not: {hashes}")
    print("| batch, microbatch | workers | rows/s, median (lowest to highest) | of one process |")
    print("| --- | --- | --- | --- |")
    for (name, workers), speeds in found.items():
        ratio = statistics.median(a / b for a, b in zip(speeds, found[name, 0], strict=True))
        spread = f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})"
        print(f"| {name} | {workers} | {spread} | {ratio:.2f} |")


def modes(data: Path) -> None:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {(mode, n): [] for mode in MODES for n in MODE_WORKERS}
    for seed in range(MODE_SEEDS):
        for (mode, workers), results in found.items():
            flags = ("--epochs", "5", "--seed", str(seed), "--workers", str(workers), *MODES[mode])
            results.append(train(data, *flags))
        print(f"seed {seed + 1} of {MODE_SEEDS}", file=sys.stderr, flush=True)
    heads = ["mode", "workers", "test error, mean ± standard deviation", "staleness, mean (most)"]
    heads += ["rows/s, median (lowest to highest)", "of synchronous"]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for (mode, workers), results in found.items():
        errors = [result["test_error"] * 100 for result in results]
        stale = [result["staleness"] for result in results]
        old = f"{statistics.mean(each['mean'] for each in stale):.2f} ({max(each['max'] for each in stale)})"
        speeds = [result["rows_per_second"] for result in results]
        ratio = statistics.median(
            speed / other["rows_per_second"] for speed, other in zip(speeds, found["synchronous", workers], strict=True)
        )
        spread = f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})"
        error = f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f} %"
        print(f"| {mode} | {workers} | {error} | {old} | {spread} | {ratio:.2f} |")


def checkpoints(data: Path) -> None:
    found = [train(data, "--epochs", "3") for _ in range(REPEATS)]
    shares = [result["checkpoint_seconds"] / result["train_seconds"] for result in found]
    each = [result["checkpoint_seconds"] / result["checkpoints"] * 1000 for result in found]
    print(
        "| checkpoints a run | ms each, median (lowest to highest) | share of the training time |\n| --- | --- | --- |"
    )
    spread = f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"
    share = f"{statistics.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"
    print(f"| {found[0]['checkpoints']} | {spread} | {share} |")


def main() -> None:
    parser = Parser(description="Measure what the README says, as a Markdown table.")
    parser.add_argument("what", choices=["accuracy", "speed", "checkpoints", "modes"])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train/ and test/")
    args = parser.parse_args()
    {"accuracy": accuracy, "speed": speed, "checkpoints": checkpoints, "modes": modes}[args.what](args.data)


if __name__ == "__main__":
    command(main)
