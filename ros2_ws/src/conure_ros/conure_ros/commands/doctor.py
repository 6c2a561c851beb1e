"""`conure doctor [bundle=FOLDER]`: check this machine's setup, one line each, with advice.
`conure doctor graph=true` checks what comes on the topics of the running graph.
"""

import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conure_core.config.loader import load_config
from conure_core.errors import ConureError
from conure_core.robot.description import load_robot
from conure_ros.commands.findings import Check, Finding, Missing, find, print_findings

SETUP = "make setup"
PYTHONS = ((3, 10), (3, 11), (3, 12))
PROBE_TOPIC = "conure_doctor_hello"
PROBE_S = 15.0
RMW = "rmw_fastrtps_cpp"


@dataclass(frozen=True)
class DoctorConfig:
    """What to check beside the machine: a bundle, for this robot and image size. Or what a graph
    that runs here hears.
    """

    graph: bool = False
    """Check every topic of the running graph instead of the machine."""
    bundle: str | None = None
    robot: str = "wx250s"
    image_size_px: int = 48


def run(overrides: list[str]) -> None:
    """Check this machine's setup, a line a part.

    Raises: ConureError naming the required parts that are missing.
    """
    config = load_config("conure_ros.conf", "doctor", DoctorConfig, overrides)
    if config.graph:
        from conure_ros.commands.graph_check import examine_graph

        print_findings(examine_graph(config.robot, config.image_size_px))
        return
    print_findings(examine(config))


def examine(config: DoctorConfig) -> Iterator[Finding]:
    """The findings on this machine, one after the other."""
    checks: list[Check] = [
        ("Python", python, True),
        ("ROS 2", ros, True),
        ("conure_msgs", messages, True),
        ("middleware", middleware, True),
        ("ros2 launch", ros2_launch, False),
        ("kinematics", lambda: find_version("pinocchio", "pin"), True),
        ("onnxruntime", lambda: find_version("onnxruntime", "onnxruntime"), True),
        ("recording", lambda: find_version("mcap", "mcap"), True),
        ("simulation", lambda: find_version("pybullet", "pybullet"), False),
        ("cameras", cameras, False),
        ("serial ports", serial_ports, False),
        ("GPU", gpu, False),
        ("robot", lambda: robot(config), True),
    ]
    if config.bundle:
        checks.append(("bundle", lambda: bundle(config), True))
    return find(checks, SETUP)


def python() -> str:
    if sys.version_info[:2] not in PYTHONS:
        raise Missing(platform.python_version(), "install Python 3.11 or 3.12, then " + SETUP)
    return f"{platform.python_version()} at {sys.executable}"


def ros() -> str:
    rclpy = require_module("rclpy", f"{SETUP}, or source /opt/ros/<distribution>/setup.bash")
    inside = Path(rclpy.__file__).is_relative_to(sys.prefix)
    source = "wheels of this environment" if inside else str(Path(rclpy.__file__).parents[4])
    return (
        f"{os.environ.get('ROS_DISTRO', 'jazzy' if inside else 'unknown distribution')}, {source}"
    )


def messages() -> str:
    require_module(
        "conure_msgs.msg",
        f"{SETUP} builds them; on a ROS machine: colcon build, then source install/setup.bash",
    )
    return "built"


def ros2_launch() -> str:
    require_module("launch_ros", "not needed: conure up starts the same nodes")
    return "available"


