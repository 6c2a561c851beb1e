"""launch/config/sros2_policy.xml allows each node what it has open in the running graph, and
nothing else.
"""

import time

import cv2
import numpy as np
import pytest
import rclpy

from conure_core.robot.description import load_robot
from conure_ros.bringup.graphs import (
    CAMERA,
    CONTROL,
    EVALUATOR,
    GRAPHS,
    POLICY,
    RECORDER,
    ROBOT_STATE_PUBLISHER,
    SIM_ROBOT,
    SIM_SERVOS,
    TELEOP,
    TRAJECTORY,
    WRIST_CAMERA,
    build_graph,
    command_line,
    launch_folder,
)
from conure_ros.bringup.launcher import GraphError, run_graph
from conure_ros.bringup.security import (
    CLAIMING,
    Profile,
    live_policy,
    manager_profile,
    policy_text,
    read_policy,
)
from conure_ros.commands.keys import Keys, KeysConfig
from conure_ros.commands.stopping import Stopper

pytestmark = pytest.mark.ros
POLICY_FILE = launch_folder() / "config" / "sros2_policy.xml"
ABOVE = (
    CAMERA,
    WRIST_CAMERA,
    CONTROL,
    POLICY,
    TELEOP,
    TRAJECTORY,
    RECORDER,
    EVALUATOR,
    ROBOT_STATE_PUBLISHER,
)
LIFECYCLE = [node.name for node in (SIM_ROBOT, *SIM_SERVOS, *ABOVE) if node.lifecycle]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    cv2.imwrite(
        str(tmp_path / "images" / "image.png"), rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    )
    pose = (
        "parent: base_link\ntranslation_m: [0.0, 0.0, 0.5]\nrotation_xyzw: [1.0, 0.0, 0.0, 0.0]\n"
    )
    (tmp_path / "pose.yaml").write_text(pose)
    return tmp_path


@pytest.fixture
def people(domain):
    """The verbs that are nodes, without their terminals."""
    rclpy.init(domain_id=int(domain["ROS_DOMAIN_ID"]))
    yield [Keys(KeysConfig(), load_robot("wx250s")), Stopper()]
    rclpy.shutdown()


def differences(allowed, used):
    """What is missing (+) and what is too much (-), by node and right."""
    for name in sorted({*allowed, *used}):
        before, now = (vars(some.get(name, Profile())) for some in (allowed, used))
        for right in before:
            for sign, topics in (
                ("+", now[right] - before[right]),
                ("-", before[right] - now[right]),
            ):
                if topics:
                    yield f"{sign} {name} {right}: {', '.join(sorted(topics))}"


def test_the_policy_allows_what_the_running_nodes_use_and_nothing_else(
    start, people, peer, bundle, folder, calm_robot, domain, monkeypatch
):
    """The arm as simulated servos; beside it the arm that follows joint_trajectory itself, which is
    never active.
    """
    monkeypatch.setitem(GRAPHS, "all", build_graph(*SIM_SERVOS, *ABOVE))
    monkeypatch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
    images, pose = str(folder / "images"), str(folder / "pose.yaml")
    given = {
        "bundle": str(bundle),
        "folder": str(folder),
        "trials": 0,
        "camera_source": images,
        "wrist_source": images,
    }
    start("all", robot=calm_robot, **given, **{"camera.pose": pose, "wrist.pose": pose})
    names = {node.name for node in (*SIM_SERVOS, *ABOVE)} | {"keys", "stop_key"}
    positions = Profile(publish=frozenset({"/position_commands"}))
    # The recorder reads raw images of cameras that do not compress them, such as the simulated one.
    raw_images = Profile(subscribe=frozenset({"/camera/image_raw", "/wrist/image_raw"}))
    follows = Profile(
        publish=frozenset({"/joint_states", "/stop"}),
        subscribe=frozenset({"/joint_trajectory", "/robot_state", "/stop"}),
        reply=frozenset({"/arm/torque", "/torque"}),
    )

    def used():
        found = live_policy(peer.node, names)
        # The same nodes with other parameters: output positions, and the simulated arm without
        # servos.
        found["control"] |= positions
        found["sim_robot"] |= follows
        found["recorder"] |= raw_images
        return {**found, "manager": manager_node_profile(found["stop_key"])}

    def manager_node_profile(plain):
        own = {
            right: {t.replace("stop_key", "manager") for t in topics}
            for right, topics in vars(plain).items()
        }
        own["publish"] -= {"/stop", "/operator/heartbeat"}
        own["subscribe"] -= {"/robot_state"}
        return Profile(
            **{right: frozenset(topics) for right, topics in own.items()}
        ) | manager_profile(LIFECYCLE)

    allowed, deadline_s = read_policy(POLICY_FILE), time.monotonic() + 20.0
    while list(differences(allowed, used())) and time.monotonic() < deadline_s:
        time.sleep(0.5)
    now = used()
    differing = "\n".join(differences(allowed, now))
    (folder / "sros2_policy.xml").write_text(policy_text(now))
    assert not differing, (
        f"the policy must be {folder / 'sros2_policy.xml'}; it differs by\n{differing}"
    )
    assert now["control"].publish >= CLAIMING.publish, "claims are made before anybody can look"


def test_only_control_may_command_the_arm_and_only_who_should_may_stop_it():
    policy = read_policy(POLICY_FILE)

    def who(right, topic):
        return {name for name, profile in policy.items() if topic in getattr(profile, right)}

    assert (
        who("publish", "/joint_trajectory") == who("publish", "/position_commands") == {"control"}
    )
    assert who("publish", "/command/policy") == {"policy"}
    assert who("publish", "/command/teleop") == {"teleop"}
    assert who("publish", "/operator/heartbeat") == {"keys", "stop_key"}
    assert who("publish", "/stop") == {"keys", "stop_key", "serial_arm", "sim_robot"}
    assert who("request", "/control/reset_stop") == {"keys"}
    assert not who("request", "/reset_stop"), "nobody of ours asks for an old name"
    assert not [
        t
        for p in policy.values()
        for topics in vars(p).values()
        for t in topics - CLAIMING.publish
        if "*" in t
    ]


def test_the_file_is_what_its_reader_writes():
    assert policy_text(read_policy(POLICY_FILE)) == POLICY_FILE.read_text()


def test_every_node_is_started_in_the_enclave_that_the_policy_is_for():
    for node in (SIM_ROBOT, *ABOVE):
        words = command_line(node, [])
        assert words[words.index("--enclave") + 1] == f"/conure/{node.name}"
        assert node.name in read_policy(POLICY_FILE)


def test_where_security_is_asked_for_and_cannot_be_had_no_node_starts_without_it(
    tmp_path, monkeypatch
):
    """No keys are in this keystore; Fast DDS from PyPI has no security at all. Neither may go on in
    clear.
    """
    monkeypatch.setitem(GRAPHS, "small", build_graph(CONTROL))
    (tmp_path / "keys" / "enclaves").mkdir(parents=True)
    environment = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    environment |= {
        "ROS_SECURITY_KEYSTORE": str(tmp_path / "keys"),
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    with pytest.raises(GraphError, match="ended with status 1"):
        run_graph("small", environment=environment)
