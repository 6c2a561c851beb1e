"""Where each part of the privileged state lies: learners name a part, never its place."""

from typing import Any

from conure_core.robot.description import RobotConfig
from conure_sim.scenes.scene import MAX_OBJECTS, SLOT_STATE, VELOCITY
from conure_sim.tasks.task import Task

CONTAINER = 4


def state_layout(
    task: Task[Any],
    robot: RobotConfig,
    velocities: bool = False,
) -> dict[str, slice]:
    """The parts of an environment's `state`, in order and without gaps.

    `proprio`, `objects`, `fixtures`, `container`: see Scene. With velocities also `joint_speeds`,
    `object_velocities`, `fixture_velocities`: see Scene.velocities.

    Args:
        task: Whose fixtures count.
        robot: Whose joints count.
        velocities: Whether the state holds speeds too.

    Returns:
        Slices into the state, by name; a part that a task does not have is empty.

    >>> env = gymnasium.make("conure/PushToGoal-v0", images=False).unwrapped
    >>> goal = env.observe()["state"][env.state_layout["fixtures"]]
    """
    sizes = {
        "proprio": robot.proprio_size,
        "objects": MAX_OBJECTS * SLOT_STATE,
        "fixtures": task.fixture_state_size,
        "container": CONTAINER,
    }
    if velocities:
        sizes["joint_speeds"] = len(robot.joint_names) + len(robot.finger_multipliers)
        sizes["object_velocities"] = MAX_OBJECTS * VELOCITY
        sizes["fixture_velocities"] = task.fixture_velocity_size

    layout: dict[str, slice] = {}
    start = 0
    for name, size in sizes.items():
        layout[name] = slice(start, start + size)
        start += size
    return layout
