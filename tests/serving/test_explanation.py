"""Explained answers: what the server tells, and when it refuses."""

import numpy as np
import pytest

from ddmlp.errors import RequestError
from ddmlp.inference.committee import Committee
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model
from ddmlp.nn.weights import Shape, Weights
from ddmlp.serving.explanation import MAX_PIXELS, UNITS, explained, explains
from ddmlp.serving.models import Version


def test_simple(server, digits, trained):
    model = load_model(trained)
    answer = server.predict(digits[0].tolist(), path="/predict?explain=true").json
    found, expected = answer["explanation"], model.explain(digits[:1])
    assert expected.classes.tolist() == [answer["class"]]
    assert found["saliency"] == expected.saliency[0].tolist()
    contributions = expected.contributions[0]
    order = np.argsort(contributions, kind="stable")
    for name, units in {"supporting": order[::-1], "opposing": order}.items():
        assert [each["unit"] for each in found[name]] == units[:UNITS].tolist()
        for each in found[name]:
            assert each["contribution"] == contributions[each["unit"]]
            assert each["activation"] == expected.hidden[0, each["unit"]]
            assert each["weights"] == model.weights.w1[:, each["unit"]].reshape(28, 28).tolist()
    assert found["supporting"][0]["contribution"] > 0 > found["opposing"][0]["contribution"]


def test_only_for_those_who_ask(server, digits):
    assert "explanation" not in server.predict(digits[0].tolist()).json
    found = server.predict(digits[:3].tolist(), path="/predict?explain=true")
    assert found.status == 422
    assert "(3)" in found.json["error"]
    assert server.predict(digits[:3].tolist()).status == 200


def test_shapes():
    """Images that are no squares, and few hidden units, which all speak for the answer."""
    weights = Weights.draw(Shape(6, 2, 3), 1)
    weights.w2[...] = np.abs(weights.w2)
    found = explained(Model(weights, (2, 3)), np.full((2, 3), 255, np.uint8))
    assert np.shape(found.saliency) == np.shape(found.supporting[0].weights) == (2, 3)
    assert (len(found.supporting), found.opposing) == (2, [])


def test_too_large():
    model = Model(Weights(Shape(MAX_PIXELS + 1, 1, 2)), (1, MAX_PIXELS + 1))
    assert not Version.from_model(model).info.explains
    with pytest.raises(RequestError, match=f"{MAX_PIXELS:,}") as caught:
        explained(model, np.zeros((1, MAX_PIXELS + 1), np.uint8))
    assert caught.value.status == 422
    assert explains(Model(Weights(Shape(MAX_PIXELS, 1, 2)), (1, MAX_PIXELS)))


def test_committee():
    """Its answer is a mean, which has no hidden units."""
    committee = Committee((Model(Weights.draw(Shape(4, 3, 2), 1), (2, 2)),))
    assert not Version.from_model(committee).info.explains
    with pytest.raises(RequestError, match="one network"):
        explained(committee, np.zeros((2, 2), np.uint8))


def test_not_finite():
    """JSON has no infinity."""
    weights = Weights(Shape(1, 2, 2))
    weights.w1[...] = [[3e38, 3e38]]
    weights.w2[...] = [[3e38, 0], [3e38, 0]]
    model = Model(weights, (1, 1))
    assert np.isinf(model.explain(np.zeros((1, 1, 1), np.uint8)).saliency).all()
    with pytest.raises(RequestError, match="not finite"):
        explained(model, np.zeros((1, 1), np.uint8))
