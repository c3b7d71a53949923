"""The report shows runs of every kind, and loads nothing from elsewhere."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.inference.saved_model import load_model
from ddmlp.reporting import write_report
from ddmlp.reporting.page import MAX_MATRIX, page, verdict
from ddmlp.reporting.summary import RunSummary, read_summary
from ddmlp.runs.records import Records
from tests.support.html import Page

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def written(folder: Path, *runs: Path) -> Page:
    """Write the report of the runs to `folder`, and read it."""
    write_report(runs, folder / "page.html")
    return Page((folder / "page.html").read_text())


@pytest.fixture(scope="module")
def plain(runs: Path) -> RunSummary:
    return read_summary(runs / "plain")


@pytest.fixture(scope="module")
def pages(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The reports of one run, of a stream, and of four side by side."""
    folder = tmp_path_factory.mktemp("pages")
    sets = {"plain": ["plain"], "stream": ["stream"], "four": ["plain", "late", "part", "stream"]}
    return {key: written(folder, *(runs / name for name in names)) for key, names in sets.items()}


def test_simple(pages, runs):
    page, result = pages["plain"], json.loads((runs / "plain" / "result.json").read_bytes())
    for words in (result["weights_sha256"], result["chain"], result["dataset_sha256"], "hidden 16", "finished"):
        assert words in page.text
    assert "Not shown" not in page.text
    assert page.marked == []
    assert len(page.html) < 500_000


def test_result_comes_first(pages, plain):
    first = pages["plain"].text.split("Training")[0]
    assert f"{plain.result.test_error:.2%} test error" in first
    assert "bit for bit" not in first


def test_headline(plain, runs):
    stream = read_summary(runs / "stream")
    untested = replace(stream, result=structs.replace(stream.result, test_error=None, test_rows=None))
    assert untested.headline == f"{stream.result.prequential.error:.2%} prequential error"
    going = replace(plain, result=None, model_step=7)
    assert going.headline == f"{plain.evaluation.error:.2%} test error at step 7"
    assert replace(going, evaluation=None).headline.startswith("unfinished")


def test_verdict(plain, runs):
    late, part = read_summary(runs / "late"), read_summary(runs / "part")
    assert verdict(["a"], [plain]) == ""
    assert verdict(["a", "b"], [plain, plain]).endswith("2 runs are equal, bit for bit.")
    assert verdict(["a", "b"], [plain, late]).endswith("2 runs differ.")
    assert "a, c; b, e." in verdict(list("abcde"), [plain, late, plain, part, late])
    chain = replace(plain, result=None)  # its last checkpoint has the same weights
    assert "equal" in verdict(["a", "b"], [plain, chain])
    assert "b has neither" in verdict(["a", "b"], [plain, replace(chain, last=None)])


@pytest.mark.parametrize("key", ["plain", "stream", "four"])
def test_self_contained(pages, key):
    page = pages[key]
    assert page.outside() == []
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in page.all("meta")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "prefers-color-scheme: dark" in page.html
    assert "@media print" in page.html


@pytest.mark.parametrize("key", ["plain", "stream", "four"])
def test_texts_of_pictures(pages, key):
    page = pages[key]
    assert all(picture["alt"] for picture in page.all("img"))
    assert len(page.pictures()) == len(page.all("svg")) > 4
    assert all(page.pictures())


def test_keyboard_scrolling(pages):
    page = pages["four"]
    boxes = [each for each in page.all("div") if each.get("class") == "wide"]
    assert len(boxes) == len(page.tables) > 6
    assert all(each["tabindex"] == "0" for each in boxes + page.all("pre"))
    assert page.all("html") == [{"lang": "en"}]


def test_references(pages):
    page = pages["four"]
    defined = {each["id"] for _, each in page.elements if "id" in each}
    used = {each["xlink:href"][1:] for _, each in page.elements if "xlink:href" in each}
    assert used
    assert used <= defined


def test_confusion_matrix(pages, runs, data):
    due = evaluate(load_model(runs / "plain").weights, Dataset(data / "test")).confusion
    head, *rows = pages["plain"].rows("confusion")
    assert head == ["", *"0123456789"]
    assert [[0 if cell == "·" else int(cell) for cell in cells] for _, *cells in rows] == due.tolist()


def test_many_classes(plain):
    confusion = np.eye(MAX_MATRIX + 1, dtype=np.int64)
    confusion[30, 31] = 2_000
    found = Page(page([replace(plain, evaluation=Evaluation(confusion, 1.0, np.array([], np.intp)))]))
    assert found.rows("confusion") == []
    assert ["30", "31", "2,000"] in found.rows()


def test_mistakes(pages, plain):
    page, first = pages["plain"], plain.mistakes[0]
    assert f"{first.truth} classified as {first.recognised} , with {first.confidence:.1%}" in page.text
    assert sum("classified as" in picture["alt"] for picture in page.all("img")) == 12
    told = [each for each in page.pictures() if each.startswith("Probabilities: ")]
    assert [re.findall(r"(\d): [\d.]+%", each) for each in told] == [list("0123456789")] * 12


def test_no_mistakes(plain):
    assert "Most confident mistakes None." in Page(page([replace(plain, mistakes=[])])).text


def test_several_runs(pages, runs):
    page = pages["four"]
    rows = {name: values for name, *values in page.rows()}
    assert rows[""] == ["plain", "late", "part", "stream"]
    assert rows["delay"] == ["0", "2", "0", "0"]
    hashes = [json.loads((runs / name / "result.json").read_bytes())["weights_sha256"] for name in rows[""]]
    assert rows["weights sha256"] == hashes
    assert {*hashes[1:], "2"} <= {*page.marked}
    assert hashes[0] not in page.marked
    assert "16" not in page.marked


def test_equal_names(runs, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(runs / "plain", tmp_path / folder / "run")
    page = written(tmp_path, tmp_path / "a" / "run", tmp_path / "b" / "run")
    assert str(tmp_path / "a" / "run") in page.text
    assert str(tmp_path / "b" / "run") in page.text


def test_commands(pages, plain):
    assert plain.command in unescape(pages["plain"].html)
    assert f"compare {plain.check}" in pages["plain"].text


def test_only_begun(runs, tmp_path):
    (tmp_path / "config.json").write_bytes((runs / "plain" / "config.json").read_bytes())
    page = written(tmp_path, tmp_path)
    assert "Not shown" in page.text
    assert "--hidden 16" in page.text
    assert "Time" not in page.text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_stays_text(plain, text):
    bare = replace(plain, records=Records([]), evaluation=None, model=None, missing=[text])
    assert " ".join(f"Not shown {text} Settings".split()) in Page(page([bare])).text


def test_hostile_names(runs, tmp_path):
    hostile = """<img src=x onerror=alert(1)>&"'$x_1$"""
    run = tmp_path / hostile
    shutil.copytree(runs / "plain", run)
    found = json.loads((run / "result.json").read_bytes())
    (run / "result.json").write_text(json.dumps(found | {"versions": {hostile: hostile}}))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": "start", "step": 80, "complaints": [hostile]}) + "\n")
    for others in ([], [runs / "late"]):
        page = written(tmp_path, run, *others)
        assert page.outside() == []
        assert f"Not shown {f'{hostile} ' if others else ''}{hostile}" in page.text
        assert f"ddmlp: {hostile}" in page.text or others
