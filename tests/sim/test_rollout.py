"""One episode: what the callbacks get, and how it ends."""

import itertools

import numpy as np
import pytest

from conure_core.errors import UnsafeCommand
from conure_sim import TabletopEnv
from conure_sim.envs.rollout import expert, random_actions, rollout


@pytest.fixture
def env():
    with_arm = TabletopEnv("Lift", image_size=16)
    yield with_arm
    with_arm.close()


def test_the_callbacks_see_the_reset_and_every_step(env) -> None:
    """What follows one step is what the policy sees before the next."""
    events, steps = [], []
    result = rollout(env, expert, 0, steps.append, lambda: events.append(len(steps)))
    assert events == [0], "after the reset, before any step"
    assert result.success
    assert len(steps) == result.steps
    assert [step.reward for step in steps] == [0.0] * (len(steps) - 1) + [1.0]
    for earlier, later in itertools.pairwise(steps):
        assert earlier.following is later.observation
    assert result.info == steps[-1].info


def test_an_arm_that_does_nothing_uses_up_its_time(env) -> None:
    result = rollout(env, lambda env: lambda observation: np.zeros(7), 0)
    assert not result.success
    assert result.steps == env.max_steps


def test_the_same_seeds_give_the_same_episode(env) -> None:
    actions = []
    for _ in range(2):
        steps = []
        rollout(env, random_actions(3), 5, steps.append)
        actions.append(np.array([[*step.action, *step.following["state"]] for step in steps]))
    np.testing.assert_array_equal(*actions)


def test_an_action_of_another_shape_is_refused(env) -> None:
    with pytest.raises(UnsafeCommand, match="7"):
        rollout(env, lambda env: lambda observation: np.zeros(6), 0)
