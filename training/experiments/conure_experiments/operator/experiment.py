"""Picking by a scripted operator through the real graph, recorded; then what of it is a data set,
and whether the recorded actions do in simulation what they did on the robot.

It finds objects in the camera's images, as what is neither table nor arm, and its tool by the
joints. It moves the arm as `conure keys` does, labels what it sees, and shares no code with the
scripted experts. In `failed_share` of its attempts it reaches beside the object.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, bounds, check_values
from conure_core.errors import RobotError
from conure_core.robot.description import load_robot
from conure_experiments.operator.eyes import Table, find_objects, is_gone, know_table
from conure_experiments.operator.hand import Hand
from conure_experiments.operator.picking import Picking
from conure_experiments.operator.replay import replay_picks
from conure_experiments.operator.seat import PERIOD_S, Seat, seated
from conure_msgs.srv import StopEpisode
from conure_ros.bringup.launcher import ros_environment
from conure_ros.recording.episodes import Episode
from conure_sim.envs.tabletop import TabletopEnv
from conure_training.curation.import_data import ImportConfig, import_recordings
from conure_training.data.demonstrations import load_demonstrations
from conure_training.evaluation.robot_trials import CONURE
from conure_training.runtime.parallel import progress_bar

SCENES, LOOKED_AT_SEEDS = 10_000, 1_000_000_000
"""Seeds of scenes: so many belong to a seed of the experiment; those that are only looked at."""
ERRS_M = 0.035
INSIDE_M = 0.05
"""From the edges of the arm's workspace to an object that is reached for."""
HELD_M = 0.001
"""How far an object keeps the gripper's joint from closed, at least."""
CAMERA_SCALE = 3
TASK, OBJECTS = "Lift", "train"
SUCCESS, FAILURE = StopEpisode.Request.SUCCESS, StopEpisode.Request.FAILURE
UP_S = 120.0


