"""A committee: models that answer together."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import ConfigError
from ddmlp.inference.look import Look
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model


@dataclass(frozen=True, repr=False)
class Committee:
    """Models that answer together: the probability of a class is the mean of theirs.

    Parameters
    ----------
    members : sequence of Model
        At least one. They take images of one shape, on one background, and have the same classes; they may have any
        number of hidden units.

    Raises
    ------
    ConfigError
        If the models do not fit each other.

    Examples
    --------
    >>> from ddmlp.nn.weights import Shape, Weights
    >>> one, two = (Model(Weights.draw(Shape(4, 3, 2), seed), image_shape=(2, 2)) for seed in (1, 2))
    >>> image = np.full((1, 2, 2), 255, np.uint8)
    >>> [each.predict_proba(image).astype(float).round(2).tolist() for each in (one, two, Committee([one, two]))]
    [[[0.47, 0.53]], [[0.19, 0.81]], [[0.33, 0.67]]]
    """

    members: tuple[Model, ...]

    def __post_init__(self) -> None:
        members = tuple(self.members)
        if not members or not all(isinstance(each, Model) for each in members):
            raise ConfigError(f"the members of a committee are {self.members!r}, expected one or more models")
        object.__setattr__(self, "members", members)
        shared: list[tuple[str, set[Any]]] = [
            ("image shapes", {each.image_shape for each in members}),
            ("numbers of classes", {each.classes for each in members}),
            ("names of classes", {each.class_names for each in members if each.class_names}),
            ("backgrounds of the images", {each.look.background for each in members}),
        ]
        for what, found in shared:
            if len(found) > 1:
                raise ConfigError(
                    f"the {what} of a committee's members differ: found {' and '.join(sorted(map(str, found)))}, "
                    "expected the same for all"
                )

    def __repr__(self) -> str:
        return f"Committee([{', '.join(map(repr, self.members))}])"

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"a committee has no {name!r}; a single model may, such as committee.members[0]")

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.members[0].image_shape

    @property
    def look(self) -> Look:
        """The look of the first member's training images; pictures are fitted to it."""
        return self.members[0].look

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.members[0].classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, if they have names."""
        return next((each.class_names for each in self.members if each.class_names), None)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the members' weights_sha256 in sequence, as ASCII text."""
        return hashlib.sha256("".join(each.weights_sha256 for each in self.members).encode()).hexdigest()

    def class_name(self, label: int) -> str:
        """Return the name of the class with the number `label`; without names, the number as text."""
        return self.class_names[label] if self.class_names else str(label)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Predict the class of each image. Not thread-safe.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.

        Returns
        -------
        (B,) intp
            The number of the most probable class of each image; the lowest number if several are equal.

        Raises
        ------
        ImageError, MachineError
            As `Model.predict`.

        Examples
        --------
        >>> from ddmlp.nn.weights import Shape, Weights
        >>> models = [Model(Weights.draw(Shape(4, 3, 2), seed), image_shape=(2, 2)) for seed in (1, 2)]
        >>> Committee(models).predict(np.zeros((5, 2, 2), np.uint8)).shape
        (5,)
        """
        found: NDArray[np.intp] = self.predict_proba(images).argmax(axis=1)
        return found

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class. Not thread-safe.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.

        Returns
        -------
        (B, classes) float32
            The mean of the members' probabilities, added in their order: the same bits on every machine.

        Raises
        ------
        ImageError, MachineError
            As `Model.predict`.

        Examples
        --------
        >>> from ddmlp.nn.weights import Shape, Weights
        >>> models = [Model(Weights.draw(Shape(4, 3, 2), seed), image_shape=(2, 2)) for seed in (1, 2)]
        >>> Committee(models).predict_proba(np.zeros((5, 2, 2), np.uint8)).sum(axis=1).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
        """
        first, *others = self.members
        total = first.predict_proba(images)
        for each in others:
            total += each.predict_proba(images)
        return total / np.float32(len(self.members))


def load_models(paths: Sequence[Path]) -> Model | Committee:
    """Read a model, as `load_model` does, or several, which are a committee. Raises RunError and ConfigError."""
    models = [load_model(each) for each in paths]
    return models[0] if len(models) == 1 else Committee(tuple(models))
