"""The scripted operator: what it sees, how its hand moves, and what it wants."""

import math
from contextlib import closing

import numpy as np
import pytest
from conure_experiments.operator.eyes import Camera, find_objects, is_gone, know_table
from conure_experiments.operator.hand import Habits, Hand, turn_between
from conure_experiments.operator.picking import GRIP_S, HOVER_M, LIFTED_M, Intention, Picking

from conure_core.errors import DataError
from conure_sim.envs.tabletop import TabletopEnv

PERIOD_S = 0.05
SCENES = 8


@pytest.fixture(scope="module")
def scenes():
    """What the operator knows of the table, and the scenes that it looks at next: image, camera and
    where the objects are, (n, 2) m.
    """
    env = TabletopEnv("Lift", "wx250s", objects="train", distractors=1, images=False)
    with closing(env):
        camera = env.world.camera.scaled(3)

        def look(seed):
            env.reset(seed=seed)
            places = [env.scene.position_of(item)[:2] for item in env.scene.objects]
            return env.world.render(camera).copy(), np.array(places)

        table = know_table([look(1000 + number)[0] for number in range(15)])
        seen_by = Camera(np.array(camera.matrix()), np.array(camera.base_from_camera))
        yield table, seen_by, [look(seed) for seed in range(SCENES)]


def test_objects_are_found_where_they_are(scenes):
    table, camera, looks = scenes
    found, wanted = 0, 0
    for image, places in looks:
        seen = [one.centre_m for one in find_objects(image, table, camera, 0.0)]
        for place in places:
            wanted += 1
            found += any(np.linalg.norm(centre - place) < 0.015 for centre in seen)
    assert found >= 0.8 * wanted


def test_an_object_that_was_taken_away_is_gone_and_one_that_lies_there_is_not(scenes):
    table, camera, looks = scenes
    (image, _), *_ = looks
    for seen in find_objects(image, table, camera, 0.0):
        assert is_gone(table.empty, table, seen)
        assert not is_gone(image, table, seen)


def test_a_table_is_not_known_from_a_few_scenes():
    with pytest.raises(DataError, match="at least 5"):
        know_table([np.zeros((4, 4, 3), dtype=np.uint8)] * 4)


@pytest.mark.parametrize(
    ("from_rad", "to_rad", "turn_rad"),
    [(0.0, 0.3, 0.3), (0.0, math.pi - 0.1, -0.1), (1.5, -1.5, math.pi - 3.0), (3.0, 3.0, 0.0)],
)
def test_a_line_turns_the_shorter_way(from_rad, to_rad, turn_rad):
    assert turn_between(from_rad, to_rad) == pytest.approx(turn_rad)


def follow(hand, goal, steps=200):
    """Where the tool was at each step while the hand brought it there, (steps, 4)."""
    pose = np.zeros(4)
    way = []
    for _ in range(steps):
        pose = pose + PERIOD_S * hand.move(pose, goal)
        way.append(pose)
    return np.array(way)


def test_a_hand_arrives_late_and_unsteadily_and_past_the_goal():
    goal = np.array([0.2, -0.1, 0.05, 0.5])
    way = follow(Hand(np.random.default_rng(0), PERIOD_S), goal)
    assert np.abs(way[-20:] - goal).max() < 0.02
    assert way[:, 0].max() > goal[0]
    again = follow(Hand(np.random.default_rng(1), PERIOD_S), goal)
    assert np.abs(way - again).max() > 0.001
    speeds = np.linalg.norm(np.diff(way[:, :3], axis=0), axis=1) / PERIOD_S
    assert speeds.max() < 2 * Habits().speed_m_s


def test_a_hand_that_pauses_asks_for_nothing():
    habits = Habits(pause_share=1.0, pause_s=(0.3, 0.3))
    hand = Hand(np.random.default_rng(0), PERIOD_S, habits)
    hand.intend()
    moves = [np.abs(hand.move(np.zeros(4), np.ones(4))).max() for _ in range(8)]
    assert moves[:6] == [0.0] * 6 and moves[6] > 0.0


def test_picking_goes_over_it_down_grips_lifts_and_looks(scenes):
    table, camera, looks = scenes
    seen = next(one for image, _ in looks for one in find_objects(image, table, camera, 0.0))
    picking, now_s, order = Picking(seen, 0.0), 0.0, [Intention.APPROACH]
    picking.begin(now_s)
    pose = np.array([*seen.centre_m, HOVER_M, seen.yaw_rad])
    while not picking.done and now_s < 30.0:
        now_s += PERIOD_S
        if picking.look(pose, now_s):
            order.append(picking.intention)
            assert picking.closed == (picking.intention not in order[:2])
        pose = picking.goal(pose)
    assert order == list(Intention)
    assert pose[2] == pytest.approx(LIFTED_M)
    assert now_s > GRIP_S


def test_a_person_gives_an_intention_up_after_a_while(scenes):
    table, camera, looks = scenes
    seen = next(one for image, _ in looks for one in find_objects(image, table, camera, 0.0))
    picking = Picking(seen, 0.0)
    picking.begin(0.0)
    away = np.array([0.0, 0.0, 1.0, 0.0])
    assert not picking.look(away, 8.0)
    assert picking.look(away, 9.5) and picking.intention is Intention.DESCEND
