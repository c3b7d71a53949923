"""Demonstrate: ddmlp demo --kill"""

import argparse
import logging
import math
import shutil
import signal
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddmlp.cli.serve import END_SECONDS, add_address, check_address, open_listener, url_of, web_server
from ddmlp.cli.terminal import Parser, check_range, command
from ddmlp.cli.train import default_data
from ddmlp.config import MAX_WORKERS
from ddmlp.data.sources.registry import is_stream
from ddmlp.errors import ConfigError, MachineError, require_extra, require_package

if TYPE_CHECKING:  # these import NumPy, which --help need not wait for
    from ddmlp.api.result import Result
    from ddmlp.runs.run import Run

EXTRAS = "ray,serve"
WORKERS, SECONDS, EVERY = 4, 40.0, 8.0
# Ten microbatches a step: more units than two or four workers take at a time, so that the queue has some. The number of
# epochs is that of a run that is stopped before.
SETTINGS: dict[str, Any] = {
    "hidden": 512, "batch": 2_560, "microbatch": 256, "lr": 1.0, "lr_schedule": "constant", "epochs": 1_000,
}  # fmt: skip
STATUS_SECONDS = 5.0  # between lines about the progress


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp demo",
        description="Show training with workers, on this machine: trains with a trace, shows the run on a page, and "
        "computes it again in one process, to the same weights.",
    )
    parser.add_argument("--kill", type=float, nargs="?", const=EVERY, metavar="SECONDS", help="every SECONDS (default: "
                        f"{EVERY:g}), kill a worker, or stop one for a while, in turn")  # fmt: skip
    parser.add_argument("--data", help="what to train on, as for `ddmlp train` (default: data)")
    parser.add_argument("--run", type=Path, help="folder of the run (default: a new one under runs/)")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="Ray workers (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to train, once all workers are "
                        "connected (default: %(default)g)")  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_address(parser)
    args = parser.parse_args(arguments)
    check_address(args)
    check_range("--workers", args.workers, 1, MAX_WORKERS)
    check_range("--seconds", args.seconds, 1)
    check_range("--kill", args.kill, 1)
    if args.kill and args.workers < 2:
        raise ConfigError(f"--kill needs 2 or more workers, found {args.workers}: the others continue")
    if args.kill and not shutil.which("ps"):
        raise ConfigError("--kill needs the command ps, which is not found; install it (on Debian: procps)")
    if not math.isfinite(args.seconds):
        raise ConfigError(f"--seconds is {args.seconds}, expected a finite number")
    if is_stream(args.data):
        raise ConfigError(f"--data is {args.data}, expected data that can be read twice")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Raises MachineError if the two results differ."""
    args = parse(arguments)
    require_package("ray", EXTRAS, "ddmlp demo")
    with require_extra(EXTRAS, "ddmlp demo"):
        import uvicorn  # noqa: F401 - before anything else happens
    from ddmlp.api.rows import rows_of
    from ddmlp.api.run import new_run

    data = args.data or default_data()
    for number in (signal.SIGTERM, signal.SIGHUP):  # all end the run as Ctrl-C does
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    with new_run(args.run) as run:
        run.refuse_old()
        rows_of(data, None, run, None, follow=False)  # a wrong folder is found before the page says that it shows a run
        show(args, data, run)


def show(args: argparse.Namespace, data: str, run: "Run") -> None:
    """Train and compare, while the page is served."""
    with page(args, run) as url:
        print(f"{url}  shows the run; Ctrl-C ends all", flush=True)
        if args.open:
            webbrowser.open(url)
        result = train(args, data, run)
        compare(result)
        print(f"{url}  still shows the run; Ctrl-C ends it", flush=True)
        wait()


def train(args: argparse.Namespace, data: str, run: "Run") -> "Result":
    """Train with workers, and disturb them if asked to."""
    import ddmlp
    from ddmlp.cli.disturber import Disturber, WorkerProcesses
    from ddmlp.runs.log_files import LogFile, logging_to

    say = timed()
    processes = WorkerProcesses(say)
    disturber = Disturber(processes, args.workers, args.seconds, args.kill, say)
    say(f"{args.workers} workers start on Ray")
    with logging_to(LogFile.of_run(run.path, "train"), logging.INFO), logging_to(processes, logging.INFO):
        result = ddmlp.fit(
            data,
            run=run.path,
            workers=args.workers,
            address="local",
            trace=True,
            callbacks=[disturber, status(say)],
            progress=False,
            **SETTINGS,
        )
    struck = f", {len(disturber.killed)} workers killed, {len(disturber.stopped_workers)} stopped for a while"
    say(f"step {result.steps:,} is the last one{struck if args.kill else ''}")
    return result


def compare(result: "Result") -> None:
    """Compute the run again in one process; raises MachineError if the weights differ."""
    import ddmlp
    from ddmlp.runs.run import Run

    print(f"the same {result.steps:,} steps again, in one process and undisturbed:", flush=True)
    with tempfile.TemporaryDirectory(prefix="ddmlp-demo-") as folder:
        stop = None if result.finished else result.steps
        alone = ddmlp.fit(Run(result.run).origin().data, run=Path(folder, "run"), stop_after=stop, **SETTINGS)
    print(
        f"with workers    weights sha256 {result.weights_sha256}\none process     weights sha256 {alone.weights_sha256}"
    )
    if result.weights_sha256 != alone.weights_sha256:
        raise MachineError(
            f"the weights of {result.run} differ from those that one process computes on this machine; `ddmlp verify` "
            "finds the step; please report this"
        )
    print("the same, bit for bit", flush=True)


def timed() -> Callable[[str], None]:
    """Return a function that prints a line, after the seconds since now."""
    begin = time.monotonic()
    return lambda text: print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)


def status(say: Callable[[str], None]) -> Any:
    """Return a callback that says every STATUS_SECONDS how far the run is."""
    from ddmlp.api.callback import Callback
    from ddmlp.runs.events import Progress

    class Status(Callback):
        said, rows = time.monotonic(), 0

        def on_step(self, progress: Progress) -> None:
            if (seconds := time.monotonic() - self.said) >= STATUS_SECONDS:
                # Since the last line: that of an event may be the speed of a single step.
                speed = max(0, progress.rows - self.rows) / seconds
                say(f"step {progress.step:,}, {progress.workers} workers, {speed:,.0f} rows/s")
                self.said, self.rows = time.monotonic(), progress.rows

    return Status()


@contextmanager
def page(args: argparse.Namespace, run: "Run") -> Iterator[str]:
    """Serve the page of a run in the block; yields its address."""
    from ddmlp.serving.models import Newest

    with ExitStack() as stack:
        listener = stack.enter_context(open_listener(args.host, args.port))
        server = web_server(Newest(run), run.path.name, run, listener, args.allow_host)
        thread = threading.Thread(target=server.run, args=([listener],), name="page")
        thread.start()
        try:
            yield f"{url_of(listener)}#picture"
        finally:
            server.should_exit = True
            thread.join(2 * END_SECONDS)


def wait() -> None:
    """Wait for Ctrl-C."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    command(main)
