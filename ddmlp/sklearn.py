"""A scikit-learn classifier that trains by `ddmlp.fit` (needs the extra sklearn)."""

import math
import tempfile
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddmlp.api.fit import fit
from ddmlp.api.run import plain
from ddmlp.config import TrainConfig
from ddmlp.data.pixel_range import PixelRange
from ddmlp.errors import require_extra
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Weights

with require_extra("sklearn", "ddmlp.sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data

MAX_CLASSES = 256  # a label is a byte


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn classifier for images, trained by `ddmlp.fit`.

    The same data, parameters and `random_state` give the same weights as `ddmlp.fit`, bit for bit, on every machine
    and, if `staleness` is 0, with any number of workers. Training uses a temporary folder, and removes it.

    Features of the type uint8 are pixels, 0 to 255. Others are scaled: `fit` learns the lowest and the highest value of
    all together (0 if no value is negative), which become the pixels 0 and 255; values between are rounded, later ones
    outside are clipped. So pixels of 0..16 or 0..1 need no scaler, but features of different units do.

    `augment` distorts the images in each epoch. For a function of your own, use `ddmlp.fit(transform=...)`: there is no
    such parameter here, because scikit-learn takes every estimator with this attribute for a transformer.

    Parameters
    ----------
    hidden, batch, microbatch, lr, lr_schedule, lr_half, epochs, window, staleness, staleness_lr, delay, gradient_bits
    lr_end, augment
        As in `TrainConfig`. If `batch` exceeds the number of rows, each step takes all rows.
    workers : int or (min, max)
        Worker processes on Ray, or the fewest and the most; 0: all is computed in this process.
    random_state : int, RandomState instance or None
        An integer is the seed; each further call of `partial_fit` adds 1 to it. Otherwise each call draws one.

    Attributes
    ----------
    classes_ : (classes,) array
        The labels, sorted.
    n_features_in_ : int
        Features of a row: height times width of images.
    feature_names_in_ : (n_features_in_,) array of str
        Their names, if X was a data frame.
    image_shape_ : (height, width)
        Of the training images. Flat rows are square images if possible, otherwise images of one line.
    range_ : (low, high)
        The values that become the pixels 0 and 255.
    coefs_ : list of float32 arrays
        W1 (n_features_in_, hidden) and W2 (hidden, classes).
    weights_sha256_ : str
        The SHA-256 of the weights, as in the result of a run.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ddmlp.sklearn import DigitClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = DigitClassifier(hidden=32).fit(X[:1000], y[:1000])
    >>> classifier.score(X[1000:], y[1000:]) > 0.9
    True
    >>> classifier.predict(X[:3])
    array([0, 1, 2])
    """

    def __init__(
        self,
        *,
        hidden: int = 256,
        batch: int = 8,
        microbatch: int = 128,
        lr: float = 0.8,
        lr_schedule: str = "linear",
        lr_half: int = 10_000,
        lr_end: float = 0.01,
        epochs: int = 5,
        window: int = 65_536,
        staleness: int | str = 0,
        staleness_lr: bool = False,
        delay: int = 0,
        gradient_bits: int = 0,
        augment: str = "",
        workers: int | tuple[int, int] = 0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.hidden, self.batch, self.microbatch, self.workers = hidden, batch, microbatch, workers
        self.lr, self.lr_schedule, self.lr_half, self.lr_end = lr, lr_schedule, lr_half, lr_end
        self.epochs, self.window, self.random_state, self.gradient_bits = epochs, window, random_state, gradient_bits
        self.staleness, self.staleness_lr, self.delay, self.augment = staleness, staleness_lr, delay, augment

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train from the initial weights; returns self.

        Parameters
        ----------
        X : (B, n_features) or (B, height, width), any numeric dtype
        y : (B,) labels: numbers or strings, at most 256 different ones

        Raises
        ------
        ValueError
            If the data are not a classification problem: not finite, of different lengths, more than 256 classes.
        ConfigError
            If a parameter has a value that cannot work.
        """
        self.__dict__.pop("coefs_", None)  # if this fails, the old weights must not meet the new classes and scaling
        rows, labels = self._check(X, y, reset=True)
        self._set_classes(labels)
        return self._train(rows, labels)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Continue training: one pass over these rows with the constant learning rate `lr`; returns self.

        Parameters
        ----------
        X : (B, n_features) or (B, height, width), any numeric dtype
            The first call learns the scaling, unless `fit` has.
        y : (B,) labels
        classes : (classes,) labels
            All classes of this and later calls; required by the first call.

        Raises
        ------
        ValueError
            As for `fit`; also if a label is not in `classes`, or `classes` is missing or differs from before.
        ConfigError
            If a parameter has a value that cannot work.
        """
        first = not hasattr(self, "coefs_")
        rows, labels = self._check(X, y, reset=first)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if first:
            self._set_classes(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes={classes!r} is not the same as on the last call: {self.classes_!r}")
        if unknown := sorted(set(unique_labels(labels)) - set(self.classes_)):
            raise ValueError(f"y has the labels {unknown}, which are not in classes: {self.classes_!r}")
        return self._train(rows, labels, init=None if first else self._model(), epochs=1, lr_schedule="constant")

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the class of each row.

        Parameters
        ----------
        X : (B, n_features) or (B, height, width), any numeric dtype

        Returns
        -------
        (B,) labels from `classes_`
            The most probable one; of equally probable ones the first.

        Raises
        ------
        NotFittedError, ValueError
            Before `fit`; if X does not fit the training data.
        """
        numbers: NDArray[np.intp] = np.argmax(self.predict_proba(X), axis=1)  # first: it raises NotFittedError
        return np.take(self.classes_, numbers)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : (B, n_features) or (B, height, width), any numeric dtype

        Returns
        -------
        (B, classes) float32
            In the order of `classes_`: the same bits on every machine.

        Raises
        ------
        NotFittedError, ValueError
            Before `fit`; if X does not fit the training data.
        """
        check_is_fitted(self, "coefs_")
        images = self._images(self._check(X, reset=False))
        return self._model().predict_proba(images)

    def _check(self, X: Any, *y: Any, reset: bool) -> Any:
        """X as an array (B, n_features), and y (B,) if it is given; reset, with y: learn the form and range of X."""
        shape: Any = getattr(X, "shape", ())
        if len(shape) == 3:
            X = np.reshape(X, (shape[0], shape[1] * shape[2]))
            if not reset and shape[1:] != self.image_shape_:
                raise ValueError(f"X has images of {shape[1:]}, expected {self.image_shape_} as in the training data")
        found = validate_data(self, X, *y, reset=reset)
        if y:
            check_classification_targets(found[1])
        if reset:
            self.image_shape_: tuple[int, int] = shape[1:] if len(shape) == 3 else _image_shape(self.n_features_in_)
            self.range_ = PixelRange.of(found[0])
        return found

    def _set_classes(self, labels: Any) -> None:
        self.classes_: NDArray[Any] = unique_labels(labels)
        if len(self.classes_) > MAX_CLASSES:
            raise ValueError(f"found {len(self.classes_)} classes, expected {MAX_CLASSES} at most")

    def _train(self, X: NDArray[Any], y: NDArray[Any], init: Model | None = None, **changed: Any) -> Self:
        settings = {name: plain(getattr(self, name)) for name in TrainConfig.names() if hasattr(self, name)} | changed
        if isinstance(settings["batch"], int):
            settings["batch"] = min(settings["batch"], len(X))
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        self._further: int = self._further + 1 if init else 0  # no order and no distortion of rows is used twice
        with tempfile.TemporaryDirectory(prefix="ddmlp-") as folder:
            result = fit(
                (self._images(X), np.searchsorted(self.classes_, y)),
                classes=len(self.classes_),
                run=Path(folder, "run"),
                workers=plain(self.workers),
                init=init,
                progress=False,
                **settings | {"seed": int(seed) + self._further},
            )
            self.coefs_ = [each.copy() for each in result.model.weights.parameters.values()]
        self.weights_sha256_: str = result.weights_sha256
        return self

    def _images(self, X: NDArray[Any]) -> NDArray[np.uint8]:
        """Rows (B, n_features) as images (B, height, width)."""
        return self.range_.pixels(X).reshape(-1, *self.image_shape_)

    def _model(self) -> Model:
        """A model for one call: two threads must not share its buffers."""
        return Model(Weights.join(*self.coefs_), self.image_shape_)


def _image_shape(features: int) -> tuple[int, int]:
    side = math.isqrt(features)
    return (side, side) if side * side == features else (1, features)
