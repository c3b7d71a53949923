"""The setting `augment`: its forms, its defaults, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.errors import ConfigError
from ddmlp.nn.augmentation import KINDS, RANGES, Augmentation


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("shift", "shift:pixels=1"),
        ("shift:pixels=3.0", "shift:pixels=3"),
        ("affine", "affine:rotation=10,scale=0.1,shear=0.1,pixels=0"),
        ("elastic", "elastic:alpha=36,sigma=4.5,rotation=10,scale=0.1,shear=0.1,pixels=0"),
        ("elastic:shear=0.10,alpha=-0", "elastic:alpha=0,sigma=4.5,rotation=10,scale=0.1,shear=0.1,pixels=0"),
        ("affine:scale=1e-7", "affine:rotation=10,scale=1e-07,shear=0.1,pixels=0"),
    ],
)
def test_simple(given: str, text: str):
    found = Augmentation.of(given)
    assert found.text == text
    assert Augmentation.of(text) == found


@given(st.sampled_from([*RANGES]), st.data())
def test_text_is_exact(name: str, data: st.DataObject):
    value = data.draw(st.floats(*RANGES[name]))
    value = float(int(value)) if name == "pixels" else value
    (kind,) = data.draw(st.sampled_from([[kind] for kind, values in KINDS.items() if name in values]))
    found = Augmentation.of(f"{kind}:{name}={value!r}")
    assert getattr(found, name) == value
    assert Augmentation.of(found.text) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("elastc", ["'elastc'", "shift, affine, elastic"]),
        ("Elastic", ["'Elastic'"]),
        ("elastic:", ["NAME=NUMBER", "sigma"]),
        ("elastic:alpha", ["alpha is ,", "0 to 1000"]),
        ("elastic:alpha=nan", ["alpha is nan", "0 to 1000"]),
        ("elastic:alpha=inf", ["alpha is inf", "0 to 1000"]),
        ("elastic:alpha=x", ["alpha is x", "0 to 1000"]),
        ("elastic:sigma=0", ["sigma is 0", "0.5 to 100"]),
        ("elastic:scale=1", ["scale is 1", "0 to 0.9"]),
        ("elastic:rotation=-5", ["rotation is -5", "0 to 180"]),
        ("elastic:alpha=1,alpha=1", ["'alpha=1'", "once"]),
        ("elastic:alpha=1,,sigma=3", ["''", "NAME=NUMBER"]),
        ("affine:alpha=1", ["'alpha=1'", "rotation, scale, shear, pixels"]),
        ("shift:pixels=1.5", ["pixels is 1.5", "whole number"]),
    ],
)
def test_refused(given: str, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        Augmentation.of(given)
    assert [word for word in [repr(given), *words] if word not in str(caught.value)] == []


@given(st.floats(0.5, 100))
def test_boxes(sigma: float):
    """Their variance is that of the Gaussian, to within half a step."""
    boxes = Augmentation(sigma=sigma).boxes
    assert all(width % 2 for width in boxes)
    assert max(boxes) - min(boxes) in (0, 2)
    variance = sum((width**2 - 1) / 12 for width in boxes)
    assert abs(variance - sigma**2) <= (min(boxes) + 1) / 6 + 1e-9
