"""The tests can be collected without optional packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
OPTIONAL = {
    "confluent_kafka",
    "mkdocs",
    "mlflow",
    "mlxtend",
    "nats",
    "onnx",
    "onnxruntime",
    "playwright",
    "redis",
    "rstream",
    "safetensors",
    "sklearn",
    "tensorboardX",
    "torch",
    "wandb",
}


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """The packages that the import of a module imports, except those under TYPE_CHECKING."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (name.name.partition(".")[0] for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield (statement.module or "").partition(".")[0]


def test_simple():
    tree = ast.parse("import torch.nn, os\nfrom onnx import load\nif TYPE_CHECKING:\n    import playwright")
    assert list(imported(tree.body)) == ["torch", "os", "onnx"]


def test_optional_packages():
    found = {path: OPTIONAL & set(imported(ast.parse(path.read_text()).body)) for path in TESTS.rglob("*.py")}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}