@dataclass(frozen=True)
class Operator:
    """The experiment's settings."""

    episodes: int = field(default=200, metadata=COUNT)
    """To record."""
    folder: str = "out/operator"
    """Takes the recordings, the data set made of them, and the graph's output."""
    robot: str = "wx250s"
    """The simulated arm."""
    failed_share: float = field(default=0.1, metadata=bounds(0.0, 1.0))
    """Share of the attempts in which the operator reaches beside the object."""
    distractors: int = field(default=2, metadata=bounds(0, 5))
    """Objects beside one; the operator picks any."""
    looked_at: int = field(default=15, metadata=bounds(5, 1000))
    """Scenes that the operator looks at before, to know table and arm."""
    seed: int = field(default=0, metadata=bounds(0, 99_999))
    """Decides the scenes, and the operator's hand."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(config: Operator) -> dict[str, Any]:
    """Record what is missing, import and replay.

    Args:
        config: The settings; where its folder holds recordings of it, it goes on.

    Returns:
        Numbers of episodes: recorded, seen to succeed, in the data set, successes replayed, and
        replays that lift an object; and of messages that the recorder lost.

    Raises:
        RobotError: The graph ended, or does not answer.
    """
    recordings = Path(config.folder) / "recordings"
    missing = [
        number for number in range(config.episodes) if not _recording(recordings, number).exists()
    ]
    if missing:
        with _graph(config, recordings) as domain, seated(load_robot(config.robot), domain) as seat:
            _record(config, seat, missing)
    data = load_demonstrations(_import(config, recordings))
    env = TabletopEnv(
        TASK, config.robot, objects=OBJECTS, distractors=config.distractors, images=False
    )
    with closing(env):
        successes = [one for one in replay_picks(data, env) if one.recorded]
    found = [Episode(path).metadata for path in sorted(recordings.glob("*.mcap"))]
    return {
        "recorded": len(found),
        "seen_to_succeed": sum(one["label"] == SUCCESS for one in found),
        "lost_messages": sum(int(one["lost_messages"]) for one in found),
        "imported": len({info.origin.partition("#")[0] for info in data.episodes}),
        "successes_replayed": len(successes),
        "replays_that_lift": sum(one.lifted for one in successes),
    }


def _recording(recordings: Path, number: int) -> Path:
    return recordings / f"episode_{number:04d}.mcap"


def _import(config: Operator, recordings: Path) -> Path:
    out = Path(config.folder) / "data"
    shutil.rmtree(out, ignore_errors=True)
    words = [f"recordings={recordings}", f"out={out}", f"robot={config.robot}", f"task={TASK}"]
    settings = load_config("conure_training.conf", "data_import", ImportConfig, words)
    return import_recordings(settings)


@contextmanager
def _graph(config: Operator, recordings: Path) -> Iterator[int]:
    """`conure up graph=teleop` in a ROS domain of its own, whose number this is."""
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = [
        "up", "graph=teleop", "arm=sim", f"robot={config.robot}", f"task={TASK}",
        f"objects={OBJECTS}", f"folder={recordings}",
        f"+parameters.sim_robot.distractors={config.distractors}",
        f"+parameters.sim_robot.camera_scale={CAMERA_SCALE}",
    ]  # fmt: skip
    with ros_environment() as variables, (folder / "graph.log").open("w") as log:
        process = subprocess.Popen(
            [*CONURE, *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
        )
        try:
            yield int(variables["ROS_DOMAIN_ID"])
        finally:
            process.terminate()
            process.wait()


def _record(config: Operator, seat: Seat, missing: list[int]) -> None:
    """Record the episodes of these numbers."""
    seat.wait_for(lambda: seat.ready, "an image, camera_info, joint_states and /tf_static", UP_S)
    table = _know_table(config, seat)
    with progress_bar() as bar:
        task = bar.add_task("episodes", total=len(missing), note="")
        for number in missing:
            random = np.random.default_rng([config.seed, number])
            seed = config.seed * SCENES + number
            _prepare(seat, seed)
            name = _recording(Path(), number).stem
            seat.begin_episode(name, {"task": TASK, "seed": str(seed)})
            errs = random.random() < config.failed_share
            label = _attempt(seat, table, random, errs)
            seat.end_episode(label)
            bar.update(task, advance=1, note=label)


def _prepare(seat: Seat, seed: int) -> None:
    """A new scene, the arm at home with an open gripper.

    Whoever puts the arm elsewhere has control hold it there: it takes a leap for a wrong reading.
    """
    seat.hold()
    seat.lay_scene(seed)
    seat.hold()
    seat.wait_for_images(2)


def _know_table(config: Operator, seat: Seat) -> Table:
    images = []
    for number in range(config.looked_at):
        _prepare(seat, LOOKED_AT_SEEDS + number)
        images.append(seat.image)
    return know_table(images)


def _attempt(seat: Seat, table: Table, random: np.random.Generator, errs: bool) -> str:
    """Pick one of the objects that are seen. Returns the label."""
    camera, table_m = seat.camera, seat.robot.table_height_m
    if camera is None:
        raise RobotError("the camera is gone; see graph.log")
    low_m = np.array(seat.robot.workspace_lower_m[:2]) + INSIDE_M
    high_m = np.array(seat.robot.workspace_upper_m[:2]) - INSIDE_M
    found = find_objects(seat.image, table, camera, table_m)
    seen = [one for one in found if ((low_m < one.centre_m) & (one.centre_m < high_m)).all()]
    if not seen:
        return FAILURE
    picking = Picking(seen[random.integers(len(seen))], table_m)
    if errs:
        angle_rad = random.uniform(0.0, 2.0 * np.pi)
        picking.missed_by_m = ERRS_M * np.array([np.cos(angle_rad), np.sin(angle_rad)])
    hand, closed = Hand(random, PERIOD_S), None
    for now_s in seat.turns():
        if closed is None:
            picking.begin(now_s)
        if picking.look(seat.pose, now_s):
            hand.intend()
        if picking.done:
            break
        if closed != picking.closed:
            closed = picking.closed
            seat.grip(closed)
        seat.steer(hand.move(seat.pose, picking.goal(seat.pose)))
    seat.steer(np.zeros(4))
    held = seat.gripper_m > seat.robot.gripper_closed_m + HELD_M
    return SUCCESS if held and is_gone(seat.image, table, picking.target) else FAILURE
