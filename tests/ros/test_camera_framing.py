"""Crop and resize: the image and its intrinsics tell the same story."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_ros.cameras.framing import FITS, Framing

SIZES = st.integers(1, 300)
SQUARING = [fit for fit in FITS if fit != "none"]


def gradient(width, height):
    """A frame whose red and green are the column and the row of the pixel, as a fraction of 250."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    channels = [columns / width * 250, rows / height * 250, np.full_like(rows, 250)]
    return np.round(np.stack(channels, axis=2)).astype(np.uint8)


@given(st.sampled_from(SQUARING), SIZES, SIZES, st.integers(16, 128))
def test_every_fit_but_none_gives_the_square_that_was_asked_for(fit, width, height, size):
    image = (
        Framing(fit, size).placement(width, height).apply(np.zeros((height, width, 3), np.uint8))
    )
    assert image.shape == (size, size, 3)


@given(SIZES, SIZES)
def test_none_changes_nothing(width, height):
    frame = gradient(width, height)
    placement = Framing().placement(width, height)
    matrix = np.array([[500.0, 0, 31.0], [0, 510.0, 17.0], [0, 0, 1]])
    assert np.array_equal(placement.apply(frame), frame)
    assert np.allclose(placement.intrinsics(matrix), matrix)


@given(
    st.sampled_from(SQUARING),
    st.integers(64, 300),
    st.integers(64, 300),
    st.integers(32, 96),
    st.data(),
)
def test_intrinsics_say_where_the_pixels_went(fit, width, height, size, data):
    """A point seen at a column and a row of the frame is drawn where the image's intrinsics project
    it.
    """
    placement = Framing(fit, size).placement(width, height)
    image = placement.apply(gradient(width, height)).astype(float)
    matrix = np.array([[200.0, 0, width / 2 - 0.5], [0, 200.0, height / 2 - 0.5], [0, 0, 1]])
    row, column = data.draw(st.integers(2, size - 3)), data.draw(st.integers(2, size - 3))
    # Not in a bar beside the frame, or at its edge.
    assume(image[row - 2 : row + 3, column - 2 : column + 3, 2].min() == 250)
    ray = np.linalg.inv(placement.intrinsics(matrix)) @ [column, row, 1]
    frame_column, frame_row, _ = matrix @ ray
    assert image[row, column, 0] == pytest.approx((frame_column + 0.5) / width * 250, abs=2)
    assert image[row, column, 1] == pytest.approx((frame_row + 0.5) / height * 250, abs=2)


def test_pad_keeps_the_whole_frame_between_black_bars():
    image = Framing("pad", 48).placement(640, 480).apply(np.full((480, 640, 3), 200, np.uint8))
    assert (image[:6] == 0).all() and (image[-6:] == 0).all()
    assert (image[6:42] == 200).all()


def test_crop_takes_the_middle_of_the_part_that_was_named():
    placement = Framing("crop", 48, (100, 0, 400, 200)).placement(640, 480)
    assert placement.box == (200, 0, 200, 200)


@pytest.mark.parametrize(
    "crop", [(0, 0, 641, 480), (-1, 0, 10, 10), (0, 470, 10, 11), (5, 5, 0, 10)]
)
def test_a_part_outside_the_frame_is_refused(crop):
    with pytest.raises(ConfigError, match="640x480 px"):
        Framing("crop", 48, crop).placement(640, 480)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("corp", 48), "did you mean 'crop'"),
        (("pad", 0), "needs an image size above 0 px"),
        (("pad", 48, (1, 2)), r"crop_px must be \[left, top, width, height\]"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(words, reason):
    with pytest.raises(ConfigError, match=reason):
        Framing(*words)
