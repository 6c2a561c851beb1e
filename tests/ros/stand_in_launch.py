"""A stand-in for `launch` and `launch_ros`, which PyPI does not have: enough to start what our
launch files describe.

As a program, `python stand_in_launch.py GRAPH NAME:=VALUE ...`, it starts a graph's nodes as `ros2
launch` does: as its children, in its session, through their entry points. It ends them at SIGINT or
when one ends that should not.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import yaml


class Recorded:
    """An object that keeps what it was made from."""

    def __init__(self, *args, **words):
        self.args, self.words = args, words


CLASSES = {
    "launch": ["LaunchDescription"],
    "launch.actions": [
        "DeclareLaunchArgument",
        "EmitEvent",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
    ],
    "launch.event_handlers": ["OnProcessExit"],
    "launch.events": ["Shutdown"],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
}


def modules():
    """By name, for sys.modules."""
    made = {}
    for name, classes in CLASSES.items():
        made[name] = types.ModuleType(name)
        for kind in classes:
            setattr(made[name], kind, type(kind, (Recorded,), {}))
    return made


def described(graph, configurations):
    """The actions that the launch description of a graph comes to. Raises: ConfigError."""
    from conure_ros.bringup.launch_description import launch_description

    *declared, opaque = launch_description(graph).args[0]
    defaults = {argument.args[0]: argument.words["default_value"] for argument in declared}
    context = types.SimpleNamespace(launch_configurations={**defaults, **configurations})
    return opaque.words["function"](context, *opaque.words["args"])


def nodes_of(actions):
    return [action for action in actions if type(action).__name__ == "Node"]


def plain(value):
    return value.args[0] if isinstance(value, Recorded) else value


def command(node, folder):
    """As launch_ros puts it together."""
    code = (
        f"import sys; sys.argv[0] = '{node.words['executable']}';"
        " from conure_ros.bringup.node_process import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", code, "--ros-args", "-r", f"__node:={node.words['name']}"]
    for source, target in node.words["remappings"]:
        words += ["-r", f"{source}:={target}"]
    shipped, given = node.words["parameters"]
    path = Path(folder) / f"{node.words['name']}.yaml"
    own = {name: plain(value) for name, value in given.items()}
    path.write_text(yaml.safe_dump({node.words["name"]: {"ros__parameters": own}}))
    return [
        *words,
        "--params-file",
        shipped,
        "--params-file",
        str(path),
        *node.words["ros_arguments"],
    ]


def run(graph, configurations):
    """Until SIGINT, or until a node's end is the end of all. Returns the exit status: as in launch,
    1 after an exception.
    """
    ended, status = [], 0
    context = types.SimpleNamespace(is_shutdown=False)
    signal.signal(signal.SIGINT, lambda *_: ended.append("interrupted"))
    actions = described(graph, configurations)
    handlers = {
        action.args[0].words["target_action"]: action.args[0].words["on_exit"]
        for action in actions
        if type(action).__name__ == "RegisterEventHandler"
    }
    with tempfile.TemporaryDirectory() as folder:
        running = {
            node: subprocess.Popen(
                command(node, folder), env={**os.environ, **node.words["additional_env"]}
            )
            for node in nodes_of(actions)
        }
        while not ended:
            time.sleep(0.05)
            for node in [node for node, process in running.items() if process.poll() is not None]:
                process = running.pop(node)
                event = types.SimpleNamespace(returncode=process.returncode)
                try:
                    ended += [
                        shutdown.words["event"].words["reason"]
                        for shutdown in handlers[node](event, context)
                    ]
                except Exception as error:
                    ended.append(f"Caught exception in launch: {error}")
                    status = 1
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait(10)
    print(f"ended: {ended[0]}", flush=True)
    return status


if __name__ == "__main__":
    sys.modules.update(modules())
    sys.exit(run(sys.argv[1], dict(word.split(":=", 1) for word in sys.argv[2:])))
