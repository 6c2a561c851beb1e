"""The sim-to-real gap: measures held to hand-computed cases and to scipy, and the command."""

import json

import numpy as np
import pytest
from scipy.stats import binom, pearsonr

from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_sim.envs.rollout import expert, rollout
from conure_sim.envs.tabletop import TabletopEnv
from conure_training.evaluation.gap.correlation import correlate, mean_maximum_rank_violation
from conure_training.evaluation.gap.likelihood import Trace, nats_gap
from conure_training.evaluation.gap.replay import replay
from conure_training.evaluation.gap.sensitivity import factor_effects
from conure_training.evaluation.outcomes import load_evaluation

SIM = [(10, 100), (30, 100), (50, 100), (70, 100), (90, 100), (98, 100)]
REAL = [(5, 50), (20, 50), (22, 50), (30, 50), (42, 50), (48, 50)]


def write(path, successes: int, trials: int, task: str = "Lift", first: int = 0):
    episodes = [
        {"seed": first + k, "steps": 9, "target": "cube", "success": k < successes}
        for k in range(trials)
    ]
    path.write_text(json.dumps({"config": {"task": task}, "episodes": episodes}))
    return path


def test_rank_violation_by_hand() -> None:
    # Simulation exchanges the last two: each violates by their real difference of 0.2.
    assert mean_maximum_rank_violation([0.1, 0.9, 0.5], [0.2, 0.6, 0.8]) == pytest.approx(0.4 / 3)
    # The measure of SIMPLER, whose README gives the arguments the other way round.
    assert mean_maximum_rank_violation([0.2, 0.6, 0.8], [0.1, 0.9, 0.5]) == pytest.approx(0.8 / 3)
    assert mean_maximum_rank_violation([0.1, 0.2, 0.3], [0.0, 0.5, 0.9]) == 0.0
    # Reversed: the outer ones violate by 0.9, the one between by its larger distance.
    assert mean_maximum_rank_violation([3, 2, 1], [0.0, 0.5, 0.9]) == pytest.approx(2.3 / 3)
    # A tie in simulation is a wrong order where reality has one.
    assert mean_maximum_rank_violation([0.5, 0.5], [0.3, 0.7]) == pytest.approx(0.2)


