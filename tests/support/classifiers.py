"""Classifiers for scikit-learn, small ones."""

from typing import Any

SETTINGS: dict[str, Any] = {"hidden": 16, "epochs": 5, "lr": 0.5}


def classifier(**more: Any) -> Any:
    from ddmlp.sklearn import DigitClassifier

    return DigitClassifier(**SETTINGS | more)
