"""The classifier of scikit-learn trains as `ddmlp.fit` does."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddmlp
from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError
from tests.support.classifiers import SETTINGS, classifier


def test_simple(digits, fitted):
    X, y = digits
    assert fitted.score(X, y) > 0.9
    assert fitted.classes_.tolist() == [*range(10)]
    assert (fitted.n_features_in_, fitted.image_shape_, fitted.range_) == (64, (8, 8), (0.0, 16.0))
    assert [(each.shape, each.dtype) for each in fitted.coefs_] == [((64, 16), np.float32), ((16, 10), np.float32)]
    found = fitted.predict_proba(X)
    assert (found.shape, found.dtype) == ((300, 10), np.float32)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert (fitted.predict(X) == found.argmax(axis=1)).all()


def test_settings_are_fits():
    found = classifier().get_params()
    ours = {"random_state": "seed", "workers": "workers"}
    assert found.keys() - ours == set(TrainConfig.names()) - {
        "seed",
        "follow",
        "init_sha256",
        "begun_epochs",
        "transform_sha256",
    }
    defaults = TrainConfig().as_dict() | {"workers": inspect.signature(ddmlp.fit).parameters["workers"].default}
    signature = inspect.signature(type(classifier())).parameters
    assert {name: each.default for name, each in signature.items()} == {
        name: defaults[ours.get(name, name)] for name in signature
    }


def test_weights_are_fits(digits, tmp_path: Path):
    X, y = digits
    names = np.array(["nine", "one", "two"])[y % 3]  # sorted: the numbers of the classes
    pixels = np.rint(X / 16 * 255).astype(np.uint8).reshape(-1, 8, 8)
    found = classifier(random_state=7, delay=1, lr_schedule="inverse", lr_half=9, gradient_bits=5, augment="shift").fit(
        X, names
    )
    assert found.classes_.tolist() == ["nine", "one", "two"]
    settings: dict[str, Any] = SETTINGS | {
        "seed": 7,
        "delay": 1,
        "lr_schedule": "inverse",
        "lr_half": 9,
        "gradient_bits": 5,
        "augment": "shift:pixels=1",
    }
    expected = ddmlp.fit((pixels, y % 3), run=tmp_path / "run", progress=False, **settings)
    assert found.weights_sha256_ == expected.weights_sha256
    assert found.predict(X).tolist() == found.classes_[expected.model.predict(pixels)].tolist()
    assert found.predict_proba(X).tobytes() == expected.model.predict_proba(pixels).tobytes()


def test_batch_of_all(digits):
    X, y = digits
    assert (
        classifier(batch=1_000).fit(X[:20], y[:20]).weights_sha256_
        == classifier(batch=20).fit(X[:20], y[:20]).weights_sha256_
    )


def test_scaling():
    """It is learnt once."""
    found = classifier(epochs=0).fit(np.array([[0.0, 16.0], [4.0, 8.0]]), [0, 1])
    assert found.partial_fit(np.array([[0.0, 99.0]]), [1]).range_ == (0, 16)
    assert found.partial_fit(np.array([[0, 99]], np.uint8), [1]).range_ == (0, 16)
    assert found.fit(np.array([[0, 16], [4, 8]], np.uint8), [0, 1]).range_ == (0, 255)


def test_images(digits, fitted):
    X, y = digits
    images = X.reshape(-1, 8, 8)
    assert classifier().fit(images, y).weights_sha256_ == fitted.weights_sha256_
    assert fitted.predict_proba(images).tobytes() == fitted.predict_proba(X).tobytes()
    wide = classifier(epochs=0).fit(X.reshape(-1, 4, 16), y)
    assert (wide.n_features_in_, wide.image_shape_) == (64, (4, 16))
    with pytest.raises(ValueError, match=r"\(8, 8\).*\(4, 16\)"):
        wide.predict(images)
    assert classifier(epochs=0).fit(X[:, :6], y).image_shape_ == (1, 6)


def test_partial_fit(digits, tmp_path: Path):
    X, y = digits
    further = classifier().partial_fit(X[:200], y[:200], classes=range(10))
    once = classifier(epochs=1, lr_schedule="constant").fit(X[:200], y[:200])
    assert further.weights_sha256_ == once.weights_sha256_
    begun = further._model()
    assert further.partial_fit(X[200:], y[200:]) is further
    pixels = further._images(X[200:])
    settings: dict[str, Any] = SETTINGS | {"epochs": 1, "lr_schedule": "constant", "seed": 1}
    expected = ddmlp.fit((pixels, y[200:]), run=tmp_path / "run", init=begun, progress=False, **settings)
    assert further.weights_sha256_ == expected.weights_sha256
    assert further.fit(X[:200], y[:200]).weights_sha256_ == classifier().fit(X[:200], y[:200]).weights_sha256_


def test_partial_fit_few_classes(digits):
    """A call need not have rows of all classes."""
    X, y = digits
    found = classifier().partial_fit(X[y < 2], y[y < 2], classes=[3, 1, 0, 2, 5])
    assert found.classes_.tolist() == [0, 1, 2, 3, 5]
    assert found.partial_fit(X[y == 5], y[y == 5], classes=[0, 1, 2, 3, 5]).predict(X[y == 5])[0] == 5


@pytest.mark.parametrize(
    ("labels", "classes", "told"), [([0, 4], None, "4"), ([0, 1], [0, 1], "classes"), ([0, 1], [0, 1, 2, 3], "classes")]
)
def test_partial_fit_other_classes(labels: list[int], classes: list[int] | None, told: str):
    X = np.eye(3)
    found = classifier().partial_fit(X, [0, 1, 2], classes=[0, 1, 2])
    before = found.weights_sha256_
    with pytest.raises(ValueError, match=told):
        found.partial_fit(X[:2], labels, classes)
    assert found.weights_sha256_ == before


def test_partial_fit_needs_classes():
    with pytest.raises(ValueError, match="classes"):
        classifier().partial_fit(np.eye(2), [0, 1])


def test_random_state(digits):
    X, y = digits[0][:20], digits[1][:20]

    def hashes(seed: Any, count: int) -> list[str]:
        found = classifier(random_state=seed, epochs=0)
        return [found.fit(X, y).weights_sha256_ for _ in range(count)]

    assert hashes(np.int64(1), 1) == hashes(1, 1)
    drawn = hashes(np.random.RandomState(5), 2)
    assert drawn[0] != drawn[1]
    assert drawn[:1] == hashes(np.random.RandomState(5), 1)
    assert len(set(hashes(None, 2))) == 2


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_not_fitted(method: str):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        getattr(classifier(), method)(np.ones((2, 4)))


def test_failed_fit(digits):
    """Its classifier is not fitted."""
    from sklearn.exceptions import NotFittedError

    X, y = digits
    found = classifier(lr=-1.0)
    with pytest.raises(ConfigError, match=r"-1\.0"):
        found.fit(X, y)
    with pytest.raises(NotFittedError):
        found.predict(X)


def test_failed_refit(digits):
    """The old weights are not used with the new classes and the new scaling."""
    from sklearn.exceptions import NotFittedError

    X, y = digits
    found = classifier(epochs=1).fit(X, y).set_params(lr=-1.0)
    with pytest.raises(ConfigError):
        found.fit(X / 2, 9 - y)
    with pytest.raises(NotFittedError):
        found.predict(X)


def test_too_many_classes():
    X, y = np.ones((514, 3)), np.arange(514) % 257
    with pytest.raises(ValueError, match="257"):
        classifier().fit(X, y)
    assert len(classifier(epochs=0).fit(X[y < 256], y[y < 256]).classes_) == 256


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers(digits, fitted):
    assert classifier(workers=2).fit(*digits).weights_sha256_ == fitted.weights_sha256_
