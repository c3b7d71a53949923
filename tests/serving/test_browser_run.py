"""The page of a run in Chromium, driven by Playwright.

Each test closes its page before the server, which the page asks again and again.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddmlp.config import TrainConfig
from ddmlp.runs.events import Drift, Lost, Started
from ddmlp.runs.lag import Lag, write_lag
from ddmlp.runs.measures import PrequentialError
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from tests.support.browser import SECONDS, answered, draw, expect
from tests.support.events import progress
from tests.support.servers import serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser


@contextmanager
def training(data: Path, run: Path, *flags: str) -> Iterator[None]:
    """A run that trains during the block."""
    words = [sys.executable, "-m", "ddmlp.train", "--data", str(data), "--run", str(run), "--quiet", *flags]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "the training ended too early"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def fact(page: "Page", name: str) -> "Locator":
    """The value of the fact `name`."""
    return page.locator("#facts div", has=page.get_by_text(name, exact=True)).locator("dd")


def test_training_run(data, tmp_path, opened, digit_of):
    run = tmp_path / "run"
    with serving("--run", run) as server:
        page = opened(server)
        expect(page.locator("#state")).to_have_text("Not started yet.", timeout=SECONDS)
        expect(page.locator("#curves figure:visible")).to_have_count(0)
        with training(data, run, "--epochs", "10000", "--hidden", "100", "--checkpoint-every", "1000"):
            expect(page.locator("#state")).to_have_text("Training.", timeout=SECONDS)
            expect(page.locator("#log li").last).to_have_text("step 0 Started.")  # the log keeps the newest lines
            expect(page.locator("#facts")).to_contain_text("Last checkpoint", timeout=SECONDS)
            expect(page.locator("#curves figure:visible")).to_have_count(4, timeout=SECONDS)
            with answered(page):
                draw(page, digit_of[0])
            seen = []
            for _ in range(3):
                # Read the curve first, so that it is not newer than the step.
                curve = page.locator("#curves polyline").first.get_attribute("points")
                step = fact(page, "Step").inner_text()
                answer = page.locator("#answer").inner_text()
                assert re.search(r"\bstep [\d,]+\)$", answer)
                seen.append((step, curve, answer))
                assert re.fullmatch(r"[\d,]+ of 5,000,000", step), step
                assert re.search(r"\d (h|min|s)\b", fact(page, "Time left").inner_text())
                expect(fact(page, "Step")).not_to_have_text(step, timeout=SECONDS)
                expect(page.locator("#answer")).not_to_have_text(answer, timeout=SECONDS)
            expect(page.locator("#log li", has_text="Checkpoint written").first).to_be_visible()
            for each in zip(*seen, strict=True):
                assert len(set(each)) == 3
        page.close()


def test_opened_at_the_picture(data, tmp_path, opened):
    """Before the run begins: the picture appears with the run, and then the page scrolls there."""
    run = Run(tmp_path / "run")
    with serving("--run", run.path) as server:
        page = opened(server, "#picture")
        expect(page.locator("#state")).to_have_text("Not started yet.", timeout=SECONDS)
        expect(page.locator("#log-title")).to_be_hidden()
        run.path.mkdir()
        run.create(Origin(TrainConfig(), data, "0" * 64))
        run.record([Started(0, []), progress(8, answered={0: 50})])
        expect(page.locator("h1")).not_to_be_in_viewport(timeout=SECONDS)
        expect(page.locator("#log-title")).to_have_text("Log")
        page.close()


def test_timeline(data, tmp_path, opened):
    """It appears with the trace, and moves with it until it is zoomed."""
    run = tmp_path / "run"
    with serving("--run", run) as server:
        page = opened(server, viewport={"width": 390, "height": 800})
        expect(page.locator("#state")).to_have_text("Not started yet.", timeout=SECONDS)
        expect(page.locator("#timeline")).to_be_hidden()
        with training(data, run, "--epochs", "10000", "--hidden", "100", "--trace"):
            canvas = page.locator("#timeline canvas")
            expect(canvas).to_have_attribute("data-lanes", "1", timeout=SECONDS)
            for _ in range(2):
                expect(canvas).not_to_have_attribute("data-to", canvas.get_attribute("data-to"), timeout=SECONDS)
            assert canvas.evaluate("each => each.dataset.to - each.dataset.from") > 1_000, "more than the first event"
            page.get_by_role("button", name="Zoom in").click()
            ends = []
            for _ in range(2):
                for _ in range(3):  # parts of the trace, of which the page has two at least
                    with page.expect_response("**/trace?*"):
                        pass
                ends.append(canvas.get_attribute("data-to"))
            assert ends[0] == ends[1]
            expect(canvas).to_have_attribute("aria-label", re.compile(r"0 workers; in view: .*s\."))
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.close()


def test_finished_run(run_server, trained, opened):
    page = opened(run_server)
    expect(page.locator("#state")).to_have_text("Finished.", timeout=SECONDS)
    result = json.loads((trained / "result.json").read_text())
    expect(page.locator("#facts")).to_contain_text(f"{result['steps']:,}")
    expect(page.locator("#facts")).to_contain_text(result["weights_sha256"][:12])
    assert fact(page, "Step").inner_text() == f"{result['steps']:,} of {result['steps']:,}"
    expect(fact(page, "Time left")).to_have_count(0)
    page.get_by_role("link", name="Report").click()
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=SECONDS)
    assert result["weights_sha256"] in page.content()
    assert page.locator("section").first.evaluate("(each) => getComputedStyle(each.ownerDocument.body).margin") != "8px"
    page.go_back()
    loss = page.locator("#curves svg:visible").first
    expect(loss).to_have_attribute("aria-label", re.compile("^Loss, E, nats: from "), timeout=SECONDS)


def test_workers(data, tmp_path, opened):
    path = Run(tmp_path)
    path.create(Origin(TrainConfig(), data, "0" * 64))
    lost = Lost(step=7, worker=1, host="far<b>", cause="exited", reason="its connection ended")
    path.record(
        [
            Started(0, ["a <note>"]),
            progress(4, answered={0: 30, 1: 10}),
            lost,
            progress(8, answered={0: 50, 2: 3}),  # of those that are connected
        ]
    )
    with serving("--run", tmp_path) as server:
        page = opened(server)
        expect(page.locator("#workers li")).to_have_count(3, timeout=SECONDS)
        assert page.locator("#workers li").all_inner_texts() == [
            "Worker 0\n50 units",
            "Worker 1\n10 units; exited on far<b>",
            "Worker 2\n3 units",
        ]
        assert page.locator("#workers progress").evaluate_all("(all) => all.map((each) => each.value / each.max)") == [
            1,
            10 / 50,
            3 / 50,
        ]
        assert page.locator("#log li").all_inner_texts() == [
            "step 7 Worker 1 on far<b> exited: its connection ended",
            "step 0 Started. a <note>",
        ]
        path.record([Started(4, [])])  # the run is rewound to that step
        expect(page.locator("#workers li")).to_have_count(2, timeout=SECONDS)
        expect(page.locator("#log li").first).to_have_text("step 4 Resumed.")
        page.close()


def test_stream(data, tmp_path, opened):
    """The lag is shown while it is known; an alarm is a dot in the chart of the prequential error."""
    path = Run(tmp_path)
    path.create(Origin(TrainConfig(epochs=1, lr_schedule="constant", follow=True), data, "0" * 64))
    moment = datetime(2026, 11, 29, 12, 3, 7, tzinfo=UTC)
    error = PrequentialError(100, 0.1, 0.1)
    told = [progress(n, rows=100 * n, prequential=error, trained_to=moment) for n in (1, 2, 3)]
    path.record([Started(0, []), *told, Drift(step=3, rows=300, before=0.1, after=0.5)])
    with serving("--run", tmp_path) as server:
        page = opened(server)
        expect(page.locator("#curves figure:visible h3", has_text="Prequential error")).to_be_visible(timeout=SECONDS)
        dots = page.locator("#curves figure", has_text="Prequential error").locator("circle")
        expect(dots).to_have_count(1, timeout=SECONDS)
        expect(page.locator("#log li").first).to_have_text(
            "step 3 Drift alarm: the error has risen from 10.00 % to 50.00 %."
        )
        expect(fact(page, "Lag")).to_have_count(0)
        shown = page.evaluate("(time) => new Date(time).toLocaleString('sv')", moment.isoformat())
        expect(fact(page, "Trained up to")).to_have_text(shown)
        write_lag(tmp_path, Lag(messages=3, rows=1_035, seconds=2.5))
        expect(fact(page, "Lag")).to_have_text("1,035 rows, 3 s", timeout=SECONDS)
        write_lag(tmp_path, Lag(messages=3))
        expect(fact(page, "Lag")).to_have_text("3 messages", timeout=SECONDS)
        write_lag(tmp_path, None)
        expect(fact(page, "Lag")).to_have_count(0, timeout=SECONDS)
        page.close()
