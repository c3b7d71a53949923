"""The exercises: all can be solved, and typical wrong answers get a line that helps."""

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.api.exercises import EXERCISES, check, problem
from ddmlp.api.exercises.child import check_file
from ddmlp.api.exercises.functions import CHECKS
from ddmlp.api.exercises.runs import MICROBATCH
from ddmlp.api.exercises.values import NETWORK, WORKERS
from ddmlp.cli.exercise import main
from ddmlp.errors import ConfigError
from tests.support.exercises import refused, train
from tests.support.helpers import inside
from tests.support.solutions import FILES, WRONG_FILES
from tests.support.streams import until

PAGE = (Path(__file__).parents[2] / "docs" / "exercises.md").read_text()
SECTIONS = dict(enumerate(re.split(r"\n## \d+\. ", PAGE)[1:], 1))


def function(name: str, text: str):
    names: dict = {}
    exec(text, names)
    return names[name]


@pytest.mark.parametrize("name", FILES)
def test_functions(name):
    assert CHECKS[name](function(name, FILES[name])) == ""


@pytest.mark.parametrize(
    ("name", "text", "fact"),
    [pytest.param(name, *each, id=f"{name}-{each[1]}") for name, wrong in WRONG_FILES.items() for each in wrong],
)
def test_wrong_functions(name, text, fact):
    assert text not in FILES.values()
    said = CHECKS[name](function(name, text))
    assert fact in said
    assert said.isprintable()


def test_one_row(exercises):
    with np.load(exercises / "row.npz") as row:
        w1, w2, x = row["w1"], row["w2"], row["pixels"] / 255
        z1, undivided = x @ w1, row["pixels"].astype(float) @ w1
    for z, fact in {"right": (z1, None), "undivided": (undivided, "divide them by 255")}.values():
        with np.errstate(over="ignore"):
            z2 = (1 / (1 + np.exp(-z))) @ w2
        y2 = np.exp(z2) / np.exp(z2).sum()
        assert check(1, f"{y2.max():.4f}") == "" if fact is None else fact in check(1, f"{y2.max():.4f}")
    y2 = np.exp((1 / (1 + np.exp(-z1))) @ w2)
    assert check(1, f"{y2.max() / y2.sum():.6f}".replace("0.", ",")) == ""
    refused(1, f"{y2.min() / y2.sum():.4f}", "another class")
    z2 = (1 / (1 + np.exp(-z1))) @ w2
    refused(1, f"{z2.max():.5f}", "softmax")
    refused(1, "0.5", "reference.py")
    refused(1, "nan", "'nan'")


def test_bytes():
    m, n, o = NETWORK
    right = 2 * WORKERS * 4 * (m * n + n * o)
    assert check(4, str(right)) == check(4, f"{right:,} bytes") == ""
    wrong = {
        right // 4: "not bytes", right // 2: "one way", right // WORKERS: "one worker", right * 2: "not 8",
        right + 8 * WORKERS * (n + o): "no biases", right - 1: "multiple of 4", 4: f"{m} x {n}", "x": "'x'",
    }  # fmt: skip
    assert len(wrong) == 8
    for answer, fact in wrong.items():
        refused(4, answer, fact)


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
    for settings in (problem.SETTINGS, problem.KILLED):
        assert " ".join(f"--{name} {value:g}" for name, value in settings.items()) in PAGE


def test_answers_are_not_in_the_page(exercises, tmp_path):
    """A learner who reads the page does not stumble on the answers."""
    found = [train(exercises, tmp_path, microbatch=MICROBATCH).weights_sha256[:8], f"{problem.BROKEN_AFTER}.."]
    found += ["{}:{}".format(*problem.updates()[problem.CHANGED_UPDATE])]
    found += [f"{2 * WORKERS * 4 * sum(each.size for each in NETWORK.parameters.values())}"]
    for text in (PAGE, PAGE.replace(",", "")):
        assert [each for each in found if each in text] == []


@pytest.mark.slow
def test_command(tmp_path):
    (path := tmp_path / "shift.py").write_text("print('hello')\n" + FILES["shift"])
    done = inside(main, 10, path)
    assert (done.returncode, done.stdout) == (0, f"right: {EXERCISES[9].learned}\n")
    done = inside(main, 4, 794)
    assert (done.returncode, done.stdout[:7], done.stdout.count("\n")) == (1, "wrong: ", 1)
    assert len(inside(main).stdout.splitlines()) == 10


@pytest.mark.parametrize(("words", "fact"), [
    ((11, "x"), "1 to 10"), ((0, "x"), "1 to 10"), ((2, "12"), "gradients(w1"), ((2, "nowhere.py"), "nowhere.py"),
    ((1, "x.py"), "expects none"), ((1,), "ANSWER"), ((1, "2", "--data", "x"), "--data"),
    (("--data", "."), "exists"),
])  # fmt: skip
def test_bad_input(words, fact):
    done = inside(main, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert fact in done.stderr


def test_huge_file(tmp_path):
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(5_000_000)
    with pytest.raises(ConfigError, match="5,000,000 bytes"):
        check(3, str(tmp_path / "huge.py"))


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
    said = check_file(path, "reduce")
    assert fact in said
    assert said.isprintable()


def ended(pid: int) -> bool:
    """Whether a process has ended; its parent may not know yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
def test_endless_loop(tmp_path):
    """The process is killed, and so are those that it has started. One that has left the group is not waited for."""
    (path := tmp_path / "loop.py").write_text(
        "import os, subprocess, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    open(__file__ + '.left', 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "while not os.path.exists(__file__ + '.left'):\n    pass\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(__file__ + '.pid', 'w').write(str(child.pid))\n"
        "while True:\n    pass\n"
    )
    started = tmp_path / "loop.py.pid"
    for seconds in (2, 10, 50):  # more on a machine so busy that the loop has not begun
        assert f"within {seconds} s" in check_file(path, "reduce", seconds=seconds)
        if (left := tmp_path / "loop.py.left").exists():
            os.kill(int(left.read_text()), signal.SIGKILL)
            left.unlink()
        if started.exists():
            break
    pid = int(started.read_text())
    if sys.platform == "linux":
        until(lambda: ended(pid))  # a killed process ends a moment later


@pytest.mark.slow
def test_replies_on_the_page(exercises, tmp_path, monkeypatch):
    """What the page shows for a wrong answer is what the command prints."""
    (tmp_path / "exercises").mkdir()
    train(exercises, tmp_path).run.rename(tmp_path / "exercises" / "killed")  # which nobody has killed
    monkeypatch.setattr(problem, "KILLED", problem.SETTINGS)
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^\$ ddmlp exercise (\d+) (\S+)\nwrong: (.+)$", PAGE, re.MULTILINE)
    assert [int(number) for number, _, _ in shown] == list(range(1, 11))
    for number, answer, reply in shown:
        if name := EXERCISES[int(number) - 1].signature.partition("(")[0]:
            assert reply in [CHECKS[name](function(name, text)) for text, _ in WRONG_FILES[name]]
        else:
            assert reply == check(int(number), answer)
