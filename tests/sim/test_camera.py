"""Camera geometry, seen against what the renderer draws, and the labels that are made with it."""

import cv2
import numpy as np
import pybullet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_sim.envs.sensors import wrist_camera
from conure_sim.envs.static_scenes import StaticScenes
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.vision.camera import (
    Camera,
    Distortion,
    MountedCamera,
    calibrated_intrinsics,
    looking_pose,
)
from conure_sim.vision.rendering import OBJECT_SEGMENT, SEGMENTS

EYE, GAZE = np.array([0.6, 0.1, 0.5]), np.array([0.25, 0.0, 0.05])
LENSES = st.one_of(
    st.none(),
    st.tuples(
        st.floats(-0.25, 0.25),
        st.floats(-0.05, 0.05),
        st.floats(-0.005, 0.005),
        st.floats(-0.005, 0.005),
        st.just(0.0),
    ),
)


def make_camera(
    width_px=320, height_px=240, focal_px=400.0, cx_px=160.0, cy_px=120.0, lens=None
) -> Camera:
    matrix = np.array([[focal_px, 0, cx_px], [0, 1.03 * focal_px, cy_px], [0, 0, 1]])
    return Camera(calibrated_intrinsics(width_px, height_px, matrix, lens), looking_pose(EYE, GAZE))


