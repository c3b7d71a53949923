"""The tree of errors: the docstring's drawing matches the classes."""

import inspect
import re
from importlib import import_module

import pytest

from ddmlp import errors
from ddmlp.api.options import check_workers


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


def test_extra_is_missing():
    message = r"^--to needs the package absent,.* 'ddmlp\[onnx\]'$"
    with pytest.raises(errors.ConfigError, match=message), errors.require_extra("onnx", "--to"):
        import_module("absent.part")
    with pytest.raises(errors.ConfigError, match=r"package absent,.* 'ddmlp\[ray\]'$"):
        errors.require_package("absent", "ray", "this")
    errors.require_package("numpy", "ray", "this")


def test_a_mistake_of_ours():
    with pytest.raises(ModuleNotFoundError, match=r"ddmlp\.absent"), errors.require_extra("onnx", "--to"):
        import_module("ddmlp.absent")


def test_workers_without_ray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    check_workers(0, 0)
    with pytest.raises(errors.ConfigError, match=r"^workers=4 needs the package ray,.* 'ddmlp\[ray\]'$"):
        check_workers(2, 4)
