"""The common ground of simulation, training and robot: contract, arm, controller, safety, bundle.

What other programs need is here, by name. It is imported at first use, because Pinocchio and ONNX
Runtime take a while to load.

    >>> from conure_core import Arm, ControlLoop, load_bundle, load_robot, proprioception
    >>> arm = Arm(load_robot("wx250s"))  # a name, or the path of your own YAML file
    >>> bundle = load_bundle("out/demo/bundle")
    >>> loop = ControlLoop(arm)
    >>> loop.reset(measured_rad, gripper_m)
    >>> observed = proprioception(arm, measured_rad, gripper_m)  # what the policy sees of the arm
    >>> output = bundle.act({"image": image, "proprio": observed}, noise)
    >>> command = loop.step(output.action, measured_rad, age_s=0.0)  # safe, or UnsafeCommand
"""

from typing import TYPE_CHECKING

from conure_core.runtime.public_face import at_first_use

if TYPE_CHECKING:
    from conure_core.contract.bundle import load_bundle
    from conure_core.control.loop import ControlLoop
    from conure_core.errors import ConureError
    from conure_core.robot.arm import Arm
    from conure_core.robot.description import load_robot
    from conure_core.robot.proprioception import proprioception

__all__ = ["Arm", "ControlLoop", "ConureError", "load_bundle", "load_robot", "proprioception"]

_HOMES = {
    "Arm": "robot.arm",
    "ControlLoop": "control.loop",
    "ConureError": "errors",
    "load_bundle": "contract.bundle",
    "load_robot": "robot.description",
    "proprioception": "robot.proprioception",
}

__getattr__, __dir__ = at_first_use(__name__, _HOMES)
