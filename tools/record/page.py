"""The page docs/record.md, made of finished runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ddmlp
from ddmlp.cli.shell import command_line
from ddmlp.config import TrainConfig, flag
from ddmlp.data.manifest import Manifest
from ddmlp.runs.result import RunResult
from tools.benchmarks.record import environment
from tools.benchmarks.templates import templates
from tools.record import validation
from tools.record.minutes import Minutes
from tools.record.seeds import Seed
from tools.record.validation import Line
from tools.train_mnist import KNOWN

TEMPLATE = "page.md.j2"


def percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:.{digits}f} %"


def duration(seconds: float | None) -> str:
    return "interrupted" if seconds is None else f"{seconds / 60:.1f} min"


def train_command(seed: Seed) -> str:
    """The command that makes the run of a seed."""
    default = TrainConfig().as_dict()
    changed = {name: value for name, value in seed.config.as_dict().items() if value != default[name]}
    words = [word for name, value in changed.items() for word in (flag(name), str(value))]
    return command_line(["ddmlp", "train", "--run", f"runs/{seed.folder.name}", *words])


def table(lines: Sequence[Line]) -> str:
    """What was compared on held-out rows, as Markdown."""
    heads = ["error of held-out rows", "seeds", *(flag(name).removeprefix("--") for name in validation.SHOWN)]
    rows = [heads, ["---"] * len(heads)]
    for line in lines:
        cells = [str(value) or "none" for value in line.settings.values()]
        error = percent(line.mean) + (f" ± {percent(line.deviation)}" if line.errors[1:] else "")
        rows.append([error, str(len(line.errors)), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(seeds: Sequence[Seed], runs: Path, minutes: Minutes | None = None) -> str:
    """The text of the page. All runs of the seeds are finished; minutes: the recipe of minutes, if it was measured."""
    data = seeds[0].data
    results: list[RunResult] = [result for seed in seeds if (result := seed.result())]
    errors = [result.test_error for result in results if result.test_error is not None]
    assert len(errors) == len(seeds)
    committee = ddmlp.evaluate([str(seed.folder) for seed in seeds], data)
    manifest = Manifest.read(data / "train")
    known = KNOWN.get(manifest.sha256())
    context: dict[str, Any] = {
        "rows": list(zip(seeds, results, strict=True)),
        "errors": Line({}, errors),
        "committee": committee,
        "members": command_line([word for seed in seeds for word in ("--model", f"runs/{seed.folder.name}")]),
        "full": known is not None and known.name == "full MNIST",
        "train_rows": manifest.rows,
        "network": f"{manifest.pixels}-{seeds[0].config.hidden}-{manifest.classes}",
        "config": seeds[0].config,
        "command": train_command(seeds[0]),
        "environment": environment(),
        "tried": table(list(validation.lines(runs))),
        "any_tried": any(True for _ in validation.lines(runs)),
        "minutes": minutes,
    }
    found = templates(Path(__file__).parent)
    found.filters |= {"percent": percent, "duration": duration}
    return found.get_template(TEMPLATE).render(context)
