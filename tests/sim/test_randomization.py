"""Domain randomization: presets, factors, what is drawn and what it does."""

from dataclasses import fields, replace

import gymnasium
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.randomization.adaptive import AdaptiveRandomization
from conure_sim.randomization.dynamics import SERVO_FACTORS
from conure_sim.randomization.factors import Randomization, find_randomization, preset_names
from conure_sim.vision.imaging import ImageChain
from conure_sim.vision.textures import texture_files

FULL = find_randomization("full")


def differing_factors() -> list[str]:
    start = find_randomization("none")
    return [
        f.name for f in fields(Randomization) if getattr(FULL, f.name) != getattr(start, f.name)
    ]


def test_full_varies_every_factor_that_acts_on_every_arm() -> None:
    factors = {field.name for field in fields(Randomization)}
    assert set(differing_factors()) == factors - set(SERVO_FACTORS.values())


def test_presets_without_new_factors_draw_what_they_always_drew() -> None:
    rng, sample = (
        np.random.default_rng(4),
        find_randomization("light").sample(np.random.default_rng(4)),
    )
    shift, light = rng.uniform(-1, 1, 3) * 0.08, rng.uniform(-1, 1, 3) * 0.3
    np.testing.assert_allclose(sample.appearance.table_colour, np.array([0.62, 0.56, 0.48]) + shift)
    np.testing.assert_allclose(sample.appearance.light_direction, np.array([0.4, 0.5, 1.0]) + light)
    assert sample.appearance.ambient == rng.uniform(0.5, 0.6)
    assert sample.appearance.diffuse == rng.uniform(0.4, 0.6)
    assert sample.command_delay_s == rng.uniform(0.0, 0.04)
    used = np.random.default_rng(4)
    find_randomization("light").sample(used)
    assert used.random() == rng.random()


@given(seed=st.integers(0, 10_000))
def test_draws_stay_in_their_ranges(seed) -> None:
    sample = FULL.sample(np.random.default_rng(seed))
    for group in (sample, sample.dynamics, sample.chain):
        for name, value in vars(group).items():
            ends = getattr(FULL, name, None)
            if isinstance(ends, tuple):
                values = np.atleast_1d(np.asarray(value, dtype=float))
                assert (values >= ends[0] - 1e-12).all(), name
                assert (values <= ends[1] + 1e-12).all(), name


def test_info_tells_what_was_drawn_as_plain_numbers_and_the_seed_repeats_it() -> None:
    env = TabletopEnv(randomization="full")
    first, again, other = (env.reset(seed=seed)[1]["randomization"] for seed in (3, 3, 4))
    assert first == again != other
    assert all(type(value) is float for value in first.values())
    assert {"dynamics.mass_scale", "chain.jpeg_quality", "focal_scale", "frame_delay_s"} <= set(
        first
    )
    assert env.step(np.zeros(7))[4]["randomization"] == env.reset(seed=4)[1]["randomization"]


@pytest.mark.parametrize(
    "factor",
    [
        name
        for name in differing_factors()
        if name not in ("gripper_force_scale", "friction_scale", "object_damping")
    ],
)
def test_each_factor_alone_changes_what_is_observed(factor: str) -> None:
    """Frames, proprioception or state of an episode, against the one in which the factor is at
    rest.
    """
    start = find_randomization("none")
    strong = {"frame_drop_chance": (0.9, 0.9), "mass_scale": (40.0, 40.0), "clutter": (8, 8)}.get(
        factor
    )
    chances = {name: 1.0 for name in (factor,) if factor.endswith("chance") and strong is None}
    if factor == "background_texture_chance":
        chances["background_chance"] = 1.0
    value = chances.get(factor) or strong or getattr(FULL, factor)
    plain = replace(start, **{name: 1.0 for name in chances if name != factor})
    changed = replace(plain, **{factor: value})
    seen = [_episode(preset) for preset in (plain, changed)]
    assert any(not np.array_equal(first, second) for first, second in zip(*seen, strict=True))


