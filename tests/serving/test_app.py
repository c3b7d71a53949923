"""The answers of the application, on a real server."""

import base64
import re

import numpy as np
import pytest

from ddmlp.inference.images import read_image
from ddmlp.inference.saved_model import load_model
from ddmlp.serving.app import PAGES
from ddmlp.serving.security import REPORT_POLICY
from tests.support.servers import JSON, PNG, png


@pytest.fixture(scope="module")
def recognise(trained):
    return load_model(trained).predict_proba


def test_simple(server, digits, trained):
    found = server.predict(digits[0].tolist())
    assert found.status == 200
    answer = found.json
    assert answer.keys() == {"class", "probabilities", "model"}
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert answer["class"] == int(np.argmax(answer["probabilities"]))
    model = load_model(trained)
    assert answer["model"] == {
        "step": None, "weights_sha256": model.weights.sha256(), "image_shape": [28, 28], "classes": 10,
        "explains": True,
    }  # fmt: skip


def test_pixels_stay(server, digits, recognise):
    for digit in digits[:5]:
        assert server.predict(digit.tolist()).json["probabilities"] == recognise(digit[None])[0].tolist()


def test_batch(server, digits, recognise):
    found = server.predict(digits.tolist()).json["predictions"]
    assert [each["probabilities"] for each in found] == recognise(digits).tolist()
    assert server.predict(digits[:1].tolist()).json.keys() == {"predictions", "model"}


@pytest.mark.parametrize("kind", ["png", "base64", "mixed"])
def test_pictures_are_fitted(server, digits, tmp_path, kind):
    sheet = np.full((300, 400), 255, np.uint8)
    sheet[40:264, 130:354] = 255 - digits[1].repeat(8, 0).repeat(8, 1)
    file = png(sheet)
    (tmp_path / "sheet.png").write_bytes(file)
    seen = read_image(tmp_path / "sheet.png", (28, 28)).pixels.tolist()
    text = base64.b64encode(file).decode()
    if kind == "mixed":
        found = server.predict([seen, text], path="/predict?seen=true").json["predictions"]
        assert found[1].pop("done") == ["inverted", "cropped and scaled"]
        assert found[0] == found[1]
        assert found[0]["seen"] == seen
        return
    body, type_ = (file, PNG) if kind == "png" else (text, JSON)
    found = server.predict(body, type_, "/predict?seen=true").json
    assert found["seen"] == seen
    assert found["probabilities"] == server.predict(seen).json["probabilities"]
    assert "seen" not in server.predict(body, type_).json


def test_about(server, trained):
    found = server.get("/about").json
    assert (found["name"], found["live"]) == (str(trained), False)
    assert found["model"]["weights_sha256"] == load_model(trained).weights.sha256()


def test_errors_are_json(server):
    found = server.predict(7)
    assert (found.status, found.headers["content-type"], found.json.keys()) == (422, JSON, {"error"})
    found = server.predict([[0]], path="/predict?seen=perhaps")
    assert (found.status, found.json.keys()) == (422, {"error"})
    assert "query.seen: " in found.json["error"]
    assert server.get("/predict").json == {"error": "Method Not Allowed"}


def test_report(server, run_server, trained):
    assert server.get("/report").status == 404  # it shows no run
    found = run_server.get("/report")
    assert found.body == (trained / "report.html").read_bytes()
    assert found.headers["content-security-policy"] == REPORT_POLICY
    assert found.headers["x-content-type-options"] == "nosniff"


def test_no_other_files(server):
    for path in ("/pages/../serve.py", "/pages/..%2fserve.py", "/pages/%2e%2e/serve.py", "/pages//etc/passwd"):
        assert server.get(path).status == 404


def test_self_contained_pages(server):
    names, found = ["", "docs"], set()
    while names:
        name = names.pop()
        answer = server.get(f"/{name}")
        assert answer.status == 200, name
        found.add(name)
        text = answer.body.decode()
        assert not re.search(r"(?:src|href|url|from|import|fetch)\W{1,3}(?:\w+:)?//", text), name
        imported = [f"pages/{each}" for each in re.findall(r'from "\./([^"]+)"', text)]
        wanted = re.findall(r'(?:src|href)="([^"#]+)"', text) + imported
        names += [each for each in wanted if each not in {*found, *names, "./", "report"}]
    assert "openapi.json" in found
    unused = {path.name for path in PAGES.iterdir()} - {name.removeprefix("pages/") for name in found}
    assert unused == {"index.html", "docs.html"}


def test_no_single_digit(server, digits):
    """Status 422 says what the picture shows instead; ?fit=never takes the pixels as they are."""
    two = np.zeros((40, 80), np.uint8)
    two[6:34, 4:32], two[6:34, 46:74] = digits[0], digits[1]
    found = server.predict(png(255 - two), PNG)
    assert found.status == 422
    assert "no single digit" in found.json["error"]
    seen = server.predict(png(255 - digits[0]), PNG, "/predict?seen=true&fit=never").json["seen"]
    assert seen == (255 - digits[0]).tolist()
    assert server.predict(png(digits[0]), PNG, "/predict?fit=always").json["done"] == ["cropped and scaled"]
    assert server.predict(png(digits[0]), PNG, "/predict?fit=perhaps").status == 422
