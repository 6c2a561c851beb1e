"""The tasks, one file a family. To add one: a child of `Task` here, and its line in `TASKS`."""

from typing import Any

from conure_core.errors import unknown_name
from conure_sim.tasks.blocks import BlockLift, BlockStack, ClearBlocks
from conure_sim.tasks.button import PressButton
from conure_sim.tasks.carry_box import ClearWithBox
from conure_sim.tasks.drawer import DrawerOpen, PlaceInDrawer
from conure_sim.tasks.orders import OrderFulfillment
from conure_sim.tasks.pick_place import Lift, Place
from conure_sim.tasks.pour import Pour
from conure_sim.tasks.push import PushToGoal
from conure_sim.tasks.task import Task

TASKS: dict[str, Task[Any]] = {
    task.name: task
    for task in (
        Lift("Lift", 50),
        Place("PlaceInTray", 75, "tray"),
        Place("PlaceInBowl", 75, "bowl"),
        Place("PlaceInBox", 75, "box"),
        Place("PlaceOnPlate", 75, "plate"),
        BlockLift("BlockLift", 50),
        BlockStack("BlockStack", 90),
        ClearBlocks("ClearBlocks", 160),
        ClearWithBox("ClearWithBox", 110),
        Pour("Pour", 120),
        OrderFulfillment("OrderFulfillment", 200),
        DrawerOpen("DrawerOpen", 75),
        PlaceInDrawer("PlaceInDrawer", 160),
        PushToGoal("PushToGoal", 100),
        PressButton("PressButton", 50),
    )
}


def find_task(name: str) -> Task[Any]:
    """The task of this name. Raises: ConfigError listing the valid names."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
