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
    "serial_arm_node",
    "sim_robot_node",
    "teleop_node",
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
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="The ROS 2 nodes of Conure",
    license="Apache-2.0",
    # `ros2 run` looks in lib/conure_ros only: setup.cfg puts them there.
    entry_points={"console_scripts": [f"{node} = {PACKAGE}.nodes.{node}:main" for node in NODES]},
)
