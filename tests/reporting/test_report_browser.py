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