def test_friction_damping_and_grip_reach_the_bodies() -> None:
    grip = {
        "gripper_force_scale": (0.1, 0.1),
        "friction_scale": (0.7, 0.7),
        "object_damping": (0.3, 0.3),
    }
    forces = []
    for preset in (Randomization(), Randomization(**grip)):
        env = TabletopEnv(randomization=preset)
        env.reset(seed=0)
        client, body = env.world.client, env.scene.target.body
        friction = client.getDynamicsInfo(body, -1)[1]
        client.resetBaseVelocity(body, [0, 0, 0], [0, 0, 0])
        client.resetBasePositionAndOrientation(body, [0.3, 0, 0.5], [0, 0, 0, 1])
        env.world.advance(0.2)
        env.world.follow(
            env.world.joint_state().joint_rad, -1.0, 0.001
        )  # farther than any force reaches at once
        env.world.advance_steps(1)
        pushed = max(
            abs(client.getJointState(env.world.body, finger)[3]) for finger in env.world.fingers
        )
        forces.append((friction, abs(client.getBaseVelocity(body)[0][2]), pushed))
    (friction, fall, push), (lower, slower, weaker) = forces
    assert lower == pytest.approx(0.7 * friction)
    assert slower < fall
    assert weaker < push


def _episode(preset: Randomization) -> list[np.ndarray]:
    from conure_sim.vision.camera import looking_at

    env = TabletopEnv(
        randomization=preset,
        cameras={
            "table": None,
            "side": looking_at(np.array([0.9, -0.9, 0.7]), np.array([0.1, 0, 0]), 64, 64, 1.2),
        },
    )
    observation, _ = env.reset(seed=0)
    position = env.world.pose(env.scene.target.body)[0]
    env.reset(seed=0, options={"tool": (*position[:2], 0.03, 0.0)})
    seen = [observation]
    for action in np.random.default_rng(0).uniform(-1, 1, (8, 7)):
        seen.append(env.step(action)[0])
    env.close()
    return [array for observation in seen for array in observation.values()]


def test_a_delayed_frame_shows_the_past() -> None:
    """With a delay of a whole period, each step's frame is the frame of the step before without
    delay.
    """
    still = Randomization(start_noise_rad=0.0)
    period_s = TabletopEnv().robot.control_period_s
    now, late = (
        TabletopEnv(randomization=replace(still, frame_delay_s=(d, d))) for d in (0.0, period_s)
    )
    frames = [[env.reset(seed=2)[0]["image"]] for env in (now, late)]
    for action in np.random.default_rng(1).uniform(-1, 1, (5, 7)):
        for env, seen in zip((now, late), frames, strict=True):
            seen.append(env.step(action)[0]["image"])
    np.testing.assert_array_equal(frames[1][1:], frames[0][:-1])
    assert not np.array_equal(frames[0][1], frames[0][-1])


def test_joint_offsets_shift_what_is_measured_not_where_the_arm_is() -> None:
    offset = 0.01
    env = TabletopEnv(
        randomization=Randomization(start_noise_rad=0.0, joint_offset_rad=(offset, offset))
    )
    env.reset(seed=0)
    joints = [
        state[0] for state in env.world.client.getJointStates(env.world.body, env.world.driven)
    ]
    measured = env.world.joint_state().joint_rad
    np.testing.assert_allclose(measured - joints[: len(measured)], offset, atol=1e-9)
    np.testing.assert_allclose(measured, env.robot.home_rad, atol=1e-9)


