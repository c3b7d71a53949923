"""The documents agree with the project: their commands, flags, targets, links, paths and figures."""

import doctest
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ddmlp.__main__ import COMMANDS
from ddmlp.config import Timeouts
from ddmlp.inference.images import read_image
from tests.portability.__main__ import TARGETS
from tests.support.golden import GOLDEN
from tests.support.readme import PROMISED
from tools.record.minutes import Minutes
from tools.train_mnist import compare

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "cluster" / "README.md"]
}
README = PAGES["README.md"]
COMMAND = r"(?:python (-m ddmlp\.[a-z]+(?![\w.])|tools/\w+\.py)|(?<![\w./-])ddmlp ([a-z]+)(?= [^ ]))([^\n`]*)"
MAX_LINES = 120


@pytest.fixture
def place(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a reader, with data/ as `make train` writes it without a download."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(data)
    return tmp_path


def test_python_of_readme(place: Path, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["result"].weights_sha256 == PROMISED["the 5,000 digits"]
    assert names["result"].run == place / "runs" / "python"
    assert PROMISED["the 5,000 digits"] in capsys.readouterr().out
    compare(Path("data"), place / "runs" / "python")
    assert capsys.readouterr().out.replace("the 5,000 digits", "full MNIST") in README


@pytest.mark.usefixtures("place")
def test_examples_of_api():
    examples = "".join(re.findall(r"^```pycon\n(.*?)^```", PAGES["docs/api.md"], re.MULTILINE | re.DOTALL))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(examples, {}, "docs/api.md", None, 0))
    failed, tried = runner.summarize()
    assert tried > 20
    assert failed == 0


def flags() -> dict[str, set[str]]:
    """The flags that the documents show, by program."""
    found: dict[str, set[str]] = {}
    for page in PAGES.values():
        for block in re.findall(r"^```(?:sh|console)?\n(.*?)^```|`([^`\n]+)`", page, re.MULTILINE | re.DOTALL):
            for program, command, arguments in re.findall(COMMAND, "".join(block)):
                words = shlex.split(re.split(r"[|&)']", arguments)[0], comments=True)
                flags = {word for word in words if word.startswith("--")}
                found.setdefault(program or f"-m ddmlp {command}", set()).update(flags)
    return found


def test_simple():
    assert len(flags()) >= 10
    assert re.findall(r"^\$ make (\w+)", README, re.MULTILINE) == ["train", "test"]
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("program", sorted(flags()))
def test_commands_have_their_flags(program: str):
    command = [sys.executable, *program.split(), "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert flags()[program] <= set(re.findall(r"--[\w-]+", done.stdout))


def test_table_of_commands():
    assert re.findall(r"^\| `ddmlp (\w+)` \|", PAGES["docs/commands.md"], re.MULTILINE) == list(COMMANDS)


def test_make_has_the_targets_and_ci_runs_them():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^make ([a-z-]+) +\S", done.stdout, re.MULTILINE))
    shown = set(re.findall(r"`make ([a-z-]+)[ `]", "".join(PAGES.values())))
    assert {"train", "test", "test-all", "check"} <= shown <= targets
    in_ci = re.findall(r"^make ([a-z -]+[a-z])", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert set(" ".join(in_ci).split()) <= targets
    assert {"check", "test", "test-all"} <= set(" ".join(in_ci).split())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if not link.startswith("http")]
    assert links or page != "README.md"
    for link in links:
        name, _, section = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        if section:
            assert section in {anchor(line) for line in path.read_text().splitlines() if line.startswith("#")}, link


def anchor(heading: str) -> str:
    """What GitHub calls a heading in a link."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ")).lower().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str):
    for path in re.findall(r"(?<![\w/.-])(?:ddmlp|tests|tools|cluster|docs)/[\w/.-]*\w/?", PAGES[page]):
        assert (ROOT / path).exists(), path


def test_faults_are_those_of_chaos():
    table = PAGES["docs/chaos.md"].split("\n## ")[0]
    runs = [(int(hit), int(tried)) for hit, tried in re.findall(r"\| (\d+) of (\d+) runs \| yes \|", table)]
    assert len(runs) > 10
    assert "NO" not in table
    ((survived, tried),) = re.findall(r"(\d+) of (\d+) runs, bit for bit", README)
    assert (int(survived), int(tried)) == tuple(map(sum, zip(*runs, strict=True)))
    (many,) = re.findall(r"([\d,]+ faults in one run)", README)
    assert re.search(rf"^\| {many} \| .* times \| yes \|", table, re.MULTILINE)


def test_speed_is_measured():
    ((times, case),) = re.findall(r"([\d.]+) times as fast as PyTorch .*\((\d+ hidden units, batch \d+)\)", README)
    row = rf"^\| ddmlp to PyTorch, {case.replace(' units', '')} \| at least [\d.]+ \| ([\d.]+) "
    (found,) = re.findall(row, PAGES["docs/benchmarks/avx512/benchmarks.md"], re.MULTILINE)
    assert float(times) == round(float(found), 1)


def test_accuracy_is_the_record():
    ((mean, together),) = re.findall(r"([\d.]+) % test error, the mean of five seeds; together ([\d.]+) %", README)
    page = PAGES["docs/record.md"]
    assert len(re.findall(r"^\| \d \| [\d.]+ % \| \d+ of 10,000 \|", page, re.MULTILINE)) == 5
    (found,) = re.findall(r"Mean: ([\d.]+) %", page)
    assert float(mean) == round(float(found), 2)
    assert f"(mean of their probabilities): {together} %" in page


def test_minutes_are_measured():
    minutes = Minutes.read(ROOT / "docs")
    assert minutes is not None
    assert {cell.limit for cell in minutes.cells} == {60, 300}
    assert minutes.table() in README
    assert minutes.table() in PAGES["docs/record.md"]


def test_targets_are_tried():
    assert re.findall(r"(\d+) small networks on (\d+) targets", README) == [(str(len(GOLDEN)), str(len(TARGETS)))]


def test_picture_has_the_hash():
    promised = PROMISED["full MNIST"]
    short = f"{promised[:8]}…{promised[-4:]}"
    assert short in README
    assert short in (ROOT / "docs" / "images" / "one-hash.svg").read_text()


def test_picture_is_read_as_shown():
    _, changes = read_image(ROOT / "examples" / "photo-of-a-7.jpg", (28, 28))
    assert f"photo-of-a-7.jpg  7  100.0%  [{', '.join(changes)}]" in PAGES["docs/pictures.md"]


def test_extras_are_listed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = PAGES["docs/start.md"].split("## What to install")[1].split("\n## ")[0]
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)))
    assert sorted(listed) == sorted(extras)


def test_runs_begin_once():
    """A reader who follows several pages begins no run in the folder of another."""
    commands = re.findall(r"^ddmlp train .*--run runs/.*$", "\n".join(PAGES.values()), re.MULTILINE)
    begun = [re.findall(r"--run (runs/[\w-]+)", command)[0] for command in commands if "--resume" not in command]
    assert len(begun) == len(set(begun)) >= 6, sorted(begun)


def test_extras_have_sizes():
    """In MB: a download that is unpacked does not shrink."""
    table = PAGES["docs/start.md"].split("## What to install")[1].split("\n## ")[0]
    sizes = re.findall(r"^\| .* \| ([\d,]+) \| ([\d,]+) \|$", table, re.MULTILINE)
    assert len(sizes) >= 12
    assert all(int(download) <= int(disk.replace(",", "")) for download, disk in sizes)
    assert f"{round(int(sizes[0][0]), -1)} MB to download, {sizes[0][1]} MB on disk" in (ROOT / "Makefile").read_text()


def test_number_of_tests(request: pytest.FixtureRequest):
    """README shows a number of tests that is within 5 % of what `make test` collects."""
    (shown,) = re.findall(r"^=+ (\d+) passed", README, re.MULTILINE)
    assert int(shown) > 1000
    (marks,) = re.findall(r'^test:.*\n.* -m "(.*)"', (ROOT / "Makefile").read_text(), re.MULTILINE)
    config = request.config
    if config.option.markexpr == marks and config.args == config.getini("testpaths") and not config.option.keyword:
        assert request.session.testscollected == pytest.approx(int(shown), rel=0.05)


def test_guarantees_name_tests():
    named = set(re.findall(r"\btest_\w+\.py", PAGES["docs/guarantees.md"]))
    assert len(named) >= 10
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_guarantees_name_timeouts():
    (table,) = re.findall(r"^## How long a run waits\n(.*?)^## ", PAGES["docs/guarantees.md"], re.M | re.S)
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [field.name for field in fields(Timeouts)]
