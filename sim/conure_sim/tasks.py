"""Tasks: what stands on the table and when an episode has succeeded. Rewards are sparse: +1 at success, else 0."""

from dataclasses import dataclass

import numpy as np

from conure_core.errors import unknown_name
from conure_sim.scene import ContainerModel, Scene

TRAY = ContainerModel("tray", 0.11, 0.012, (0.45, 0.45, 0.50))
BOX = ContainerModel("box", 0.11, 0.035, (0.55, 0.40, 0.25))
REST_SPEED_M_S = 0.1


@dataclass(frozen=True)
class Task:
    """One task of the suite. `container` is what the target has to be put into; None: lift it."""

    name: str
    container: ContainerModel | None
    max_steps: int

    def success(self, scene: Scene) -> bool:
        """Lift: the target is at least LIFTED_M up. Place: it rests in the container and no finger touches it."""
        if self.container is None:
            return scene.lifted(scene.target)
        if not scene.contained(scene.target) or scene.touched(scene.target):
            return False
        velocity, _ = scene.world.client.getBaseVelocity(scene.target.body)
        return bool(np.linalg.norm(velocity) < REST_SPEED_M_S)


TASKS = {
    task.name: task
    for task in (Task("Lift", None, 50), Task("PlaceInTray", TRAY, 75), Task("PlaceInBox", BOX, 75))
}  # fmt: skip


def find_task(name: str) -> Task:
    """The task of this name. Raises: ConfigError listing the valid names."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
