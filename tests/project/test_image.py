"""The image of cluster/Dockerfile, as far as its files show it: no Docker is needed."""

from pathlib import Path

from tests.image.dockerfile import ROOT, assignments, included, instructions


def test_simple():
    """The build context has all files of the package, not only its modules, and no others of the repository."""
    files = [path.relative_to(ROOT) for path in (ROOT / "ddmlp").rglob("*") if path.is_file()]
    assert {".py", ".j2", ".css", ".js", ".html", ".typed"} <= {path.suffix or path.name for path in files}
    for path in [Path("pyproject.toml"), Path("README.md"), Path("LICENSE"), *files]:
        assert included(path) == ("__pycache__" not in path.parts), path
    for other in ("tests/conftest.py", "cluster/README.md", ".git/config"):
        assert not included(Path(other))


def test_instructions():
    """`make image` knows all of them, and what they copy is there."""
    found = instructions()
    assert [found[0].name, found[-1].name] == ["FROM", "WORKDIR"]
    copied = [word for each in found if each.name == "COPY" for word in each.text.split()[:-1]]
    assert all((ROOT / word).exists() and included(Path(word)) for word in copied)
    (variables,) = (assignments(each.text) for each in found if each.name == "ENV")
    assert variables["RAY_AUTH_MODE"] == "token"
