from setuptools import find_packages, setup

PACKAGE = "conure_ros"
NODES = [
    "arm_model_node",
    "camera_node",
    "control_node",
    "evaluator_node",
    "fault_node",
    "manager_node",
    "policy_node",
    "recorder_node",
    "robot_state_publisher_node",
    "serial_arm_node",
    "sim_robot_node",
    "teleop_node",
    "trajectory_node",
]

# The same as in the root's pyproject.toml.
VERBS = [
    "bench bus = conure_ros.commands.bench_bus:run [robot]",
    "doctor = conure_ros.commands.doctor:run [robot]",
    "faults = conure_ros.faults.verb:run [robot]",
    "joints = conure_ros.commands.joints:run [robot]",
    "joysticks = conure_ros.commands.joysticks:run [robot]",
    "recordings recover = conure_ros.recording.recover:run [robot]",
    "servos restore = conure_ros.commands.servos:run [robot]",
    "trials label = conure_ros.trials.verb:run_label [robot]",
    "trials run = conure_ros.trials.verb:run [robot]",
    "up = conure_ros.commands.up:run [robot]",
]
VERBS_ANYWHERE = [
    "keys = conure_ros.commands.keys:run [robot]",
    "stop = conure_ros.commands.stop:run [robot]",
]

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={"": ["**/*.css", "**/*.html", "**/*.js", "**/*.json", "**/*.yaml", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="The ROS 2 nodes of Conure",
    license="Apache-2.0",
    # `ros2 run` looks in lib/conure_ros only: setup.cfg puts them there. An executable knows by its
    # name which node it is.
    entry_points={
        "console_scripts": [f"{node} = {PACKAGE}.bringup.node_process:main" for node in NODES],
        "conure.commands": VERBS,
        "conure.commands.anywhere": VERBS_ANYWHERE,
    },
)