class Marker:
    """A world with one small sphere to be looked for."""

    RADIUS_M = 0.006

    def __init__(self) -> None:
        robot = load_robot("wx250s")
        self.world = BulletWorld(robot, table_camera(48))
        visual = self.world.client.createVisualShape(pybullet.GEOM_SPHERE, radius=self.RADIUS_M)
        self.body = self.world.client.createMultiBody(0, -1, visual)

    def pixels(self, camera, position) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows, (n, 2), of the pixels that show the sphere, and their depth, m; the arm
        is turned out of the way.
        """
        self.world.pose_arm(
            np.array([2.8, *self.world.robot.home_rad[1:]]), self.world.robot.gripper_open_m
        )
        self.world.client.resetBasePositionAndOrientation(self.body, position, [0, 0, 0, 1])
        view = self.world.view(camera, depth=True, bodies=True)
        rows, columns = np.nonzero(view.bodies == self.body)
        return np.stack([columns, rows], axis=1), view.depth_m[rows, columns]


@pytest.fixture(scope="module")
def marker() -> Marker:
    return Marker()


@settings(max_examples=40)
@given(
    position=st.tuples(st.floats(0.2, 0.34), st.floats(-0.07, 0.07), st.floats(0.10, 0.16)),
    middle=st.tuples(st.floats(140, 180), st.floats(100, 140)),
    lens=LENSES,
)
def test_a_point_is_seen_at_the_pixel_it_projects_to_through_any_lens(
    marker, position, middle, lens
) -> None:
    camera = make_camera(cx_px=middle[0], cy_px=middle[1], lens=lens)
    pixels, depth_m = marker.pixels(camera, position)
    expected = camera.project(np.array(position)[None])[0]
    if not (6 < expected[0] < 314 and 6 < expected[1] < 234):
        return
    assert np.abs(pixels.mean(axis=0) - expected).max() < 0.8
    distance_m = (np.linalg.inv(camera.base_from_camera) @ [*position, 1.0])[2]
    assert abs(depth_m.min() - (distance_m - marker.RADIUS_M)) < 0.001


@pytest.mark.parametrize(
    "camera",
    [
        make_camera(),
        make_camera(lens=(-0.2, 0.03, 0.001, -0.002, 0.0)),
        table_camera(240),
        table_camera(96),
        table_camera(48),
        table_camera(48).scaled(4),
    ],
    ids=["calibrated", "lens", "table 240", "table 96", "table 48", "table 48 times 4"],
)
def test_pixels_have_no_offset_on_average_with_any_camera_at_any_size(marker, camera) -> None:
    rng, errors = np.random.default_rng(0), []
    for position in rng.uniform([0.2, -0.08, 0.1], [0.3, 0.08, 0.15], (80, 3)):
        pixels, _ = marker.pixels(camera, position)
        if len(pixels):
            errors.append(pixels.mean(axis=0) - camera.project(position[None])[0])
    assert len(errors) > 40
    assert np.abs(np.mean(errors, axis=0)).max() < 0.06 + 2 * np.std(errors) / len(errors) ** 0.5


@pytest.mark.parametrize("size_px", [48, 96])
def test_the_table_cameras_principal_point_is_what_trained_policies_know(size_px) -> None:
    matrix = table_camera(size_px).matrix()
    assert matrix[:2, 2].tolist() == [size_px / 2, size_px / 2 - 1]
    rows = np.reshape(table_camera(size_px).intrinsics.projection_matrix, (4, 4)).T
    assert (rows[0, 2], rows[1, 2]) == (0.0, 0.0), "or every image of every demonstration moves"


@given(lens=LENSES, seed=st.integers(0, 99))
def test_projection_agrees_with_opencv(lens, seed) -> None:
    camera = make_camera(lens=lens)
    points = np.random.default_rng(seed).uniform([0.1, -0.1, 0.0], [0.4, 0.1, 0.2], (20, 3))
    camera_from_base = np.linalg.inv(camera.base_from_camera)
    rotation, _ = cv2.Rodrigues(camera_from_base[:3, :3])
    expected, _ = cv2.projectPoints(
        points, rotation, camera_from_base[:3, 3], camera.matrix(), np.array(lens or np.zeros(5))
    )
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-6)


@given(
    lens=LENSES,
    points=st.lists(st.tuples(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3)), min_size=1, max_size=9),
)
def test_undistorting_undoes_distortion(lens, points) -> None:
    distortion, points = Distortion(*(lens or ())), np.array(points)
    np.testing.assert_allclose(distortion.remove(distortion.apply(points)), points, atol=1e-5)


def test_a_lens_that_folds_the_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="coefficients"):
        TabletopEnv(cameras={"table": make_camera(lens=(-3.0, 0.0, 0.0, 0.0, 0.0))})


def test_a_wrist_camera_rides_on_its_link(marker) -> None:
    world, robot = marker.world, marker.world.robot
    camera = wrist_camera(robot, 96)
    for turn in (0.0, 0.7):
        joint_rad = np.array(robot.home_rad)
        joint_rad[0] = turn
        world.pose_arm(joint_rad, robot.gripper_open_m)
        tool = world.arm.forward(joint_rad)
        np.testing.assert_allclose(
            world.camera_in_base(camera).base_from_camera, tool @ camera.link_from_camera, atol=1e-6
        )
    with pytest.raises(ConfigError, match="did you mean 'gripper_link'"):
        world.camera_in_base(MountedCamera(camera.intrinsics, "griper_link", np.eye(4)))


def test_observations_hold_what_was_asked_for_and_no_more() -> None:
    assert set(TabletopEnv().observation_space) == {"image", "proprio", "state"}
    own = {"width_px": 60, "height_px": 40, "matrix": [[80, 0, 30], [0, 80, 20], [0, 0, 1]]}
    own |= {
        "base_from_camera": looking_pose(EYE, GAZE).tolist(),
        "distortion": [-0.1, 0.01, 0, 0, 0],
    }
    env = TabletopEnv(
        cameras={"table": None, "wrist": None, "side": own}, depth=True, segmentation=True
    )
    observation, _ = env.reset(seed=0)
    kinds = {
        f"{kind}{camera}"
        for kind in ("image", "depth", "segmentation")
        for camera in ("", "_wrist", "_side")
    }
    assert set(observation) == kinds | {"proprio", "state"}
    assert observation in env.observation_space
    assert observation["image_side"].shape == (40, 60, 3)


def test_segmentation_labels_the_target_where_it_is() -> None:
    env = TabletopEnv(task="PlaceInTray", segmentation=True, image_size=96)
    observation, _ = env.reset(seed=1)
    labels = observation["segmentation"]
    middle = env.scene.object_positions()[0]
    column, row = np.rint(env.world.camera.project(middle[None])[0]).astype(int)
    assert labels[row, column] == OBJECT_SEGMENT
    assert {SEGMENTS["table"], SEGMENTS["arm"], SEGMENTS["fixture"]} <= set(np.unique(labels))


def test_a_camera_that_sees_nothing_is_refused_and_others_still_work() -> None:
    away = Camera(make_camera().intrinsics, looking_pose(EYE, EYE + [1.0, 0.0, 0.3]))
    with pytest.raises(ConfigError, match=r"camera 'side' .* sees nothing"):
        TabletopEnv(cameras={"table": None, "side": away})
    TabletopEnv().reset(seed=0)


@pytest.mark.parametrize(
    ("cameras", "expected"),
    [
        (("table", "wirst"), "did you mean 'wrist'"),
        (("wrist",), "hold 'table'"),
        ({"table": {"width": 40}}, "did you mean 'width_px'"),
        ({"table": {"width_px": 40}}, "lacks"),
        (
            {
                "table": {
                    "width_px": 40,
                    "height_px": 40,
                    "matrix": np.ones((3, 3)),
                    "base_from_camera": np.eye(4),
                }
            },
            "skew",
        ),
    ],
)
def test_unusable_cameras_are_refused_by_name(cameras, expected) -> None:
    with pytest.raises(ConfigError, match=expected):
        TabletopEnv(cameras=cameras)


def test_pixels_scale_with_the_image() -> None:
    point = np.array([[0.3, 0.05, 0.02]])
    np.testing.assert_allclose(
        table_camera(48).scaled(2).project(point) + 0.5,
        2 * (table_camera(48).project(point) + 0.5),
        rtol=1e-9,
    )


def test_static_scenes_repeat_by_seed_and_label_what_is_there() -> None:
    first, again = StaticScenes().draw(24, seed=3), StaticScenes().draw(24, seed=3)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape == (24, 48, 48, 3)
    present = np.isfinite(first.positions[:, :, 0])
    assert present.any(axis=1).all()
    assert (np.isfinite(first.colours[:, :, 0]) == present).all()
    assert not np.array_equal(first.image, StaticScenes().draw(24, seed=4).image)


def test_static_scenes_are_labelled_where_the_displaced_camera_sees_them() -> None:
    scenes = StaticScenes(randomization={"camera_shift_m": (-0.05, 0.05)})
    there, calibrated, cameras = [], [], []
    for seed in range(12):
        labelled = scenes.draw(
            4, seed
        )  # the world is left as the last of one layout's images shows it
        segments = scenes.world.segmentation(scenes.world.view(scenes.camera, bodies=True))
        present = np.isfinite(labelled.positions[-1, :, 0])
        for points, kept in (
            (labelled.pixels[-1, :-1], there),
            (table_camera(48).project(labelled.positions[-1]), calibrated),
        ):
            columns, rows = np.rint(points[present]).astype(int).clip(0, 47).T
            kept.append((segments[rows, columns] >= OBJECT_SEGMENT).mean())
        cameras.append(scenes.camera.base_from_camera[:3, 3])
    assert np.std(cameras, axis=0).min() > 0.01, "every image has a camera of its own"
    assert np.mean(there) > 0.6 > 0.4 > np.mean(calibrated), (
        "the rest is hidden by arm and container"
    )


def test_static_scenes_are_cluttered() -> None:
    scenes = StaticScenes(randomization={"clutter": (4, 4)})
    seen = []
    for seed in range(4):
        scenes.draw(1, seed)
        view = scenes.world.view(scenes.camera, bodies=True)
        seen.append((scenes.world.segmentation(view) == SEGMENTS["clutter"]).any())
    assert any(seen)


def test_static_scenes_hold_containers_of_many_colours_and_the_tool_over_some_of_them() -> None:
    scenes = StaticScenes().draw(400, seed=5)
    there = np.isfinite(scenes.container[:, 0])
    assert 0.35 < there.mean() < 0.65
    pixels = np.rint(table_camera(48).project(scenes.container[there])).astype(int).clip(0, 47)
    seen = scenes.image[there][np.arange(there.sum()), pixels[:, 1], pixels[:, 0]] / 255.0
    assert (np.quantile(seen, 0.9, axis=0) - np.quantile(seen, 0.1, axis=0) > 0.4).all(), (
        "a grey tray and a brown box: 0.13 to 0.35"
    )
    distance_m = np.linalg.norm(scenes.proprio[there, :2] - scenes.container[there, :2], axis=1)
    assert 0.15 < (distance_m < 0.04).mean() < 0.5
