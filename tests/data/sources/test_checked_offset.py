"""Offsets with checksums, as text."""

import pytest

from ddmlp.data.sources.checked_offset import CheckedOffset
from ddmlp.errors import DatasetError


@pytest.mark.parametrize("text", ["0", "12", "12@0a1b2c3d"])
def test_simple(text: str):
    assert str(CheckedOffset.parse(text)) == text


@pytest.mark.parametrize("text", ["", "-1", "12@", "@0a1b2c3d", "12@0a1b2c3", "12@0A1B2C3D", "12 ", "12-0@7"])
def test_malformed(text: str):
    with pytest.raises(DatasetError, match=repr(text)):
        CheckedOffset.parse(text)
