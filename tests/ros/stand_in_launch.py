"""A stand-in for `launch` and `launch_ros`, which PyPI does not have: enough to start what our
launch files describe.

As a program, `python stand_in_launch.py GRAPH NAME:=VALUE ...`, it starts a graph's nodes as `ros2
launch` does: as its children, in its session, through their entry points. It ends them at SIGINT or
when one ends that should not. Where `launch_ros` can be imported, that one does it.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
import types

from conure_ros.bringup.graphs import launch_folder


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
    "launch.condition": ["Condition"],
    "launch.event_handlers": ["OnProcessExit"],
    "launch.events": ["Shutdown"],
    "launch.substitution": ["Substitution"],
    "launch.substitutions": ["LaunchConfiguration"],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
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

    (actions,) = launch_description(graph).args
    kinds = [type(action).__name__ for action in actions]
    count = kinds.index("OpaqueFunction")
    declared, opaque, shown = actions[:count], actions[count], actions[count + 1 :]
    defaults = {argument.args[0]: argument.words["default_value"] for argument in declared}
    context = types.SimpleNamespace(launch_configurations={**defaults, **configurations})
    said = opaque.words["function"](context)
    chosen = [
        action
        for action in shown
        if "condition" not in action.words or action.words["condition"].words["predicate"](context)
    ]
    for node in nodes_of(chosen):
        node.context = context
    return [*said, *chosen]


def nodes_of(actions):
    return [action for action in actions if type(action).__name__ == "Node"]


def parameters_of(node):
    """The parameters in the one file that the node is given."""
    (path,) = (some.perform(node.context) for some in node.words["parameters"])
    return path


def expand(value, context):
    """The text of a substitution."""
    return context.launch_configurations[value.args[0]] if isinstance(value, Recorded) else value


def command(node):
    """As launch_ros puts it together."""
    code = (
        f"import sys; sys.argv[0] = '{node.words['executable']}';"
        " from conure_ros.bringup.node_process import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", code, "--ros-args", "-r", f"__node:={node.words['name']}"]
    namespace = expand(node.words["namespace"], node.context)
    words += ["-r", f"__ns:=/{namespace}"] if namespace else []
    for source, target in node.words["remappings"]:
        words += ["-r", f"{source}:={target}"]
    rest = [expand(word, node.context) for word in node.words["ros_arguments"]]
    return [*words, "--params-file", parameters_of(node), *rest]


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
    running = {
        node: subprocess.Popen(command(node), env={**os.environ, **node.words["additional_env"]})
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


def launch(graph, configurations):
    """The graph's launch file, by the real `launch`. Returns: the exit status."""
    from launch import LaunchDescription, LaunchService
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    source = PythonLaunchDescriptionSource(str(launch_folder() / f"{graph}.launch.py"))
    service = LaunchService()
    arguments = list(configurations.items())
    included = IncludeLaunchDescription(source, launch_arguments=arguments)
    service.include_launch_description(LaunchDescription([included]))
    return service.run()


if __name__ == "__main__":
    given = dict(word.split(":=", 1) for word in sys.argv[2:])
    if importlib.util.find_spec("launch_ros"):
        sys.exit(launch(sys.argv[1], given))
    sys.modules.update(modules())
    sys.exit(run(sys.argv[1], given))
