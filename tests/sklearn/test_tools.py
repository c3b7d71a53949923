"""The classifier works with scikit-learn's tools, joblib, pickle and threads, and leaves nothing behind."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import ddmlp
from ddmlp.errors import ConfigError
from tests.support.classifiers import classifier

# Checks of scikit-learn that the network cannot pass, with the reason of each: it passes all of them.
EXPECTED_FAILED_CHECKS: dict[str, str] = {}

SEARCH = """
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from ddmlp.sklearn import DigitClassifier
X, y = load_digits(return_X_y=True)
grid = {"hidden": np.array([1, 16]), "lr": np.array([0.5])}
scores = [
    GridSearchCV(DigitClassifier(), grid, cv=2, n_jobs=jobs).fit(X[:200], y[:200]).cv_results_["mean_test_score"]
    for jobs in (1, 2)
]
print(scores[0].tolist() == scores[1].tolist(), scores[0][0] < 0.5 < scores[0][1])
"""


@pytest.mark.slow
def test_check_estimator():
    from sklearn.utils.estimator_checks import check_estimator

    from ddmlp.sklearn import DigitClassifier

    found = check_estimator(
        DigitClassifier(), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None, on_fail=None
    )
    assert {each["check_name"]: each["exception"] for each in found if each["status"] == "failed"} == {}
    assert {each["check_name"] for each in found if each["status"] == "xfail"} == EXPECTED_FAILED_CHECKS.keys()
    assert {each["check_name"] for each in found if each["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(found) > 40


@pytest.fixture
def nothing_left(temporary: Path, tmp_path: Path, monkeypatch, capfd) -> Iterator[None]:
    """Fails if a file is left in the folder for temporary files or in the working directory, or anything is printed."""
    monkeypatch.chdir(tmp_path)
    yield
    assert [*temporary.iterdir(), *tmp_path.iterdir()] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("nothing_left")
def test_leaves_nothing(digits):
    X, y = digits
    classifier().fit(X, y).partial_fit(X, y).predict(X)
    with pytest.raises(ConfigError, match="hidden"):
        classifier(hidden=0).fit(X, y)
    with mock.patch("ddmlp.sklearn.fit", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        classifier().fit(X, y)


def test_data_frame(digits, fitted):
    import pandas

    X, y = digits
    frame = pandas.DataFrame(X, columns=[f"pixel{column}" for column in range(X.shape[1])])
    estimator = classifier().fit(frame, pandas.Series(y))
    assert estimator.weights_sha256_ == fitted.weights_sha256_
    assert list(estimator.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[frame.columns[::-1]])


def test_pickle(digits, fitted):
    import joblib

    X, _ = digits
    expected = fitted.predict_proba(X).tobytes()
    text = pickle.dumps(fitted)
    assert len(text) < 4 * (64 * 16 + 16 * 10) + 4_000  # the weights, and little else, though it has been used
    assert pickle.loads(text).predict_proba(X).tobytes() == expected
    assert joblib.hash(pickle.loads(text)) == joblib.hash(fitted)
    assert pickle.loads(text).partial_fit(*digits).weights_sha256_ != fitted.weights_sha256_


def test_threads(digits, fitted):
    """Threads may use the same classifier, and each may train one."""
    X, y = digits
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: fitted.predict_proba(X).tobytes(), range(20))]
        trained = [*threads.map(lambda _: classifier().fit(X, y).weights_sha256_, range(2))]
    assert set(found) == {fitted.predict_proba(X).tobytes()}
    assert set(trained) == {fitted.weights_sha256_}


def test_model_selection(digits, fitted):
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    X, y = digits
    assert clone(classifier(lr=0.25)).get_params() == classifier(lr=0.25).get_params()
    scores = cross_val_score(make_pipeline(MinMaxScaler(), classifier()), X, y, cv=2)
    assert scores.min() > 0.7
    search = GridSearchCV(classifier(), {"hidden": [1, 16]}, cv=2).fit(X, y)
    assert search.best_params_ == {"hidden": 16}
    assert search.best_estimator_.weights_sha256_ == fitted.weights_sha256_


@pytest.mark.slow
def test_parallel_search(tmp_path: Path):
    """In processes of joblib. They outlive the search, so it has a process of its own."""
    root = str(Path(ddmlp.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", SEARCH], cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = done.stderr.replace("compiling the kernels, once\n", "")
    assert (done.returncode, done.stdout, said) == (0, "True True\n", "")
    assert [*tmp_path.iterdir()] == []


def test_without_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "ddmlp.sklearn", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"pip install 'ddmlp\[sklearn\]'") as caught:
        import ddmlp.sklearn  # noqa: F401
    assert "\n" not in str(caught.value)


def test_numpy_numbers(digits, fitted):
    """As a search over parameters draws them."""
    found = classifier(hidden=np.int64(16), lr=np.float64(0.5), epochs=np.int32(5), batch=np.uint8(8)).fit(*digits)
    assert found.weights_sha256_ == fitted.weights_sha256_
