"""The docstrings of the public names have all parameters, shapes, types, results, errors, and examples."""

import ast
import doctest
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

import ddmlp
from ddmlp.errors import RunError

DTYPES = r"uint8|intp|int64|float32|float64|integers"
EXTRAS = {"MLflow", "TensorBoard", "WandB"}  # their examples log to other tools; see the tests of these classes
RETURNED = {"Replayed": "replay", "Result": "fit", "Verified": "verify"}  # by the function that has the example


def public() -> Iterator[tuple[str, Any]]:
    """The classes and functions of ddmlp, by name."""
    from ddmlp.sklearn import DigitClassifier

    for name in ddmlp.__all__:
        if not inspect.ismodule(found := getattr(ddmlp, name)):
            yield name, found
    yield "DigitClassifier", DigitClassifier


def methods() -> Iterator[tuple[str, FunctionType]]:
    """The methods that the classes define, by name; those of a protocol, such as `__len__`, are not among them."""
    for name, each in public():
        for method, found in vars(each).items() if inspect.isclass(each) else ():
            found = (
                found.fget if isinstance(found, property) else getattr(found, "__func__", getattr(found, "func", found))
            )
            if inspect.isfunction(found) and not method.startswith("_"):
                yield f"{name}.{method}", found


def sections(documented: Any) -> dict[str, str]:
    """The sections of a docstring by title, as numpydoc has them; "" is what stands before the first."""
    found, title = {"": ""}, ""
    lines = inspect.getdoc(documented).splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after and after == "-" * len(line):
            title = line
            found[title] = ""
        elif line != "-" * len(title) or not title:
            found[title] += line + "\n"
    return found


def described(section: str) -> dict[str, str]:
    """What a section of parameters says of each."""
    found: dict[str, str] = {}
    for part in re.split(r"\n(?=\S)", section.strip()):
        for name in part.partition(" : ")[0].partition("\n")[0].split(","):
            found[name.strip().lstrip("*")] = part
    return found


def arguments(found: Any) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(found).parameters
    return {name: each for name, each in parameters.items() if name not in ("self", "cls")}


def raised(function: Any) -> set[str]:
    """The errors that the body of a function raises itself; none if its source is not known, as of a class that is
    generated."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return set()
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name) and hasattr(ddmlp.errors, call.func.id)}


@pytest.fixture(params=[*(name for name in ddmlp.__all__ if name != "errors"), "DigitClassifier"])
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, dict(public())[request.param]


def test_simple():
    """One with everything."""

    def example(images: Any) -> int:
        """Do it.

        Parameters
        ----------
        images, labels : (B,) uint8
            Some.
        *more
            Others.

        Raises
        ------
        RunError
        """
        raise RunError(images)

    found = sections(example)
    assert found.keys() == {"", "Parameters", "Raises"}
    assert found[""].strip() == "Do it."
    assert {name: text.splitlines()[0] for name, text in described(found["Parameters"]).items()} == {
        "images": "images, labels : (B,) uint8", "labels": "images, labels : (B,) uint8", "more": "*more",
    }  # fmt: skip
    assert raised(example) == {"RunError"}


def test_parameters(named: tuple[str, Any]):
    _, found = named
    expected = arguments(found)
    documented = described(sections(found).get("Parameters", "")) if expected else {}
    assert documented.keys() == expected.keys()


def test_examples(named: tuple[str, Any]):
    name, found = named
    documented = [getattr(ddmlp, RETURNED[name]) if name in RETURNED else found]
    documented += [method for full, method in methods() if full.startswith(f"{name}.")]
    examples = doctest.DocTestParser().get_examples("".join(sections(each).get("Examples", "") for each in documented))
    assert examples
    if name not in EXTRAS:
        assert any(doctest.SKIP not in each.options for each in examples)


@pytest.mark.parametrize("name", [name for name in ddmlp.__all__ if inspect.isfunction(getattr(ddmlp, name))])
def test_functions(name: str):
    found = sections(getattr(ddmlp, name))
    assert {"Returns", "Raises"} <= found.keys()


def test_methods():
    found = dict(methods())
    assert len(found) > 10
    for name, method in found.items():
        summary, _, rest = inspect.getdoc(method).partition("\n")
        assert summary.endswith("."), name
        assert not rest.partition("\n")[0], name
        missing = [each for each in arguments(method) if not re.search(rf"\b{each}\b", inspect.getdoc(method))]
        assert missing == [], name


def test_arrays_have_shapes_and_types():
    tried = 0
    for name, found in [*public(), *methods()]:
        text = sections(found)
        parts = described(text.get("Parameters", ""))
        for each, kind in inspect.signature(found).parameters.items():
            if "ndarray" in str(kind.annotation).lower():
                tried += 1
                assert re.search(rf"\(.*\).*({DTYPES})|({DTYPES}).*\(.*\)", parts[each], re.DOTALL), (name, each)
        if inspect.isfunction(found) and "ndarray" in str(inspect.signature(found).return_annotation).lower():
            tried += 1
            assert re.search(rf"\(.*\).*({DTYPES}|labels)", text["Returns"]), name
    assert tried > 5


def test_raised_errors_are_named():
    tried = 0
    for name, found in [*public(), *methods()]:
        function = found.__init__ if inspect.isclass(found) else found
        if errors := raised(function):
            tried += 1
            owner = dict(public())[name.partition(".")[0]]
            text = (inspect.getdoc(found) or "") + (inspect.getdoc(owner) or "")
            assert {error for error in errors if error not in text} == set(), name
    assert tried > 3
