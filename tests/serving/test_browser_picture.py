"""The picture of a run in Chromium: with traces made by hand, whose units are known."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddmlp.config import TrainConfig
from ddmlp.runs.events import Started
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from tests.support.browser import SECONDS, expect
from tests.support.events import progress
from tests.support.hand_trace import HandTrace
from tests.support.servers import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def picture(tmp_path: Path, data: Path, opened: Callable[..., "Page"]) -> Iterator[Callable[..., "Page"]]:
    """Opens the page of a run with this trace."""
    run = Run(tmp_path)
    run.create(Origin(TrainConfig(), data, "0" * 64))
    run.record([Started(0, []), progress(8, answered={0: 50, 1: 1_200, 2: 28})])
    pages: list[Page] = []
    with serving("--run", tmp_path) as server:

        def open_(trace: HandTrace | None, **how: object) -> "Page":
            if trace:
                trace.write(tmp_path)
            pages.append(opened(server, **how))
            return pages[-1]

        yield open_
        for page in pages:
            page.context.close()  # before the server, which it asks again and again


def test_simple(picture):
    """The units of the newest steps move, and the texts say where they are."""
    trace = HandTrace()
    trace.step_number = 1_200
    for _ in range(20):
        trace.step()
    page = picture(trace)
    expect(page.locator("#picture .worker .title")).to_have_text(["Worker 0", "Worker 1", "Worker 2"], timeout=SECONDS)
    expect(page.locator("#picture .unit").first).to_be_visible(timeout=SECONDS)
    expect(page.locator("#picture .said")).to_contain_text(re.compile(r" 1,2\d\d"))
    expect(page.locator("#picture .how")).to_contain_text("1 of ")
    expect(page.locator("#picture .unit.whole").first).to_be_visible(timeout=SECONDS)  # a gradient
    expect(page.locator("#picture .server.fresh")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#picture svg")).to_have_class("wide")
    assert "Worker 2" in page.locator("#picture svg").get_attribute("aria-label")
    # The trace does not name its lanes, as a page that is opened late does not read the names.
    timeline = page.locator("#timeline canvas")
    expect(timeline).to_have_attribute("data-names", "server,worker 0,worker 1,worker 2", timeout=SECONDS)
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    still = [page.locator("#picture svg").evaluate(WAITED) for _ in range(2)]
    assert still[0] == still[1]
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#picture svg")).not_to_have_attribute("aria-label", label(page), timeout=SECONDS)


def test_new_run(picture, tmp_path):
    """A run takes the place of another one: only its own workers are shown."""
    trace = HandTrace(workers=4)
    for _ in range(20):
        trace.step()
    page = picture(trace)
    expect(page.locator("#picture .unit").first).to_be_visible(timeout=SECONDS)
    trace = HandTrace(workers=0, start=2 * 10**15)
    trace.join(7)
    for _ in range(9):
        trace.step()
    trace.write(tmp_path)
    expect(page.locator("#picture .worker .title")).to_have_text(["Worker 7"], timeout=SECONDS)
    expect(page.locator("#timeline canvas")).to_have_attribute("data-names", "server,worker 7", timeout=SECONDS)
    for name in ("metrics.jsonl", "config.json"):
        (tmp_path / name).unlink()
    expect(page.locator("#picture")).to_be_hidden(timeout=SECONDS)


# The drawing, some frames later.
WAITED = """async (svg) => {
  for (let each = 0; each < 10; each += 1) await new Promise(requestAnimationFrame);
  return svg.innerHTML;
}"""


def label(page: "Page") -> str:
    found: str = page.locator("#picture svg").get_attribute("aria-label")
    return found


def test_without_trace(picture):
    page = picture(None)
    expect(page.locator("#picture .worker .title")).to_have_text(["Worker 0", "Worker 1", "Worker 2"], timeout=SECONDS)
    expect(page.locator("#picture .worker").nth(1)).to_contain_text("1,200 units")
    expect(page.locator("#picture .queue")).to_contain_text("1 unit open")
    expect(page.locator("#picture .server")).to_contain_text("100 rows/s")
    expect(page.locator("#picture .how")).to_contain_text("--trace")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_one_process(run_server, opened):
    """It has no queue and no workers."""
    page = opened(run_server)
    expect(page.locator("#picture .worker .title")).to_have_text(["One process"], timeout=SECONDS)
    expect(page.locator("#picture .queue, #picture .server")).to_have_count(0)


def test_phone(picture):
    """All is on the screen, one below the other. Who wants no movement gets pictures in which nothing is on its way."""
    trace = HandTrace(workers=4)
    for _ in range(12):
        trace.step()
    trace.step(killed=3)
    for _ in range(5):
        trace.step()
    phone = {"width": 390, "height": 844}
    page = picture(trace, viewport=phone, color_scheme="dark", reduced_motion="reduce")
    expect(page.locator("#picture svg")).to_have_class("tall", timeout=SECONDS)
    expect(page.locator("#picture .worker.dead .title")).to_have_text("Worker 2", timeout=SECONDS)
    expect(page.locator("#picture .worker.dead .cross")).to_be_visible()
    expect(page.locator("#picture .said")).to_have_attribute("data-moment", "death")
    expect(page.locator("#picture .unit").first).to_be_visible(timeout=SECONDS)
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = page.locator("#picture svg > g > rect, #picture svg text").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    assert all(left >= 0 and right <= 390 for left, right in boxes)
    assert page.evaluate(OFF_PLACE) == []


# The units that are not at their places.
OFF_PLACE = """async () => {
  const { pointOf, stageOf } = await import("./pages/stage.js");
  const stage = stageOf(4, false);
  const places = [];
  for (const at of ["queue", "hand", "work", "way", "server"]) {
    for (const lane of [1, 2, 3, 4]) {
      for (let slot = 0; slot < 8; slot += 1) places.push(pointOf(stage, { at, lane, slot }, [1, 2, 3, 4]));
    }
  }
  const known = new Set(places.map(([x, y]) => `translate(${x.toFixed(1)} ${y.toFixed(1)})`));
  const units = [...document.querySelectorAll("#picture .unit")].map((each) => each.getAttribute("transform"));
  return units.filter((each) => !known.has(each));
}"""
