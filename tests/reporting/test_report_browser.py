"""The report in Chromium, driven by Playwright, without a network."""

from pathlib import Path

import pytest

import ddmlp
from ddmlp.reporting import write_report

pytestmark = pytest.mark.browser

LUMINANCE = """selector => {
  const found = getComputedStyle(document.querySelector(selector));
  const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + part / 765, 0);
  return {text: light(selector.includes("svg") ? found.fill : found.color), ground: light(found.backgroundColor)};
}"""
OVERFLOWING = """() => [...document.querySelectorAll("main *")].filter(
  each => !each.closest("pre, .wide, svg") && each.getBoundingClientRect().right > innerWidth + 1
).map(each => each.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def reports(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages one.html, both.html and six.html."""
    folder = tmp_path_factory.mktemp("reports")
    runs = [folder / "plain", folder / "of-a-long-name-that-has-no-place-to-break"]
    for run, delay in zip(runs, (0, 2), strict=True):
        ddmlp.fit(data, run=run, hidden=16, epochs=2, delay=delay)
    write_report(runs[:1], folder / "one.html")
    write_report(runs, folder / "both.html")
    write_report(runs * 3, folder / "six.html")
    return folder


@pytest.mark.parametrize("name", ["one.html", "both.html"])
@pytest.mark.parametrize("width", [375, 1_280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_offline_and_readable(browser, reports, name, width, scheme):
    said, asked = [], []
    size = {"width": width, "height": 800}
    with browser.new_context(viewport=size, color_scheme=scheme, offline=True) as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((reports / name).as_uri())
        assert said == []
        assert [url for url in asked if not url.startswith("data:image/png")] == [(reports / name).as_uri()]
        assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
        assert page.evaluate("document.images.length") > 12
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERFLOWING) == []
        body, plot = page.evaluate(LUMINANCE, "body"), page.evaluate(LUMINANCE, "figure svg text")
        assert (body["text"] > body["ground"]) == (scheme == "dark")
        assert abs(body["text"] - body["ground"]) > 0.7
        assert plot["text"] == body["text"]


def test_print(browser, reports):
    with browser.new_context(viewport={"width": 794, "height": 1_123}, color_scheme="dark", offline=True) as context:
        page = context.new_page()
        page.emulate_media(media="print")
        page.goto((reports / "six.html").as_uri())
        body = page.evaluate(LUMINANCE, "body")
        assert (body["text"], body["ground"]) == (0, 1)
        assert page.evaluate(OVERFLOWING.replace("pre, .wide, svg", "svg")) == []


@pytest.fixture(scope="module")
def traced(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with a trace."""
    run = tmp_path_factory.mktemp("traced") / "run"
    return ddmlp.fit(data, run=run, hidden=16, epochs=30, trace=True, report=True).run / "report.html"


@pytest.mark.parametrize("width", [390, 1_280])
def test_timeline(browser, traced, width):
    """It can be zoomed by buttons, wheel, keys and fingers, and says what is at the pointer."""
    said = []
    with browser.new_context(viewport={"width": width, "height": 800}, offline=True, has_touch=True) as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(traced.as_uri())
        canvas = page.locator(".timeline canvas")
        canvas.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.timeline canvas').dataset.lanes === '1'")

        def span(act) -> float:
            """Return how much time is in view after an action, which changes it."""
            before = canvas.evaluate("each => each.dataset.from + each.dataset.to")
            act()
            page.wait_for_function(
                "before => (each => each.dataset.from + each.dataset.to !== before)"
                "(document.querySelector('.timeline canvas'))",
                arg=before,
            )
            return float(canvas.evaluate("each => each.dataset.to - each.dataset.from"))

        whole = span(page.get_by_role("button", name="Show all").click)
        half = span(page.get_by_role("button", name="Zoom in").click)
        assert half == pytest.approx(whole / 2, rel=0.01)
        canvas.hover()
        quarter = span(lambda: page.mouse.wheel(0, -200))
        assert quarter == pytest.approx(whole / 4, rel=0.01)
        canvas.focus()
        assert span(lambda: page.keyboard.press("-")) == pytest.approx(half, rel=0.01)
        assert span(lambda: page.keyboard.press("ArrowRight")) == pytest.approx(half, rel=0.01)
        assert span(lambda: pinch(page, canvas.bounding_box())) == pytest.approx(quarter, rel=0.1)
        span(lambda: page.keyboard.press("Home"))
        box = canvas.bounding_box()
        for part in range(1, 20):
            page.mouse.move(box["x"] + box["width"] * part / 20, box["y"] + 45)
        assert "server: " in page.locator(".timeline [role=status]").inner_text()
        assert box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert said == []


def pinch(page, box) -> None:
    """Move two fingers on a canvas apart, to twice their distance."""
    y, middle, touch = box["y"] + 40, box["x"] + box["width"] / 2, page.context.new_cdp_session(page).send
    for kind, away in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80)):
        points = [{"x": middle + side * away, "y": y, "id": place} for place, side in enumerate((-1, 1))]
        touch("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
