"""Shifted images keep their pixels, and their labels lie where the shifted pixels are."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from conure_sim.physics.arm_simulation import table_camera
from conure_training.prior.augmentation import PlaneShift, shift_images


@given(st.integers(-4, 4), st.integers(-4, 4))
def test_pixels_move_right_and_down_and_the_edge_repeats(right, down):
    image = torch.arange(2 * 12 * 10 * 3).reshape(2, 12, 10, 3)
    shifted = shift_images(image, torch.tensor([[right, down], [0, 0]]))
    assert torch.equal(shifted[1], image[1])
    padded = np.pad(image[0].numpy(), ((4, 4), (4, 4), (0, 0)), mode="edge")
    expected = padded[4 - down : 16 - down, 4 - right : 14 - right]
    np.testing.assert_array_equal(shifted[0].numpy(), expected)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0.0, 0.1))
def test_moved_points_project_to_the_moved_pixels_at_the_same_height(right, down, height):
    camera = table_camera(48)
    points = np.array([[0.3, 0.05, height], [0.2, -0.1, height], [np.nan] * 3])
    pixels = camera.project(points)
    after = pixels + [right, down]
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (points, pixels, after))
    moved = PlaneShift.of(camera)(*tensors).numpy()
    np.testing.assert_allclose(camera.project(moved[:2]), after[:2], atol=2e-3)
    np.testing.assert_allclose(moved[:2, 2], height, atol=1e-6)
    assert np.isnan(moved[2]).all()


def test_points_that_do_not_move_stay_exactly():
    points, pixels = torch.rand(5, 3), torch.rand(5, 2) * 48
    assert torch.equal(PlaneShift.of(table_camera(48))(points, pixels, pixels), points)
