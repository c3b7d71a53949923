"""The exercises: all can be solved, and typical wrong answers get a line that helps."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.api.exercises import EXERCISES, check, problem
from ddmlp.api.exercises.child import check_file
from ddmlp.api.exercises.functions import CHECKS
from ddmlp.api.exercises.values import DELAY, MICROBATCH, NETWORK, WORKERS
from ddmlp.cli.exercise import main
from ddmlp.errors import ConfigError, RunError
from tests.support.helpers import inside
from tests.support.solutions import FILES, NAMES, WRONG_FILES

PAGE = (Path(__file__).parents[2] / "docs" / "exercises.md").read_text()
SECTIONS = dict(enumerate(re.split(r"\n## \d+\. ", PAGE)[1:], 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ddmlp exercise --data` writes."""
    found = tmp_path_factory.mktemp("exercises") / "exercises"
    done = inside(main, "--data", found)
    assert (done.returncode, done.stdout) == (0, f"wrote {found}\n"), done.stderr
    return found


def function(number: int, text: str):
    names: dict = {}
    exec(text, names)
    return names[NAMES[number]]


def train(folder: Path, tmp_path: Path, **changed):
    run = tmp_path / f"run{changed}"
    return ddmlp.fit(folder / "data", run=run, progress=False, **problem.SETTINGS | changed)


def refused(number: int, answer: object, fact: str) -> None:
    """Assert that the answer is wrong, and that the reply has the fact, in one line."""
    said = check(number, str(answer))
    assert fact in said
    assert said.isprintable()


@pytest.mark.parametrize("number", FILES)
def test_functions(number):
    assert CHECKS[number](function(number, FILES[number])) == ""


@pytest.mark.parametrize(("number", "text", "fact"), WRONG_FILES, ids=[f"{each[0]}-{each[2]}" for each in WRONG_FILES])
def test_wrong_functions(number, text, fact):
    assert text not in FILES.values()
    said = CHECKS[number](function(number, text))
    assert fact in said
    assert said.isprintable()


def test_one_row(folder):
    with np.load(folder / "row.npz") as row:
        w1, w2, x = row["w1"], row["w2"], row["pixels"] / 255
        z1, undivided = x @ w1, row["pixels"].astype(float) @ w1
    for z, fact in {"right": (z1, None), "undivided": (undivided, "divide them by 255")}.values():
        with np.errstate(over="ignore"):
            z2 = (1 / (1 + np.exp(-z))) @ w2
        y2 = np.exp(z2) / np.exp(z2).sum()
        assert check(1, f"{y2.max():.4f}") == "" if fact is None else fact in check(1, f"{y2.max():.4f}")
    z2 = (1 / (1 + np.exp(-z1))) @ w2
    refused(1, f"{z2.max():.5f}", "softmax")
    refused(1, "0.5", "reference.py")
    refused(1, "nan", "'nan'")


def test_bytes():
    m, n, o = NETWORK
    right = 2 * WORKERS * 4 * (m * n + n * o)
    assert check(5, str(right)) == check(5, f"{right:,}") == ""
    wrong = {
        right // 4: "not bytes", right // 2: "one way", right // WORKERS: "one worker", right * 2: "not 8",
        right + 8 * WORKERS * (n + o): "no biases", right - 1: "multiple of 4", 4: f"{m} x {n}", "x": "'x'",
    }  # fmt: skip
    assert len(wrong) == 8
    for answer, fact in wrong.items():
        refused(5, answer, fact)


@pytest.mark.slow
def test_one_hash(folder, tmp_path):
    changed = train(folder, tmp_path, microbatch=MICROBATCH).weights_sha256
    assert check(6, changed) == check(6, changed[:8].upper()) == ""
    refused(6, train(folder, tmp_path).weights_sha256, "with any number of workers")
    refused(6, 64 * "0", "neither run")
    refused(6, changed[:7], "first 8")


@pytest.mark.slow
def test_staleness(folder, tmp_path):
    late, prompt = (train(folder, tmp_path, delay=delay) for delay in (DELAY, 0))
    mistakes, fewer = (round(each.test_error * problem.ROWS["test"]) for each in (late, prompt))
    assert mistakes > 2 * fewer > 0
    assert check(7, str(mistakes)) == ""
    refused(7, fewer, "without a delay")
    refused(7, mistakes - fewer, "difference")
    refused(7, mistakes + 1000, "neither run")
    refused(7, 0.5, "'0.5'")


