"""What an answer depends on, on the page in Chromium."""

import numpy as np
import pytest

from ddmlp.inference.saved_model import load_model
from tests.support.browser import SECONDS, answered, draw, expect, recognised
from tests.support.servers import serving

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}
PIXELS = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""


def test_simple(server, opened, digit_of, trained):
    """It is closed, and asks for nothing, until it is opened; then it follows the drawing."""
    page = opened(server)
    with answered(page), page.expect_response("**/predict*") as response:
        draw(page, digit_of[3])
    assert "explanation" not in response.value.json()
    expect(page.locator("#saliency")).to_be_hidden()
    with page.expect_response("**/predict*explain=true") as response:
        page.get_by_text("Why this answer?").click()
    answer = response.value.json()
    for name, units in {"#for": "supporting", "#against": "opposing"}.items():
        shown = page.locator(f"{name} li")
        expect(shown).to_have_count(6, timeout=SECONDS)
        for item, unit in zip(shown.all(), answer["explanation"][units], strict=True):
            number = float(item.locator("strong").inner_text().replace("\u2212", "-"))
            assert number == pytest.approx(unit["contribution"], abs=0.006)
            assert f"unit {unit['unit']} " in item.inner_text().replace("\u00a0", " ")
    seen = np.array(answer["seen"], np.uint8)
    expected = load_model(trained).explain(seen[None])
    assert answer["explanation"]["saliency"] == expected.saliency[0].tolist()
    row, column = np.unravel_index(expected.saliency[0].argmax(), (28, 28))
    assert f"row {row + 1}, column {column + 1}," in page.locator("#saliency").get_attribute("aria-label")
    before = page.locator("#for").inner_text()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#for li")).to_have_count(0, timeout=SECONDS)
    with answered(page):
        draw(page, digit_of[0])
    assert recognised(page) == 0
    expect(page.locator("#for li")).to_have_count(6, timeout=SECONDS)
    assert page.locator("#for").inner_text() != before


def test_colours_are_signs(server, opened, digit_of):
    page = opened(server)
    with answered(page):
        draw(page, digit_of[3])
    with page.expect_response("**/predict*explain=true") as response:
        page.get_by_text("Why this answer?").click()
    expect(page.locator("#for li").first).to_be_attached(timeout=SECONDS)
    weights = np.array(response.value.json()["explanation"]["supporting"][0]["weights"])
    canvas = page.locator("#for canvas").first
    painted = np.array(canvas.evaluate(PIXELS)).reshape(112, 112, 4)[2::4, 2::4]
    strong = np.abs(weights) > np.abs(weights).max() / 10
    assert strong.sum() > 50
    blue = painted[..., 2].astype(int) > painted[..., 0]
    assert (blue == (weights > 0))[strong].all()
    assert painted[..., 3].argmax() == np.abs(weights).argmax()


def test_keyboard(server, opened, digit_of):
    page = opened(server, viewport=PHONE, color_scheme="dark")
    with answered(page):
        draw(page, digit_of[3])
    page.locator("#file").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Why this answer?"
    page.keyboard.press("Enter")
    expect(page.locator("#against li")).to_have_count(6, timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for canvas in page.locator("#why canvas").all():
        assert canvas.get_attribute("role") == "img"
        assert "row" in canvas.get_attribute("aria-label")
        assert canvas.bounding_box()["width"] <= PHONE["width"]
    page.keyboard.press("Enter")
    expect(page.locator("#saliency")).to_be_hidden()


def test_wide_images(opened, tmp_path):
    """Images of another shape, of a model with few hidden units, none of which speaks against the answer."""
    path = tmp_path / "wide.npz"
    np.savez(path, W1=np.random.default_rng(1).normal(size=(40, 3)), W2=np.ones((3, 2)))
    (tmp_path / "result.json").write_text('{"image_shape": [4, 10]}')
    with serving("--model", path) as server:
        page = opened(server)
        page.get_by_text("Why this answer?").click()
        with answered(page):
            page.locator("#pad").click(position={"x": 100, "y": 100})
        expect(page.locator("#for li")).to_have_count(3, timeout=SECONDS)
        expect(page.locator("#against li")).to_have_text(["none"])
        box = page.locator("#saliency").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(2.5, abs=0.05)


def test_not_offered(opened, tmp_path):
    """A model that explains no answer: its images are too large."""
    path = tmp_path / "large.npz"
    np.savez(path, W1=np.zeros((129 * 129, 1), np.float32), W2=np.ones((1, 2), np.float32))
    with serving("--model", path) as server:
        page = opened(server)
        expect(page.locator("#classes li")).to_have_count(2, timeout=SECONDS)
        expect(page.locator("#why")).to_be_hidden()