def test_r_and_its_interval_are_scipy_s() -> None:
    found = correlate(SIM, REAL).pearson
    rates = [[successes / trials for successes, trials in side] for side in (SIM, REAL)]
    reference = pearsonr(*rates)
    assert found.value == pytest.approx(reference.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_the_floor_is_what_a_perfect_simulator_passes() -> None:
    """With the true rates known, 95 % of perfect simulators lie on its good side."""
    rng = np.random.default_rng(3)
    rates = np.array([0.1, 0.3, 0.5, 0.6, 0.8, 0.95])
    passed = []
    for _ in range(40):
        sides = rng.binomial([[200], [24]], rates)
        counts = [[(int(k), n) for k in side] for side, n in zip(sides, (200, 24), strict=True)]
        found = correlate(*counts)
        passed.append(
            (
                found.pearson.value >= found.pearson.floor,
                found.rank_violation.value <= found.rank_violation.floor,
            )
        )
    fewest = binom.ppf(0.001, 40, 0.95)
    assert (np.sum(passed, axis=0) >= fewest).all()


@pytest.mark.parametrize(
    ("simulated", "real", "expected"),
    [
        (SIM[:3], REAL[:3], "at least 4 policies"),
        (SIM, REAL[:5], "at least 4 policies on either side, got 6 simulated and 5 real"),
        ([(50, 100)] * 6, REAL, "all simulated rates are 50%"),
        (SIM, [(0, 20)] * 6, "all real rates are 0%"),
    ],
)
def test_policies_that_say_nothing_are_refused(simulated, real, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        correlate(simulated, real)


def test_factors_come_the_most_harmful_first_with_corrected_tests(tmp_path) -> None:
    plain = load_evaluation(write(tmp_path / "plain.json", 95, 100))
    changed = {
        name: load_evaluation(write(tmp_path / f"{name}.json", successes, 100))
        for name, successes in (("looks", 90), ("camera", 60), ("dynamics", 96))
    }
    effects = factor_effects(plain, changed)
    assert [effect.factor for effect in effects] == ["camera", "looks", "dynamics"]
    camera, looks, _ = effects
    assert camera.change.value == pytest.approx(-0.35)
    assert camera.change.high < -0.2 and camera.p_value < 1e-6
    assert looks.change.low < 0 < looks.change.high and looks.p_value == pytest.approx(
        0.83, abs=0.02
    )


def trace(rng, mean: float, episodes: int = 30, steps: int = 20) -> Trace:
    nats = mean + rng.normal(size=(episodes, 1)) * 0.3 + rng.normal(size=(episodes, steps))
    return Trace(nats.ravel(), np.repeat(np.arange(episodes), steps))


def test_the_gap_in_nats_is_the_difference_and_splits_by_the_rendered_images() -> None:
    rng = np.random.default_rng(0)
    simulated, rendered = trace(rng, 5.0), trace(rng, 4.0)
    real = Trace(rendered.nats - 2.0, rendered.episode)
    gap = nats_gap(simulated, real, rendered)
    assert gap.total.low < 3.0 < gap.total.high
    assert gap.perception.value == pytest.approx(2.0)
    assert gap.motion.low < 1.0 < gap.motion.high
    assert gap.total.value == pytest.approx(gap.perception.value + gap.motion.value)


def test_a_gap_in_one_phase_is_found_there() -> None:
    rng = np.random.default_rng(1)
    simulated, real = trace(rng, 5.0), trace(rng, 5.0)
    late = np.tile(np.arange(20) >= 15, 30)
    gap = nats_gap(simulated, Trace(real.nats - 4.0 * late, real.episode))
    assert gap.phases[3].low > 3.0
    assert all(phase.high < 1.0 for phase in gap.phases[:3])


@pytest.mark.parametrize(
    ("nats", "episode", "expected"),
    [
        ([1.0, np.nan], [0, 0], "step 1 is nan"),
        ([1.0], [0, 0], "for every step"),
        ([], [], "for every step"),
    ],
)
def test_traces_that_cannot_be_compared_are_refused(nats, episode, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        Trace(np.array(nats), np.array(episode, dtype=np.int64))


def test_episodes_too_short_for_phases_and_other_renderings_are_refused() -> None:
    rng = np.random.default_rng(2)
    usual, short = trace(rng, 5.0), trace(rng, 5.0, steps=3)
    with pytest.raises(DataError, match="3 steps, expected at least 4"):
        nats_gap(usual, short)
    with pytest.raises(DataError, match="the 600 real steps with rendered images, got 90"):
        nats_gap(usual, usual, short)


def recorded(env: TabletopEnv, seed: int):
    """What one expert's episode would leave in a data set."""
    proprio, action = [], []
    rollout(
        env,
        expert,
        seed,
        lambda step: (proprio.append(step.observation["proprio"]), action.append(step.action)),
    )
    return np.array(proprio), np.array(action)


def test_a_replay_repeats_the_motion_and_shows_other_dynamics() -> None:
    env = TabletopEnv(images=False)
    late = TabletopEnv(images=False, randomization={"command_delay_s": 0.05})
    proprio, action = recorded(env, 4)
    error = replay(env, proprio, action)
    assert error.tool_m.shape == (len(action),) and error.joint_rad.shape == (len(action), 6)
    assert error.tool_m[0] < 1e-6
    assert error.tool_rms_m < 0.002
    assert replay(late, proprio, action).tool_rms_m > 2 * error.tool_rms_m
    with pytest.raises(DataError, match="of 'wx250s'"):
        replay(env, proprio[:, :-1], action)
    env.close()
    late.close()


def test_the_command_writes_claim_json_and_page(tmp_path, capsys) -> None:
    sides = []
    for name, counts in (("sim", SIM), ("real", REAL)):
        files = [write(tmp_path / f"{name}{k}.json", *count) for k, count in enumerate(counts)]
        sides.append(",".join(map(str, files)))
    factor = write(tmp_path / "camera.json", 40, 100)
    words = [
        f"simulated=[{sides[0]}]",
        f"real=[{sides[1]}]",
        f"plain={tmp_path / 'sim4.json'}",
        f"factors=[{factor}]",
        f"out={tmp_path / 'gap'}",
    ]
    assert main(["gap", "evaluations", *words]) == 0
    printed = capsys.readouterr().out
    assert "r = 0.98" in printed and "camera -50" in printed
    report = json.loads((tmp_path / "gap/gap.json").read_text())
    assert report["correlation"]["policies"] == 6
    page = (tmp_path / "gap/gap.html").read_text()
    assert report["claim"] in page and page.count("data:image/png") == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "nothing to measure: give simulated"),
        (["real=[a.json]"], "1 and 0; give both lists"),
        (["factors=[camera.json]"], "plain, which is empty"),
        (["plain=p.json", "factors=[a/c.json,b/c.json]"], "got c, c; rename the files"),
        (["simulated=[a.json]", "real=[b.json]"], "there is no a.json"),
    ],
)
def test_what_the_command_cannot_use_is_a_line(words, expected, tmp_path, capsys) -> None:
    assert main(["gap", "evaluations", *words, f"out={tmp_path / 'gap'}"]) != 0
    message = capsys.readouterr().err
    assert expected in message and len(message.strip().splitlines()) == 1


def test_one_file_on_both_sides_and_two_tasks_are_refused(tmp_path, capsys) -> None:
    lift = write(tmp_path / "lift.json", 5, 10)
    place = write(tmp_path / "place.json", 5, 10, task="PlaceInTray")
    for other, expected in ((lift, "as simulated and as real"), (place, "expected one task")):
        words = [f"simulated=[{lift}]", f"real=[{other}]", f"out={tmp_path / 'gap'}"]
        assert main(["gap", "evaluations", *words]) != 0
        assert expected in capsys.readouterr().err
