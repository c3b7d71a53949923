"""Committees: the mean of their members' probabilities, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

import ddmlp
from ddmlp.errors import ConfigError, ImageError, RunError
from ddmlp.inference.committee import Committee
from ddmlp.inference.export import export
from ddmlp.inference.look import MNIST
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Shape, Weights

MODELS = [Model(Weights.draw(Shape(6, hidden, 3), seed), (2, 3)) for seed, hidden in enumerate((4, 7, 100))]
IMAGES = np.random.default_rng(0).integers(0, 256, (700, 2, 3), np.uint8)
LABELS = np.arange(700) % 3


def expected(models: list[Model]) -> np.ndarray:
    """The float32 sums in the order of the members, one number at a time."""
    found = np.empty((len(IMAGES), 3), np.float32)
    each = [model.predict_proba(IMAGES) for model in models]
    for place in np.ndindex(found.shape):
        total = each[0][place]
        for other in each[1:]:
            total = np.float32(total + other[place])
        found[place] = np.float32(total / np.float32(len(models)))
    return found


def test_simple():
    committee = Committee(MODELS)
    found = committee.predict_proba(IMAGES)
    assert (found.dtype, found.shape) == (np.float32, (700, 3))
    assert found.tobytes() == expected(MODELS).tobytes() != MODELS[0].predict_proba(IMAGES).tobytes()
    assert committee.predict(IMAGES).tolist() == found.argmax(axis=1).tolist()
    assert len(set(committee.predict(IMAGES).tolist())) > 1
    assert (committee.image_shape, committee.classes, committee.members) == ((2, 3), 3, tuple(MODELS))


def test_evaluation():
    """As of a network: the confusion, and the mean of -ln of the probability of the right class."""
    committee = ddmlp.Committee(MODELS)
    found = ddmlp.evaluate(committee, (IMAGES, LABELS))
    probabilities = committee.predict_proba(IMAGES)
    wrong = np.flatnonzero(committee.predict(IMAGES) != LABELS)
    assert 0 < found.mistakes == len(wrong) < 700
    assert found.wrong.tolist() == wrong.tolist()
    chosen = probabilities[np.arange(700), LABELS].astype(np.float64)
    assert found.cross_entropy == pytest.approx(-np.log(chosen).mean(), rel=1e-12)


def test_one_member():
    alone = Committee(MODELS[:1])
    assert alone.predict_proba(IMAGES).tobytes() == MODELS[0].predict_proba(IMAGES).tobytes()
    of_one, found = ddmlp.evaluate(alone, (IMAGES, LABELS)), ddmlp.evaluate(MODELS[0], (IMAGES, LABELS))
    assert of_one.confusion.tolist() == found.confusion.tolist()
    assert of_one.cross_entropy == pytest.approx(found.cross_entropy, rel=1e-6)


def test_members_do_not_change():
    first = MODELS[0].predict_proba(IMAGES).tobytes()
    Committee(MODELS).predict_proba(IMAGES)
    assert MODELS[0].predict_proba(IMAGES).tobytes() == first


def test_certain():
    """Where every member is certain and wrong, E is large, not infinite."""
    weights = Weights.join(np.zeros((6, 1), np.float32), np.array([[2000, 0, 0]], np.float32))
    found = ddmlp.evaluate(Committee([Model(weights, (2, 3))] * 5), (IMAGES, np.ones(700, np.uint8)))
    assert (found.error, found.cross_entropy) == (1, pytest.approx(87, abs=0.1))


def test_load(trained, data):
    committee = ddmlp.load([trained, trained / "model.npz"])
    assert isinstance(committee, Committee)
    assert committee.members[0].weights_sha256 == committee.members[1].weights_sha256
    found = ddmlp.evaluate([trained, str(trained)], data)
    assert found.mistakes == ddmlp.evaluate(trained, data).mistakes
    assert len(ddmlp.load([trained]).members) == 1
    with pytest.raises(RunError, match="nowhere"):
        ddmlp.load([trained, "nowhere"])


def test_hash():
    """It names the members and their order."""
    committee = Committee(MODELS)
    assert committee.weights_sha256 == Committee(tuple(MODELS)).weights_sha256
    assert len({committee.weights_sha256, Committee(MODELS[::-1]).weights_sha256, MODELS[0].weights_sha256}) == 3
    assert all(model.weights_sha256 in repr(committee) for model in MODELS)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Model(MODELS[0].weights, (3, 2)), ["(2, 3)", "(3, 2)"]),
        (Model(Weights.draw(Shape(6, 4, 4), 0), (2, 3)), ["3", "4"]),
        (replace(MODELS[0], class_names=("a", "b", "d")), ["'c'", "'d'"]),
        (replace(MODELS[0], look=msgspec.structs.replace(MNIST, background=255)), ["0", "255"]),
    ],
    ids=["shape", "classes", "names", "background"],
)
def test_members_that_do_not_fit(other: Model, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        Committee([MODELS[1], replace(MODELS[0], class_names=("a", "b", "c")), other])
    assert all(word in str(caught.value) for word in words)


def test_names():
    """Those of the members that have some."""
    committee = Committee([MODELS[0], replace(MODELS[1], class_names=("a", "b", "c"))])
    assert (committee.class_names, committee.class_name(2)) == (("a", "b", "c"), "c")
    assert (Committee(MODELS).class_names, Committee(MODELS).class_name(2)) == (None, "2")


@pytest.mark.parametrize("members", [[], [MODELS[0], "runs/one"], [MODELS[0].weights]])
def test_no_members(members):
    with pytest.raises(ConfigError, match="expected one or more models"):
        Committee(members)


def test_refused(tmp_path: Path):
    """What only a network has."""
    committee = Committee(MODELS)
    for use in (lambda: committee.weights, lambda: committee.W1, lambda: export(committee, "safetensors")):
        with pytest.raises(AttributeError, match=r"^a committee has no .*members\[0\]"):
            use()
    for images in (IMAGES.astype(float), IMAGES.reshape(700, 6), IMAGES.tolist()):
        with pytest.raises(ImageError):
            committee.predict(images)
    with pytest.raises(ConfigError, match=r"^init is a Committee, "):
        ddmlp.fit((IMAGES, LABELS), run=tmp_path / "run", init=committee)
    with pytest.raises(RunError, match=r"2 x 3 .*3 x 2"):
        ddmlp.evaluate(committee, (IMAGES.reshape(-1, 3, 2), LABELS))
    with pytest.raises(RunError, match="4 classes"):
        ddmlp.evaluate(committee, (IMAGES, LABELS + (LABELS == 2)))
