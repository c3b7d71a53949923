"""The report: what it shows of runs of every kind, that it needs nothing from outside, and never harms a run."""

import json
import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli import report, train
from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import evaluate
from ddmlp.inference.model import load_model
from ddmlp.inference.recogniser import Recogniser
from ddmlp.reporting import page as pages
from ddmlp.reporting.charts import MOST_RUNS
from ddmlp.reporting.summary import read_story
from tests.support.helpers import inside
from tests.support.html import Page

SMALL = ["--hidden", "16", "--batch", "100", "--epochs", "2", "--quiet"]


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `plain`, `late` with a delay, `part`, which was stopped, and `stream`; not to change."""
    folder = tmp_path_factory.mktemp("report")
    for name, *flags in [
        ("plain",),
        ("late", "--delay", "2", "--lr", "0.5"),
        ("part", "--stop-after", "50"),
        ("stream", "--follow", "--idle-timeout", "0"),
    ]:
        small = SMALL if name != "stream" else ["--hidden", "16", "--quiet"]
        assert train.main(["--data", str(data), "--run", str(folder / name), *small, *flags]) == 0
    return folder


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """A copy of `plain`, to be changed."""
    shutil.copytree(runs / "plain", tmp_path / "copy")
    return tmp_path / "copy"


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_bytes())


def written(*arguments: object) -> tuple[str, Page]:
    """The page that the command writes, and what is in it."""
    done = inside(report.main, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    html = Path(done.stdout.split()[-1]).read_text()
    return html, Page(html)


def test_simple(runs):
    done = inside(report.main, runs / "plain")
    assert done.stdout == f"report          {runs / 'plain' / 'report.html'}\n"
    html, page = written(runs / "plain")
    found = result(runs / "plain")
    for words in (
        found["weights_sha256"],
        found["chain"],
        found["dataset_sha256"],
        f"{found['test_error']:.2%} ({round(1000 * found['test_error'])} of 1,000 rows)",
        "8,000 in 80 steps",
        f"{found['rows_per_second']:,.0f} rows/s",
        found["versions"]["numpy"],
        "hidden 16",
        "finished",
    ):
        assert words in page.text
    assert "Not shown" not in page.text
    assert len(html) < 500_000


@pytest.mark.parametrize("names", [["plain"], ["stream"], ["plain", "late", "part", "stream"]])
def test_nothing_is_fetched_or_run_and_every_picture_says_what_it_shows(runs, tmp_path, names):
    html, page = written(*(runs / name for name in names), "--out", tmp_path / "page.html")
    assert page.outside() == []
    assert "http" not in html.replace("http-equiv", "")
    assert {"http-equiv": "Content-Security-Policy", "content": pages.POLICY} in page.all("meta")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all(picture["alt"] for picture in page.all("img"))
    assert len(page.all("svg")) > 4
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in page.all("svg"))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_references_within_the_page_lead_to_one_thing(runs, tmp_path):
    _, page = written(*(runs / name for name in ("plain", "late")), "--out", tmp_path / "page.html")
    defined = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    used = {value[1:] for _, attributes in page.elements for name, value in attributes.items() if name == "xlink:href"}
    assert used
    assert used <= defined


def test_training_ends_with_it_and_says_so(data, tmp_path):
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", *SMALL)
    assert f"run             {tmp_path / 'run'} (report.html)\n" in done.stdout
    assert result(tmp_path / "run")["weights_sha256"] in (tmp_path / "run" / "report.html").read_text()


def test_training_writes_none_where_it_is_told_not_to(data, tmp_path):
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", *SMALL, "--no-report")
    assert f"run             {tmp_path / 'run'}\n" in done.stdout
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("error", [ImportError("no matplotlib"), RuntimeError("a\nb"), KeyboardInterrupt()])
def test_a_report_that_fails_does_not_fail_the_run(data, tmp_path, monkeypatch, error):
    def fail(_stories):
        raise error

    monkeypatch.setattr(pages, "page", fail)
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "there is no report: " in done.stdout
    assert f"run             {tmp_path / 'run'}\n" in done.stdout
    assert result(tmp_path / "run")["finished"]
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_confusion_matrix_is_that_of_the_evaluation(runs, data):
    model = load_model(runs / "plain")
    due = evaluate(model.weights, Dataset(data / "test")).confusion
    html, page = written(runs / "plain")
    _, *rows = page.rows(html, "confusion")
    assert [[0 if cell == "·" else int(cell) for cell in cells] for _, *cells in rows] == due.tolist()


def test_the_mistakes_are_the_surest_with_their_probabilities(runs, data):
    model, dataset = load_model(runs / "plain"), Dataset(data / "test")
    pixels, labels = dataset.gather(np.arange(1_000))
    recognise = Recogniser(model)
    y2 = np.concatenate([recognise(pixels[start : start + 100]).copy() for start in range(0, 1_000, 100)])
    predicted = y2.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    due = sorted(wrong.tolist(), key=lambda row: -y2[row, predicted[row]])[:12]
    found = read_story(runs / "plain").mistakes
    assert [mistake.row for mistake in found] == due
    for mistake in found:
        assert (mistake.truth, mistake.recognised) == (labels[mistake.row], predicted[mistake.row])
        assert mistake.probabilities == pytest.approx(y2[mistake.row], abs=1e-6)
        assert mistake.image.tolist() == pixels[mistake.row].reshape(28, 28).tolist()
    _, page = written(runs / "plain")
    first = found[0]
    assert f"a {first.truth}, recognised as {first.recognised} : {first.probabilities.max():.1%} sure" in page.text
    assert sum("recognised as" in picture["alt"] for picture in page.all("img")) == 12
    told = [each["aria-label"] for each in page.all("svg") if each["aria-label"].startswith("Probabilities: ")]
    assert [re.findall(r"(\d): [\d.]+%", each) for each in told] == [list("0123456789")] * 12


def test_several_runs_stand_side_by_side(runs, tmp_path):
    names = ["plain", "late", "part"]
    html, page = written(*(runs / name for name in names), "--out", tmp_path / "page.html")
    for name in names:
        assert name in page.text
        assert result(runs / name)["weights_sha256"] in page.text
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html))
    assert rows["delay"] == "<td>0</td><td><mark>2</mark></td><td>0</td>"
    assert rows["hidden"].count("<mark>") == 0
    assert rows["weights sha256"].count("<mark>") == 2
    loss = next(each["aria-label"] for each in page.all("svg") if each["aria-label"].startswith("Loss"))
    assert all(name in loss for name in names)


def test_runs_of_the_same_name_are_told_apart(runs, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(runs / "plain", tmp_path / folder / "run")
    _, page = written(tmp_path / "a" / "run", tmp_path / "b" / "run", "--out", tmp_path / "page.html")
    assert str(tmp_path / "a" / "run") in page.text
    assert str(tmp_path / "b" / "run") in page.text


@pytest.mark.parametrize("name", ["plain", "late", "part", "stream"])
def test_the_command_that_it_shows_comes_to_the_same_weights(runs, tmp_path, name):
    html, _ = written(runs / name)
    command = read_story(runs / name).command
    assert command in unescape(html)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "ddmlp.train"]
    extra = ["--idle-timeout", "0"] if name == "stream" else []
    assert train.main([*words[3:], *extra, "--run", str(tmp_path / "again"), "--quiet", "--no-report"]) == 0
    assert result(tmp_path / "again")["weights_sha256"] == result(runs / name)["weights_sha256"]


def test_a_delay_has_a_histogram_of_its_staleness(runs):
    _, page = written(runs / "late")
    (about,) = [each["aria-label"] for each in page.all("svg") if each["aria-label"].startswith("Staleness")]
    assert about.endswith("late: 0 in 1, 1 in 1, 2 in 78")
    _, page = written(runs / "plain")
    assert not any(each["aria-label"].startswith("Staleness") for each in page.all("svg"))


def test_a_queue_that_ever_held_more_than_one_is_shown(runs):
    shown = {name: written(runs / name)[1].text for name in ("plain", "late")}
    assert "Queue of units" in shown["late"]
    assert "Queue of units" not in shown["plain"]


def test_a_stream_has_its_prequential_error(runs):
    html, page = written(runs / "stream")
    assert "Prequential error" in page.text
    assert f"{result(runs / 'stream')['prequential']['overall']:.2%} of all" in page.text
    assert "--follow" in html
    _, page = written(runs / "plain")
    assert "Prequential" not in page.text


def test_of_a_run_that_has_not_ended_the_newest_checkpoint_is_shown(copy):
    (copy / "result.json").unlink()
    (copy / "model.npz").unlink()
    html, page = written(copy)
    assert "not ended: at step 80 or later" in page.text
    assert "Not shown" in page.text
    assert "the run has not ended" in page.text
    assert "test error at step 80" in page.text
    assert len(page.rows(html, "confusion")) == 11
    assert "weights sha256 of the last checkpoint" in page.text


def test_a_result_that_is_older_than_the_run_is_not_its_result(data, tmp_path):
    run = tmp_path / "run"
    common = ["--data", str(data), "--run", str(run), *SMALL]
    train.main([*common, "--stop-after", "30"])
    old = (run / "result.json").read_bytes()
    train.main([*common, "--resume"])
    assert "Not shown" not in written(run)[1].text
    sitting = re.search(r"sittings (\d+)", written(run)[1].text)
    assert sitting[1] == "2"
    (run / "result.json").write_bytes(old)
    _, page = written(run)
    assert "result.json is of step 30, and the run has gone on since" in page.text
    assert json.loads(old)["weights_sha256"] not in page.text
    assert "test error at step 80" in page.text


def test_what_data_that_are_gone_leave_unshown_is_said(copy, data):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"data": "/nowhere"}))
    _, page = written(copy)
    assert "confusion matrix and mistakes: there is no folder /nowhere; --data says" in page.text
    assert any("First layer" in picture["alt"] for picture in page.all("img"))
    _, page = written(copy, "--data", data)
    assert "Not shown" not in page.text
    assert "Surest mistakes" in page.text


def test_other_test_data_are_not_taken_for_the_runs(copy):
    (copy / "result.json").write_text(json.dumps(result(copy) | {"test_error": 0.5}))
    _, page = written(copy)
    assert "test data of the run: those in" in page.text


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json", "chain.jsonl", "model.npz"])
@pytest.mark.parametrize("damage", ["gone", "garbled", "another's"])
def test_what_is_damaged_is_named_and_the_rest_is_shown(copy, name, damage):
    if damage == "gone":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(b"\xff\x00{" if damage == "garbled" else b'{"event": "progress", "step": 7}\n')
    _, page = written(copy)
    missing = page.text.split("Not shown")[1] if "Not shown" in page.text else ""
    assert name in missing or (name, damage) in {("chain.jsonl", "gone"), ("result.json", "gone")}
    assert "--hidden" in page.text
    if name != "model.npz":
        assert "Surest mistakes" in page.text
    if name != "metrics.jsonl":
        assert "Loss" in page.text


def test_a_run_that_has_only_begun_has_its_settings(copy):
    for path in copy.iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _, page = written(copy)
    assert "not ended: at step 0 or later" in page.text
    assert "neither a result nor a good checkpoint" in page.text
    assert "--hidden 16" in page.text


def test_everything_is_escaped(runs, tmp_path):
    hostile = """<img src=x onerror=alert(1)>&"'$x_1$"""
    shutil.copytree(runs / "plain", tmp_path / hostile)
    found = result(tmp_path / hostile)
    (tmp_path / hostile / "result.json").write_text(json.dumps(found | {"versions": {hostile: hostile}}))
    with (tmp_path / hostile / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": "start", "step": 80, "complaints": [hostile]}) + "\n")
    for others in ([], [runs / "late"]):
        _, page = written(tmp_path / hostile, *others, "--out", tmp_path / "page.html")
        assert page.outside() == []
        assert f"Not shown {f'{hostile} ' if others else ''}{hostile}" in page.text
        assert f"ddmlp: {hostile}" in page.text or others


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "RUN"),
        (["nowhere"], 1, "nowhere holds no run"),
        (["run", "--out", "nowhere/page.html"], 2, "--out is nowhere/page.html, expected a file"),
        (["run", "--out", "."], 2, "--out is ., expected a file"),
        (["run"] * (MOST_RUNS + 1), 2, f"expected {MOST_RUNS} at most"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(runs, tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(runs / "plain")
    done = inside(report.main, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert words in done.stderr
