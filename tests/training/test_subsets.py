"""Parts of a data set are nested, whole, and refused where nothing could be learned or measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, DataError
from conure_training.data.demonstrations import Demonstrations, check_demonstrations
from conure_training.data.selection import (
    choose_episodes,
    fingerprint,
    held_out_steps,
    require_many_tasks,
)


def data_of(lengths, tasks, names=("Lift", "PlaceInTray")):
    """Episodes whose arrays all hold their own number."""
    episode = np.repeat(np.arange(len(lengths)), lengths)
    column = episode[:, None].astype(np.float32)
    final = np.arange(len(lengths))[:, None].astype(np.float32)
    return Demonstrations(
        image=episode[:, None, None, None].astype(np.uint8),
        proprio=column,
        state=column,
        action=column / 100,
        reward=column[:, 0],
        positions=column[:, None],
        final_image=final[:, :, None, None].astype(np.uint8),
        final_proprio=final,
        final_state=final,
        ends=np.cumsum(lengths),
        task=np.array(tasks),
        seed=np.arange(len(lengths)),
        tasks=names,
    )


TWENTY = data_of([2 + index % 3 for index in range(20)], [0] * 12 + [1] * 8)


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 20), st.sampled_from([(), ("Lift",)]))
def test_smaller_draws_are_parts_of_larger_ones(seed, one, other, tasks):
    small, large = sorted((one, other))
    if tasks and large > 12:
        return
    parts = [choose_episodes(TWENTY, tasks, count, seed) for count in (small, large)]
    assert [len(part.ends) for part in parts] == [small, large]
    assert set(parts[0].seed) <= set(parts[1].seed)


def test_a_part_holds_its_episodes_whole():
    part = choose_episodes(TWENTY, ("PlaceInTray",), 3, seed=4)
    check_demonstrations(part, "a part")
    assert part.tasks == ("PlaceInTray",) and set(part.task) == {0}
    for index, episode in enumerate(part.seed):
        steps = slice(part.starts[index], part.ends[index])
        assert part.ends[index] - part.starts[index] == 2 + episode % 3
        for values in (
            part.image,
            part.proprio,
            part.state,
            100 * part.action,
            part.reward,
            part.positions,
        ):
            np.testing.assert_allclose(values[steps].ravel(), episode, rtol=1e-6)
        assert part.final_state[index, 0] == part.final_image[index, 0, 0, 0] == episode


def test_everything_is_left_as_it_is_when_no_part_is_asked_for():
    assert choose_episodes(TWENTY) is TWENTY


def test_what_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"unknown task .*'Lfit'; did you mean 'Lift'"):
        choose_episodes(TWENTY, ("Lfit",))
    with pytest.raises(
        DataError, match="expected trajectories=13, but the demonstrations hold 12 of Lift"
    ):
        choose_episodes(TWENTY, ("Lift",), 13)
    with pytest.raises(DataError, match="hold 0 of Push"):
        choose_episodes(data_of([2, 2], [0, 0], ("Lift", "Push")), ("Push",))


def test_one_task_alone_is_refused_unless_it_is_asked_for():
    alone = choose_episodes(TWENTY, ("Lift",))
    with pytest.raises(DataError, match=r"one task only, Lift.*tasks=\[Lift\]"):
        require_many_tasks(alone, ())
    require_many_tasks(alone, ("Lift",))
    require_many_tasks(TWENTY, ())


@given(st.lists(st.integers(1, 4), min_size=2, max_size=90))
def test_some_whole_episodes_are_held_out_and_some_are_not(lengths):
    held_out = held_out_steps(data_of(lengths, [0] * len(lengths)))
    episodes = [set(part) for part in np.split(held_out, np.cumsum(lengths)[:-1])]
    assert all(len(kinds) == 1 for kinds in episodes)
    assert 0 < sum(map(bool, map(max, episodes))) <= max(1, 0.11 * len(lengths))


def test_nothing_can_be_held_out_of_one_episode():
    with pytest.raises(DataError, match="at least 2 episodes"):
        held_out_steps(data_of([3], [0]))


def test_the_fingerprint_sees_another_action_and_another_order():
    changed = TWENTY.action.copy()
    changed[3] += 1e-3
    other = Demonstrations(**{**TWENTY.__dict__, "action": changed})
    assert (
        len(
            {
                fingerprint(TWENTY),
                fingerprint(other),
                fingerprint(choose_episodes(TWENTY, ("Lift",))),
            }
        )
        == 3
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01, -1.5])
def test_actions_that_no_arm_can_do_are_named_by_episode(value):
    broken = TWENTY.action.copy()
    broken[TWENTY.ends[4]] = value
    with pytest.raises(DataError, match=r"set: episode 5 is broken \('action' at step 0"):
        check_demonstrations(Demonstrations(**{**TWENTY.__dict__, "action": broken}), "set")


def test_an_empty_set_is_refused():
    with pytest.raises(DataError, match="holds no episode"):
        check_demonstrations(data_of([], []), "set")
