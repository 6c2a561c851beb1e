"""Camera geometry and the labels that are made with it."""

import numpy as np

from conure_sim.environment import TabletopEnv, table_camera
from conure_sim.static_scenes import StaticScenes


def test_a_projected_point_is_where_the_renderer_draws_it() -> None:
    env = TabletopEnv(image_size=240, distractors=0)
    for seed in range(4):
        env.reset(seed=seed)
        target = env.scene.target
        with_object = env.render().astype(int)
        env.world.place(target.body, np.array([0.0, 2.0, 0.0]), np.array([0, 0, 0, 1.0]))
        position = np.array([0.28, 0.05 * (seed - 1.5), 0.0])
        empty = env.render().astype(int)
        env.world.place(target.body, position, np.array([0, 0, 0, 1.0]))
        changed = np.abs(env.render().astype(int) - empty).sum(axis=2) > 90
        rows, columns = np.nonzero(changed)
        middle = position + [0, 0, target.model.height_m / 2]
        expected = env.world.camera.project(middle[None])[0]
        assert np.abs(np.array([columns.mean(), rows.mean()]) - expected).max() < 8
        assert with_object.shape == (240, 240, 3)


def test_pixels_scale_with_the_image() -> None:
    point = np.array([[0.3, 0.05, 0.02]])
    np.testing.assert_allclose(table_camera(96).project(point), 2 * table_camera(48).project(point), rtol=1e-9)


def test_static_scenes_repeat_by_seed_and_label_what_is_there() -> None:
    first, again = StaticScenes().draw(24, seed=3), StaticScenes().draw(24, seed=3)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape == (24, 48, 48, 3)
    present = np.isfinite(first.positions[:, :, 0])
    assert present.any(axis=1).all()
    assert (np.isfinite(first.colours[:, :, 0]) == present).all()
    assert not np.array_equal(first.image, StaticScenes().draw(24, seed=4).image)
