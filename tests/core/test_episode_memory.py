"""A policy's memory on the robot: kept from tick to tick, empty when an episode begins."""

import numpy as np

from conure_core.contract.episode_memory import EpisodeMemory


def tick(memory, values):
    memory.remember(memory.recall(), np.array(values))


def test_a_memory_is_kept_while_the_robot_follows_the_policy():
    memory = EpisodeMemory()
    memory.begin()
    assert memory.recall().values is None
    memory.follow(True)
    tick(memory, [1.0, 2.0])
    memory.follow(True)  # published again and again
    np.testing.assert_array_equal(memory.recall().values, [1.0, 2.0])


def test_an_episode_begins_at_activation_and_when_the_robot_begins_to_follow_the_policy():
    memory = EpisodeMemory()
    for begin in (memory.begin, lambda: memory.follow(True)):
        memory.follow(False)
        tick(memory, [1.0])
        assert memory.recall().values is not None
        begin()
        assert memory.recall().values is None


def test_a_tick_of_the_last_episode_leaves_nothing_in_the_next_one():
    memory = EpisodeMemory()
    before = memory.recall()
    memory.begin()
    memory.remember(before, np.array([1.0]))
    assert memory.recall().values is None
