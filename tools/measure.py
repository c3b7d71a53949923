"""Measure what the README and docs/modes.md say: python tools/measure.py accuracy|checkpoints|modes DATA

    accuracy     the default settings over 5 seeds: test error, mean and standard deviation
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

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import TrainingError

SEEDS = 5
REPEATS = 5
MODES = {
    "synchronous": (),
    "--delay 1": ("--delay", "1"),
    **{f"--staleness {bound}": ("--staleness", bound) for bound in ("1", "4", "16", "inf")},
}
MODE_WORKERS, MODE_SEEDS = (1, 2, 4), 3


def train(data: Path, *flags: str) -> dict[str, Any]:
    """The result of the training command with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        words = [sys.executable, "-m", "ddmlp.train", "--no-report", "--data", str(data), "--run", str(run), *flags]
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
    parser.add_argument("what", choices=["accuracy", "checkpoints", "modes"])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train/ and test/")
    args = parser.parse_args()
    {"accuracy": accuracy, "checkpoints": checkpoints, "modes": modes}[args.what](args.data)


if __name__ == "__main__":
    command(main)
