"""The experiments on truly off-policy learning: returns by hand, and a small run of each kind."""

from contextlib import closing

import numpy as np
import pytest
from conure_experiments.off_policy import OffPolicy, measures, run
from conure_experiments.off_policy.environments import (
    make_environment,
    run_episode,
    scripted,
    uniform_actions,
)

from conure_core.errors import ConfigError
from conure_training.rl.offline.learner import SEEN


def result(agents: dict[str, float], predicted: tuple[float, ...] = (0.0,)) -> dict:
    return {
        "random_return": -1000.0,
        "expert_return": -200.0,
        "largest_return": 0.0,
        "agents": {
            name: [{"return": value, "predicted_on_data": p, "true": value} for p in predicted]
            for name, value in agents.items()
        },
    }


def test_negative_returns_are_compared_between_random_actions_and_the_expert() -> None:
    results = [result({"behavioral": -360.0, "ddpg": -840.0}), result({"behavioral": -440.0, "ddpg": -760.0})]  # fmt: skip
    assert measures.normalized_return(results[0], "behavioral") == pytest.approx(0.8)
    assert measures.mean_return(results, "ddpg") == pytest.approx((0.2 + 0.3) / 2)
    assert measures.share_of_behavioral(results) == pytest.approx(0.25 / 0.75)


def test_the_highest_prediction_is_a_mean_over_seeds_of_each_one_s_highest() -> None:
    results = [result({"ddpg": -900.0}, (-5.0, 3.0, 1.0)), result({"ddpg": -900.0}, (-1.0, -2.0, -7.0))]  # fmt: skip
    assert measures.highest_prediction(results) == pytest.approx(1.0)


def test_one_learner_that_leaves_the_data_is_the_worst_of_them() -> None:
    agents = {"bcq": -200.0, "td3_bc": -600.0, "iql": -240.0}
    assert measures.worst_repaired([result(agents)]) == ("td3_bc", pytest.approx(0.5))


@pytest.mark.parametrize(("name", "enough"), [("pendulum", -400.0), ("push_to_goal", -100.0)])
def test_the_scripted_expert_is_far_ahead_of_random_actions(name: str, enough: float) -> None:
    with closing(make_environment(name)) as env:
        good = run_episode(env, scripted, 1)
        actions = good.action.shape[1]
        bad = run_episode(env, uniform_actions(actions, 0), 1)
    assert good.reward.max() <= 0.0 and bad.reward.max() <= 0.0, "no return is above 0"
    assert good.reward.sum() > enough > bad.reward.sum()
    assert len(good.observations[SEEN]) == len(good.action) + 1


@pytest.mark.parametrize("setting", ["imitation", "final_buffer", "concurrent"])
def test_a_small_run_repeats_itself_and_evaluates_every_agent(setting: str) -> None:
    config = OffPolicy(
        setting=setting, steps=4, random_steps=10, evaluate_every=2, episodes=1, hidden_width=8,
        vae_width=8,
    )  # fmt: skip
    found, again = run(config), run(config)
    assert found == again
    names = ["behavioral", "ddpg"]
    if setting == "imitation":
        names += ["bcq", "td3_bc", "iql"]
    assert list(found["agents"]) == names
    for name in names[1:]:
        assert [entry["updates"] for entry in found["agents"][name]] == [2, 4]
        assert np.isfinite([list(entry.values()) for entry in found["agents"][name]]).all()


def test_an_unknown_setting_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"setting.*concurrent"):
        OffPolicy(setting="concurent")
