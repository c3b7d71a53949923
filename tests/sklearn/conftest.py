"""What the tests of the classifier share."""

from typing import Any

import numpy as np
import pytest

from tests.support.classifiers import classifier


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 digits of 8 x 8 pixels from 0 to 16, float64."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


@pytest.fixture(scope="session")
def fitted(digits) -> Any:
    """Not to be changed."""
    return classifier().fit(*digits)
