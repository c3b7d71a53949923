"""The chapter on the machine: how much more two processes can do than one, where they exchange nothing."""

from functools import partial

from tools.benchmarks.chapter import Chapter, Found, Setting, interleaved, median_ratio
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.processes import answers

HIDDEN = (300, 800)
BATCH = 128  # the microbatch of several processes
ONE, TWO = "one process", "two at once"
INTRODUCTION = """The dense matrix products of a batch of 128, over and over, by one thread of a process; and by two of
these processes at once, which exchange nothing. So much there is to gain from a second worker, before its messages cost
anything: cores share memory and clock, and what a machine calls two may be two threads of one."""


def products(setting: Setting, hidden: int, processes: int) -> float:
    """rows/s of so many processes together."""
    flags = ("--hidden", hidden, "--batch", BATCH, "--seconds", setting.seconds)
    found = answers(processes, "tools.benchmarks.stopwatch", "bound", setting.data, *flags)
    return float(sum(each["rows_per_second"] for each in found))


def measure(setting: Setting) -> Found:
    found: Found = {}
    for hidden in HIDDEN:
        runs = {ONE: partial(products, setting, hidden, 1), TWO: partial(products, setting, hidden, 2)}
        found[str(hidden)] = interleaved(runs, setting.repeats, f"{hidden}: ")
    return found


def show(found: Found) -> str:
    heads = ["hidden", f"rows/s, {ONE}", f"rows/s, {TWO}", "two to one"]
    rows = [
        [hidden, spread(speeds[ONE]), spread(speeds[TWO]), spread(median_ratio(speeds[TWO], speeds[ONE]), ".2f")]
        for hidden, speeds in found.items()
    ]
    return f"{INTRODUCTION}\n\n{table(heads, rows)}"


CHAPTER = Chapter("two-cores", "What two cores have", measure, show)
