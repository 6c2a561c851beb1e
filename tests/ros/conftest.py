"""Real nodes as real processes, each test's on a ROS domain of its own, all of them gone when it
ends.
"""

import contextlib
import http.server
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

# Read by ROS's message classes and by the middleware when they are first imported in this process.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import cv2
import numpy as np
import pytest
import yaml

from conure_core.contract.bundle import SPEC
from conure_core.contract.bundle_spec import BundleSpec
from conure_core.robot.description import load_robot, robot_file
from conure_core.servos.control_channel import ask
from conure_ros.bringup.launcher import GraphError, RunningGraph, ros_environment
from conure_ros.comms.messages import mode_message, to_ns, to_time
from conure_ros.comms.middleware import add_local_discovery
from conure_ros.control.arbiter import Mode

add_local_discovery(os.environ)
IMAGE_SIZE_PX = 48
SHORT_LEASE = Path(__file__).parent / "short_lease.xml"
MJPEG_HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def make_bundle(path):
    """A tiny policy with random weights."""
    import torch

    from conure_training.export.bundle_writer import export_graph
    from conure_training.policies.graph import PolicyGraph
    from conure_training.prior.flow import ConditionalRealNVP

    robot = load_robot("wx250s")

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(27 + robot.proprio_size, 16)

        def forward(self, image, proprio):
            small = torch.nn.functional.adaptive_avg_pool2d(
                image.permute(0, 3, 1, 2).float() / 255, 3
            )
            return torch.tanh(self.linear(torch.cat([small.flatten(1), proprio], 1)))

    rng = np.random.default_rng(0)
    observations = {
        "image": rng.integers(0, 256, (4, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8),
        "proprio": rng.standard_normal((4, robot.proprio_size)).astype(np.float32),
    }
    torch.manual_seed(0)
    flow = ConditionalRealNVP(7, 16, 2, (16,))
    graph = PolicyGraph(Encoder(), flow, None)
    export_graph(graph, robot.contract(IMAGE_SIZE_PX), path, observations, {})


@pytest.fixture(scope="session")
def bundle(made_once):
    """Made once: torch takes its time."""
    return made_once("bundle", make_bundle)


@pytest.fixture(scope="session")
def two_bundles(bundle, made_once):
    """A folder with the bundles `one` and `other`."""

    def make(path):
        shutil.copytree(bundle, path / "one")
        shutil.copytree(bundle, path / "other")
        spec = path / "other" / SPEC
        renamed = replace(BundleSpec.from_json(spec.read_bytes()), name="other")
        spec.write_text(renamed.to_json())

    return made_once("two_bundles", make)


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    """Environment variables of a ROS domain that no other test has."""
    with ros_environment() as variables:
        yield {**variables, "ROS_LOG_DIR": str(tmp_path_factory.mktemp("log"))}


@pytest.fixture(scope="module")
def short_lived(domain):
    """The same domain, for a process that is killed: it is missed within seconds."""
    return {**domain, "FASTRTPS_DEFAULT_PROFILES_FILE": str(SHORT_LEASE)}


@pytest.fixture(autouse=True)
def no_domain_is_left_behind():
    """One that a test leaves in the environment would be that of every graph after it, all at
    once.
    """
    before = os.environ.get("ROS_DOMAIN_ID")
    yield
    assert os.environ.get("ROS_DOMAIN_ID") == before


@pytest.fixture(scope="module")
def context(domain):
    """ROS in this process, for nodes that run in it."""
    import rclpy

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        rclpy.init(domain_id=int(domain["ROS_DOMAIN_ID"]))
        yield
        rclpy.try_shutdown()


@pytest.fixture
def teleop(context):
    """A teleop_node in this process, configured."""
    from conure_ros.nodes.teleop_node import TeleopNode
    from tests.ros.teleop_hand import SUCCESS

    node = TeleopNode()
    assert node.trigger_configure() == SUCCESS
    yield node
    node.end()
    node.destroy_node()


@pytest.fixture
def hand(teleop, monkeypatch):
    """Of a person at that node, which is active; the gripper is measured open."""
    from tests.ros.teleop_hand import ROBOT, Hand

    hand = Hand(teleop, monkeypatch)
    hand.measure(ROBOT.gripper_open_m)
    return hand


class Graph:
    """Nodes that run beside the test."""

    def __init__(self, name, parameters, folder, environment):
        self.lines, self.failure, self._ended = [], "", []
        self.running = RunningGraph(
            name, parameters, folder, environment, lambda *line: self.lines.append(line)
        )
        self.running.start()
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self):
        try:
            self.running.wait(self._ended)
        except GraphError as error:
            self.failure = str(error)

    def process(self, name):
        return self.running.processes[name]

    def wait_for_line(self, text, timeout_s=60.0):
        wait_until(
            lambda: self.failure or any(text in line for _, line in self.lines), timeout_s, text
        )
        assert not self.failure, self.failure

    def stop(self):
        self._ended.append(1)
        self._thread.join()
        self.running.stop()
        assert all(process.poll() is not None for process in self.running.processes.values())