def test_broken_promise(folder):
    with pytest.raises(RunError) as caught:
        ddmlp.verify(folder / "broken")
    (found,) = re.findall(r"steps (\d+\.\.\d+)", str(caught.value))
    assert check(9, found) == ""
    refused(9, "35..40", "find the first")
    refused(9, "0..5", "as recorded")
    refused(9, "21..24", "neighbouring")
    refused(9, "20", "'20'")


def test_the_page():
    """Each task has a hint, and what the check prints for a right and for a wrong answer."""
    assert len(SECTIONS) == len(EXERCISES) == 10
    for number, exercise in enumerate(EXERCISES, 1):
        section = " ".join(SECTIONS[number].split())
        assert section.startswith(exercise.title)
        assert f"right: {exercise.learned}" in section
        assert "**Hint.**" in section
        assert "wrong: " in section
        assert exercise.signature in section
    flags = " ".join(f"--{name} {value:g}" for name, value in problem.SETTINGS.items())
    assert flags in PAGE


def test_answers_are_not_in_the_page(folder, tmp_path):
    """A learner who reads the page does not stumble on the answers."""
    found = [train(folder, tmp_path, microbatch=MICROBATCH).weights_sha256[:8], f"{problem.BROKEN_AFTER}.."]
    found += [f"{2 * WORKERS * 4 * sum(each.size for each in NETWORK.parameters.values())}"]
    for text in (PAGE, PAGE.replace(",", "")):
        assert [each for each in found if each in text] == []


@pytest.mark.slow
def test_command(tmp_path):
    (path := tmp_path / "shift.py").write_text("print('hello')\n" + FILES[10])
    done = inside(main, 10, path)
    assert (done.returncode, done.stdout) == (0, f"right: {EXERCISES[9].learned}\n")
    done = inside(main, 5, 794)
    assert (done.returncode, done.stdout[:7], done.stdout.count("\n")) == (1, "wrong: ", 1)
    assert len(inside(main).stdout.splitlines()) == 10


@pytest.mark.parametrize(("words", "fact"), [
    ((11, "x"), "1 to 10"), ((0, "x"), "1 to 10"), ((2, "12"), "gradients(w1"), ((2, "nowhere.py"), "nowhere.py"),
    ((1, "x.py"), "a word or a number"), ((1,), "ANSWER"), ((1, "2", "--data", "x"), "--data"),
    (("--data", "."), "exists"),
])  # fmt: skip
def test_bad_input(words, fact):
    done = inside(main, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert fact in done.stderr


def test_no_such_exercise():
    with pytest.raises(ConfigError, match="exercise 99"):
        check(99, "1")


@pytest.mark.slow
@pytest.mark.parametrize(("text", "fact"), [
    ("x = 1\n", "does not define the function reduce"),
    ("def reduce(", "SyntaxError"),
    ("def reduce(count, arrived):\n    return count / 0\n", "line 2, raised ZeroDivisionError"),
    ("import os\nos._exit(3)\n", "status 3"),
    ("raise SystemExit(5)\n", "line 1, raised SystemExit"),
    ("x = bytearray(1 << 40)\n", "MemoryError"),
    ("print('{}' * 10_000_000)\nreduce = 3\n", "does not define"),
    ("raise ValueError('one\\n\\x1btwo')\n", "one \\x1btwo"),
])  # fmt: skip
def test_bad_files(tmp_path, text, fact):
    (path := tmp_path / "bad.py").write_text(text)
    said = check_file(4, path, "reduce")
    assert fact in said
    assert said.isprintable()


@pytest.mark.slow
def test_endless_loop(tmp_path):
    """The process is killed, and so are those that it has started."""
    (path := tmp_path / "loop.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(__file__ + '.pid', 'w').write(str(child.pid))\n"
        "while True:\n    pass\n"
    )
    said = check_file(4, path, "reduce", seconds=2)
    assert "within 2 s" in said
    pid = int((tmp_path / "loop.py.pid").read_text())
    if sys.platform == "linux":
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or ") Z " in state.read_text()


@pytest.mark.slow
def test_replies_on_the_page():
    """What the page shows for a wrong answer is what the command prints."""
    shown = re.findall(r"^\$ ddmlp exercise (\d+) (\S+)\nwrong: (.+)$", PAGE, re.MULTILINE)
    assert [int(number) for number, _, _ in shown] == list(range(1, 11))
    for number, answer, reply in shown:
        wrong = [text for each, text, _ in WRONG_FILES if each == int(number)]
        checks = CHECKS.get(int(number))
        replies = [checks(function(int(number), text)) for text in wrong] if checks else [check(int(number), answer)]
        assert reply in replies