def require_module(name: str, advice: str) -> Any:
    """Import a module.

    Args:
        name: Its full name.
        advice: What to do if it is missing.

    Raises:
        Missing: It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(str(error), advice) from error


def find_version(name: str, distribution: str) -> str:
    """The version of an installed distribution, after importing its module.

    Args:
        name: Full name of the module.
        distribution: Name of the distribution; if unknown, the version is "installed".

    Raises:
        Missing: The module cannot be imported.
    """
    require_module(name, SETUP)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "installed"


def middleware() -> str:
    """Send a message between two processes, through the nodes' middleware with the nodes' own
    settings.
    """
    try:
        from conure_ros.bringup.launcher import ros_environment
    except ImportError as error:
        raise Missing(str(error), SETUP) from error
    with ros_environment() as variables:
        words = [sys.executable, "-c", "from conure_ros.commands.doctor import {}; {}()"]
        talker, listener = (
            [*words[:2], words[2].format(role, role)] for role in ("send_probes", "receive_probe")
        )
        began_s = time.monotonic()
        with subprocess.Popen(
            talker, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as talking:
            try:
                received = subprocess.run(
                    listener, env=variables, capture_output=True, text=True, timeout=2 * PROBE_S
                )
            finally:
                talking.kill()
        if received.returncode:
            reason = received.stderr.strip().splitlines()[-1:] or ["no message came"]
            raise Missing(
                reason[0],
                "see whether UDP on the loopback is blocked, and whether /dev/shm is writable",
            )
        name = variables.get("RMW_IMPLEMENTATION", RMW)
        return (
            f"{name}: a message between two processes after {time.monotonic() - began_s:.1f} s,"
            " start-up included"
        )


def send_probes() -> None:
    """Publish probes until killed, at most for a while."""
    import rclpy
    from std_msgs.msg import String

    rclpy.init()
    publisher = rclpy.create_node("doctor_talker").create_publisher(String, PROBE_TOPIC, 1)
    for _ in range(int(2 * PROBE_S / 0.05)):
        publisher.publish(String(data="hello"))
        time.sleep(0.05)


def receive_probe() -> None:
    """Exit with status 0 as soon as one probe came."""
    import rclpy
    from std_msgs.msg import String

    rclpy.init()
    received: list[Any] = []
    node = rclpy.create_node("doctor_listener")
    node.create_subscription(String, PROBE_TOPIC, received.append, 1)
    deadline_s = time.monotonic() + PROBE_S
    while not received and time.monotonic() < deadline_s:
        rclpy.spin_once(node, timeout_sec=0.1)
    sys.exit(0 if received else f"no message within {PROBE_S:.0f} s")


def cameras() -> str:
    """Video devices as camera_node's `source` takes them, with their drivers' names."""
    from conure_ros.cameras.devices import video_devices
    from conure_ros.cameras.sources import has_gstreamer

    opencv = (
        f"OpenCV {find_version('cv2', 'opencv-python-headless')}"
        f" {'with' if has_gstreamer() else 'without'} GStreamer"
    )
    devices = video_devices()
    if not devices:
        raise Missing(
            f"no video device; {opencv}", "connect a camera; the simulated robot needs none"
        )
    locked = [str(device.path) for device in devices if not device.accessible]
    if locked:
        raise Missing(
            f"no access to {', '.join(locked)}", "sudo usermod -aG video $USER, then log in again"
        )
    return f"{', '.join(f'{device.source} ({device.name})' for device in devices)}; {opencv}"


def serial_ports() -> str:
    """Serial adapters as a serial arm's `port` takes them, with their latency timers."""
    require_module("serial", "pip install 'conure[robot]'; an arm without servos needs none")
    from conure_ros.drivers import serial_devices as ports

    devices = ports.serial_devices()
    if not devices:
        raise Missing("no serial adapter", "plug the arm in; the simulated robot needs none")
    found = ", ".join(map(str, devices))
    locked = [device for device in devices if not device.accessible]
    if locked:
        paths = ", ".join(str(device.path) for device in locked)
        raise Missing(f"{found}; no access to {paths}", ports.join_group(locked[0].group))
    slow = [device for device in devices if (device.latency_timer_ms or 0) > ports.LATENCY_TIMER_MS]
    if slow:
        raise Missing(found, "; ".join(ports.lower_latency(device.path) for device in slow))
    return found


def gpu() -> str:
    """The device that training would use."""
    torch = require_module(
        "torch", "pip install 'conure[training]' where you train; the robot needs none"
    )
    if not torch.cuda.is_available():
        raise Missing(
            f"torch {torch.__version__} sees no CUDA device", "none needed: all runs on the CPU"
        )
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"


def robot(config: DoctorConfig) -> str:
    """Load the robot like control_node: its file and its URDF must fit together."""
    from conure_core.robot.arm import Arm

    found = Arm(load_robot(config.robot)).config
    return (
        f"{found.name}: {len(found.joint_names)} joints, {found.control_period_s} s control period"
    )


def bundle(config: DoctorConfig) -> str:
    """Load the bundle like policy_node: complete, fitting the robot, its golden outputs
    reproduced.
    """
    from conure_core.contract.bundle import load_bundle

    contract = load_robot(config.robot).contract(config.image_size_px)
    try:
        loaded = load_bundle(Path(config.bundle or ""), contract)
    except ConureError as error:
        raise Missing(
            str(error), "export again, or give robot= and image_size_px= of this bundle"
        ) from error
    return f"{config.bundle}, {loaded.hash[:12]}"