@pytest.fixture(scope="module")
def start(domain, tmp_path_factory):
    """Starts a graph; returns when its lifecycle nodes are active."""
    graphs = []

    def started(name, wait=True, **parameters):
        graph = Graph(name, parameters, tmp_path_factory.mktemp("parameters"), domain)
        graphs.append(graph)
        if wait:
            graph.wait_for_line("up:")
        return graph

    yield started
    for graph in graphs:
        graph.stop()


@pytest.fixture(scope="module")
def calm_robot(tmp_path_factory):
    """The serial WidowX on simulated servos, at full speed, patient with a busy machine."""
    data = {"arm": str(robot_file("wx250s"))}
    data["bus"] = {
        "like": str(robot_file("wx250s_serial")),
        "port": "sim",
        "latency_s": 0.03,
        "lost_s": 1.0,
    }
    path = tmp_path_factory.mktemp("robot") / "wx250s_serial.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


class Peer:
    """A node of the test's own, spun on a thread."""

    def __init__(self, variables):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(variables["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self):
        from rclpy.executors import ExternalShutdownException

        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def listen(self, kind, topic, quality=10):
        """A list that fills with what comes."""
        heard = []
        self.node.create_subscription(kind, topic, heard.append, quality)
        return heard

    def call(self, kind, name, /, timeout_s=20.0, **fields):
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(timeout_s), f"no service {name}"
        future, answered = client.call_async(kind.Request(**fields)), threading.Event()
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(timeout_s), f"{name} did not answer"
        return future.result()

    @property
    def now_ns(self):
        return self.node.get_clock().now().nanoseconds

    def seconds_until(self, mode, states, since_ns, timeout_s=10.0):
        """Until the first of these states, since then, with this mode, by its own stamp: it may be
        heard of late.
        """

        def found():
            stamps_ns = [
                to_ns(state.header.stamp) for state in list(states) if state.mode.value == mode
            ]
            return [stamp_ns for stamp_ns in stamps_ns if stamp_ns >= since_ns]

        wait_until(found, timeout_s, f"mode {mode}")
        return (found()[0] - since_ns) / 1e9

    def begin(self, coroutine, **words):
        """The future of a coroutine function, run with these words on the thread that spins.

        An action client waits for an answer only once it has asked: spun by another thread, it may
        miss the answer.
        """
        return self.executor.create_task(coroutine, **words)

    def close(self):
        import rclpy

        rclpy.shutdown(context=self.context)
        self._thread.join()
        # Or its publishers stay in the domain until Python collects them.
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture(scope="module")
def peer(domain):
    peer = Peer(domain)
    yield peer
    peer.close()


class StandInControl:
    """Publishes robot_state as control does, for drivers without one."""

    def __init__(self, peer):
        from conure_msgs.msg import RobotState
        from conure_ros.comms.qos import LATCHED

        self.peer, self.kind, self.reset_ns = peer, RobotState, 0
        self.states = peer.node.create_publisher(RobotState, "robot_state", LATCHED)

    def say(self, stopped, reason=""):
        """A state with the stamp of the last reset, as control repeats it."""
        mode = Mode.STOPPED if stopped else Mode.HOLD
        state = self.kind(
            mode=mode_message(mode),
            stopped=stopped,
            reason=reason,
            reset_stamp=to_time(self.reset_ns),
        )
        state.header.stamp = to_time(self.peer.now_ns)
        self.states.publish(state)

    def reset_stop(self):
        self.reset_ns = self.peer.now_ns
        self.say(stopped=False)


@pytest.fixture(scope="module")
def stand_in_control(peer):
    return StandInControl(peer)


class MjpegStream:
    """An MJPEG camera on the network. Each frame has noise and a number, as squares over the middle
    of its width.
    """

    rate_hz, width, height = 15.0, 320, 240
    bits, bit_px = 8, 30

    def __init__(self):
        self.port, self.server = 0, None
        self.shows, self.number, self.sent_ns = "scene", 0, {}
        self.rng = np.random.default_rng(0)
        self.connect()

    @property
    def address(self):
        return f"http://user:secret@127.0.0.1:{self.port}/stream.mjpg"

    def connect(self):
        stream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                server, last = self.server, stream.jpeg()
                self.wfile.write(MJPEG_HEADER)
                with contextlib.suppress(OSError):
                    while server is stream.server:
                        time.sleep(1 / stream.rate_hz)
                        if stream.shows == "nothing":
                            continue
                        last = last if stream.shows == "the last frame" else stream.jpeg()
                        head = (
                            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length:"
                            f" {len(last)}\r\n\r\n"
                        )
                        self.wfile.write(head.encode() + last + b"\r\n")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def unplug(self):
        server, self.server = self.server, None
        server.shutdown()
        server.server_close()

    def jpeg(self):
        self.number = (self.number + 1) % 2**self.bits
        frame = self.rng.integers(60, 180, (self.height, self.width, 3), dtype=np.uint8)
        for bit in range(self.bits):
            left = (self.width - self.height) // 2 + bit * self.bit_px
            frame[: 2 * self.bit_px, left : left + self.bit_px] = (
                255 if self.number >> bit & 1 else 0
            )
        if self.shows == "black":
            frame[:] = 0
        self.sent_ns[self.number] = time.time_ns()
        return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()

    def number_in(self, pixels):
        """The number of a frame, read from its image."""
        left = (pixels.shape[1] - len(pixels)) // 2
        step = len(pixels) // self.bits
        return sum(
            int(pixels[step, left + bit * step + step // 2].mean() > 128) << bit
            for bit in range(self.bits)
        )


@pytest.fixture(scope="module")
def stream():
    stream = MjpegStream()
    yield stream
    stream.unplug()


def wait_until(condition, timeout_s, what=""):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what or condition}"
        time.sleep(0.01)


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture():
    return wait_until


@pytest.fixture(scope="session")
def simulate():
    """Let servos' arm move for so many seconds of its own time: on a busy machine, its world stalls
    and catches up.
    """

    def simulate(port, seconds):
        end_s = ask(port, "state")["elapsed_s"] + seconds
        wait_until(lambda: ask(port, "state")["elapsed_s"] >= end_s, 10 + 10 * seconds)

    return simulate


def processes_with(mark):
    """Ids of all processes on this machine whose environment holds this text."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                found += [] if stat[0] == "Z" else [int(folder.name)]
        except OSError:
            continue
    return found


@pytest.fixture(scope="session", name="processes_with")
def processes_with_fixture():
    return processes_with
