"""Actions on a page in a browser. Playwright is imported late, because other tests do not need it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.strokes import strokes

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SECONDS = 30_000  # Playwright's timeouts are in milliseconds


def expect(found: "Locator") -> Any:
    """Return Playwright's assertions for a locator."""
    from playwright.sync_api import expect

    return expect(found)


def draw(page: "Page", digit: np.ndarray) -> None:
    """Draw a digit with the mouse, in the middle of the canvas and larger than in MNIST."""
    box = page.locator("#pad").bounding_box()
    scale = box["width"] / 28
    for line in strokes(digit):
        points = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in line]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


@contextmanager
def answered(page: "Page") -> Iterator[None]:
    """Wait after the block until the page shows the answer."""
    expect(page.locator("#classes li").first).to_be_attached(timeout=SECONDS)  # the page is ready
    yield
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false", timeout=SECONDS)


def recognised(page: "Page") -> int:
    return int(page.locator("#answer strong").inner_text())
