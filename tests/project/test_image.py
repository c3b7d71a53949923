"""The image of cluster/Dockerfile, as far as its files show it: no Docker is needed."""

from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "cluster" / "Dockerfile.dockerignore").read_text().splitlines()[1:]


def included(path: Path) -> bool:
    """Whether a file is in the build context. The last rule that matches it or one of its folders decides."""
    names = [str(each) for each in (path, *path.parents)]
    matching = [rule for rule in RULES if any(fnmatchcase(name, rule.lstrip("!")) for name in names)]
    return matching[-1].startswith("!")


def test_simple():
    """The build context has all files of the package, not only its modules, and no others of the repository."""
    files = [path.relative_to(ROOT) for path in (ROOT / "ddmlp").rglob("*") if path.is_file()]
    assert {".py", ".j2", ".css", ".js", ".html", ".typed"} <= {path.suffix or path.name for path in files}
    for path in [Path("pyproject.toml"), Path("README.md"), Path("LICENSE"), *files]:
        assert included(path) == ("__pycache__" not in path.parts), path
    for other in ("tests/conftest.py", "cluster/README.md", ".git/config"):
        assert not included(Path(other))
