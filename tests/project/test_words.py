"""Plain English: phrases that read as translated, or treat processes as persons, are neither in the pages nor in the
docstrings, comments and strings of the package."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "cluster" / "README.md"]
PAGES += ROOT.glob("examples/**/*.ipynb")
MODULES = sorted((ROOT / "ddmlp").rglob("*.py"))
WORDS = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
# Each with a better wording.
PHRASES = [
    r"whoever|nobody|somebody|everybody|everyone|strangers?",  # the worker, the process, no worker, ...
    r"(?:is|are|be|was|were) let in",  # is accepted
    r"(?:is|are|be|was|were) (?:not )?told (?:why|so|to|of|that)",  # is rejected with the reason
    r"who (?:is|was|has|had|does|did|computed?)\b",  # which worker, that
    r"so many(?! \w+ that)",  # a number, that many
    r"(?:come|comes|came|coming) to(?! \w+ing)",  # has, reaches, results in
    r"(?:is|are|was|were|be) there\b",  # exists
    r"(?:is|are) to come",  # starting, still arriving
    r"what there is",  # what exists
    r"as good as",  # equivalent to
    r"(?:go|goes|going|gone|went) on\b",  # continues, resumes
    r"besides",  # also
    r"in its place|in their place",  # instead
    r"for ever|forever",  # without end
    r"likewise",  # the same
    r"all the same",  # still, nevertheless
    r"aloud",  # says so
    r"once more",  # again
    r"but for",  # except
    r"of (?:its|their) own(?=[^\w\s]| (?:and|by|for|in|on|that|to|which|with)\b)",  # its own, another
    r"at hand",  # available
    r"mend(?:s|ed)?",  # fix
    r"now and then",  # from time to time
    r"one behind the other|behind each other",  # in sequence
    r"Raises \w+(?:, \w+)*(?: and \w+)? where",  # Raises ... if
]
PATTERN = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PHRASES).replace(" ", r"\s+"), re.IGNORECASE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file, with its first lines: a page, or the comments and strings of a module."""
    text = path.read_text()
    if path.suffix != ".py":
        yield 1, text
    elif PATTERN.search(text):  # else the tokens need not be searched
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in WORDS:
                yield token.start[0], token.string


def found(path: Path) -> list[str]:
    """The phrases in a file, with their lines."""
    return [
        f"{path.relative_to(ROOT)}:{line + text.count(chr(10), 0, match.start())}: {match[0]}"
        for line, text in prose(path)
        for match in PATTERN.finditer(text)
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path: Path):
    assert found(path) == []


def test_package():
    assert len(MODULES) > 100
    assert [each for path in MODULES for each in found(path)] == []


@pytest.mark.parametrize(
    "text", ["a worker that is\n    let in", "whoever answers", "it goes on", "Raises OSError where"]
)
def test_phrases_are_found(text: str):
    assert PATTERN.search(text)
