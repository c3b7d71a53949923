"""The tree of errors: the docstring's drawing matches the classes."""

import inspect
import re

from ddmlp import errors


def test_simple():
    found = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    classes = {name: kind for name, kind in found.items() if kind.__module__ == errors.__name__}
    drawn = re.findall(r"^[\s│├└─]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(classes)
    assert len(drawn) >= 5
    for name, kind in classes.items():
        assert issubclass(kind, errors.DdmlpError)
        assert kind.__doc__
        assert kind.exit_status == (2 if name == "ConfigError" else 1)


def test_tree_is_as_drawn():
    parents: list[tuple[int, str]] = []
    checked = 0
    for line in (errors.__doc__ or "").splitlines():
        if not (found := re.match(r"^([\s│├└─]*)(\w+Error)\b", line)):
            continue
        depth, name = len(found[1]), found[2]
        parents = [parent for parent in parents if parent[0] < depth]
        if parents:
            assert getattr(errors, name).__base__ is getattr(errors, parents[-1][1])
            checked += 1
        parents.append((depth, name))
    assert checked >= 5