def test_an_episode_does_not_depend_on_the_ones_before() -> None:
    fresh, used = TabletopEnv(randomization="full"), TabletopEnv(randomization="full")
    for seed in range(5):
        used.reset(seed=seed)
        used.step(np.ones(7))
    actions = np.random.default_rng(0).uniform(-1, 1, (10, 7))
    runs = [
        [env.reset(seed=9)[0]] + [env.step(action)[0] for action in actions]
        for env in (fresh, used)
    ]
    for first, second in zip(*runs, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_presets_come_by_name_mapping_or_file(tmp_path) -> None:
    assert preset_names() == ["full", "light", "none"]
    given = {"preset": "light", "mass_scale": [0.5, 1.5], "blur_px": 0.3}
    own = find_randomization(given)
    assert own == replace(find_randomization("light"), mass_scale=(0.5, 1.5), blur_px=(0.3, 0.3))
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(given))
    assert find_randomization(str(path)) == own


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("ful", "did you mean 'full'"),
        ({"mass_scal": [1, 2]}, "did you mean 'mass_scale'"),
        ({"mass_scale": [2, 1]}, "lower, upper"),
        ({"mass_scale": "heavy"}, "mass_scale"),
        ({"mass_scale": [0, 1]}, "above zero"),
        ({"mass_scale": [1, float("nan")]}, "mass_scale"),
        ({"tint": [0, 1]}, "one number"),
        ({"frame_drop_chance": [0, 2]}, "largest"),
        ({"command_delay_s": [-0.1, 0]}, "at least 0"),
        ({"preset": "lite"}, "light"),
    ],
)
def test_what_is_no_randomization_is_refused_by_name(choice, expected) -> None:
    with pytest.raises(ConfigError, match=expected):
        TabletopEnv(randomization=choice)


def test_image_chain_does_nothing_at_rest_and_each_part_something() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    assert ImageChain().apply(image, np.random.default_rng(0)) is image
    for part in ({"exposure": 1.2}, {"blur_px": 0.6}, {"noise": 3.0}, {"jpeg_quality": 60}):
        changed = ImageChain(**part).apply(image, np.random.default_rng(0))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert not np.array_equal(changed, image)
    brighter = ImageChain(exposure=1.2, noise=0.5).apply(image // 2, np.random.default_rng(0))
    assert brighter.mean() == pytest.approx(1.2 * (image // 2).mean(), rel=0.02)


def test_textures_are_all_different() -> None:
    assert len(set(texture_files())) == len(texture_files()) == 16


class Scripted(gymnasium.Env):
    """Succeeds as long as the masses it was given stay below a bound."""

    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.mass = self.randomization.sample(self.np_random).dynamics.mass_scale
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {"is_success": self.mass < 2.0}


def test_adaptive_ranges_grow_where_the_policy_succeeds_and_stop_where_it_fails() -> None:
    widest = Randomization(mass_scale=(0.5, 5.0))
    env = AdaptiveRandomization(
        Scripted(), widest, Randomization(), episodes=5, grow_at=0.8, shrink_at=0.2, step=0.1
    )
    env.reset(seed=0)
    for _ in range(600):
        env.reset()
        env.step(np.zeros(1))
    assert env.levels["mass_scale.lower"] == 1.0
    # 1 + 0.2 * 4 = 1.8 succeeds, 1 + 0.3 * 4 = 2.2 fails: the level goes to and fro between the
    # two.
    assert env.levels["mass_scale.upper"] == pytest.approx(0.25, abs=0.06)
    assert env.ranges().mass_scale[0] == 0.5
    state = env.get_state()
    other = AdaptiveRandomization(Scripted(), widest, Randomization())
    other.set_state(state)
    assert other.levels == env.levels
    assert other.expansion == pytest.approx(np.mean(list(env.levels.values())))


def test_adaptive_randomization_starts_narrow_and_runs_in_the_environment() -> None:
    env = AdaptiveRandomization(gymnasium.make("conure/Lift-v0"), boundary_chance=1.0)
    _, info = env.reset(seed=0)
    assert info["adaptive"] in env.levels
    assert env.ranges() == find_randomization("none")
    assert env.expansion == 0.0
    env.step(np.zeros(7))
    with pytest.raises(ConfigError, match="differs"):
        AdaptiveRandomization(gymnasium.make("conure/Lift-v0"), "none", "none")
