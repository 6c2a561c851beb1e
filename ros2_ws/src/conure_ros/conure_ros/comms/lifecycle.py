"""How every node runs: its life cycle, its process, its end."""

import contextlib
import faulthandler
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from conure_core.errors import ConureError
from conure_ros.comms.domains import announced
from conure_ros.comms.ending import end_requests, tie_to_starter
from conure_ros.comms.graph_identity import GRAPH_PARAMETER, own_graph_id


class ManagedNode(LifecycleNode):
    """A lifecycle node whose steps are plain methods that may raise ConureError: a refusal, logged
    as one line.

    `configure` loads, checks and subscribes; `activate` arms; `deactivate` holds; `release` gives
    everything back.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.created_s, self.active = time.monotonic(), False
        self._entities: list[tuple[Callable[[Any], Any], Any]] = []
        about = "the graph that the node was started for; managers of others leave it alone"
        self.declare_parameter(
            GRAPH_PARAMETER, own_graph_id(), ParameterDescriptor(description=about, read_only=True)
        )
        self._survive_invalid_transitions()

    def configure(self) -> None: ...
    def activate(self) -> None: ...
    def deactivate(self) -> None: ...
    def release(self) -> None: ...

    def end(self) -> None:
        """What is left to do before the process ends: hold, and give everything back."""
        if self.active:
            self._step("deactivate", self.deactivate)
            self.active = False
        self._step("clean up", self.release)

    def kept(self, destroy: Callable[[Any], Any], entity: Any) -> Any:
        """The entity, to be destroyed when the node is cleaned up."""
        self._entities.append((destroy, entity))
        return entity

    def steady_timer(self, period_s: float, callback: Callable[[], None]) -> Any:
        """A timer that neither stalls nor jumps with the wall clock or a simulated one."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        return self.kept(self.destroy_timer, self.create_timer(period_s, callback, clock=clock))

    def now_ns(self) -> int:
        """The time that stamps are given in."""
        return int(self.get_clock().now().nanoseconds)

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        result = self._step("configure", self.configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._destroy_entities()
            return result
        return super().on_configure(state)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self.active = True
        if result == TransitionCallbackReturn.SUCCESS:
            result = self._step("activate", self.activate)
        self.active = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        result = self._step("deactivate", self.deactivate)
        self.active = False
        return (
            result if result != TransitionCallbackReturn.SUCCESS else super().on_deactivate(state)
        )

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        result = self._step("clean up", self.release)
        self._destroy_entities()
        return result

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        if self.active:
            self.on_deactivate(state)
        return self.on_cleanup(state)

    def on_error(self, state: Any) -> TransitionCallbackReturn:
        self.active = False
        return self.on_cleanup(state)

    def _survive_invalid_transitions(self) -> None:
        """rclpy raises where the state machine knows no such transition now, and that would end the
        process.
        """
        (service,) = (some for some in self.services if some.srv_type is ChangeState)
        change = service.callback

        def answered(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            try:
                return change(request, response)
            except Exception as error:
                asked = request.transition.label or request.transition.id
                self.get_logger().warning(
                    one_line(f"transition {asked} is not possible now: {error}")
                )
                return ChangeState.Response(success=False)

        service.callback = answered

    def _step(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """What a transition raises is swallowed by rclpy, so it is said here."""
        try:
            action()
            return TransitionCallbackReturn.SUCCESS
        except ConureError as error:
            self.get_logger().error(one_line(f"refused to {what}: {error}"))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(one_line(f"failed to {what}: {type(error).__name__}: {error}"))
            return TransitionCallbackReturn.ERROR

    def _destroy_entities(self) -> None:
        while self._entities:
            destroy, entity = self._entities.pop()
            destroy(entity)


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def run_node(create: Callable[[], Node]) -> None:
    """Spin one node until it is told to end; the process's exit status is 0 then.

    It is 1 if the node refused to start, or if a callback raised: such a node holds, says so in one
    line and ends.
    """
    with ros_context(SignalHandlerOptions.NO):
        executor = SingleThreadedExecutor()
        # Work of any kind brings the executor back from its wait.
        with end_requests(lambda: executor.create_task(lambda: None)) as asked:
            node = created(create)
            executor.add_node(node)
            with announced(type(node).__name__, node.get_fully_qualified_name()):
                failure = _spin(executor, asked)
            _end(node, failure)
        executor.shutdown(timeout_sec=0.5)
    if failure is not None:
        sys.exit(1)


def _spin(executor: SingleThreadedExecutor, asked: threading.Event) -> Exception | None:
    """Until somebody asks for the end. What a callback raised, if that was the end."""
    try:
        while rclpy.ok() and not asked.is_set():
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        return error if rclpy.ok() else None
    return None


def _end(node: Node, failure: Exception | None) -> None:
    """First what matters to the arm, then what to say about it."""
    if isinstance(node, ManagedNode):
        node.end()
    elif hasattr(node, "release"):
        node.release()
    if failure is not None:
        traceback.print_exception(failure)
        node.get_logger().fatal(one_line(f"ended by {type(failure).__name__}: {failure}"))


def turn(executor: SingleThreadedExecutor) -> None:
    """Spin until the context ends. rclpy may notice that end in the midst of its work, as an error
    of any kind.
    """
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise


def created(create: Callable[[], Node]) -> Node:
    """The node, or an exit with one line that says why not."""
    try:
        return create()
    except ConureError as error:
        rclpy.logging.get_logger("conure").error(one_line(error))
        sys.exit(1)


@contextlib.contextmanager
def ros_context(signals: SignalHandlerOptions = SignalHandlerOptions.ALL) -> Iterator[None]:
    """Initialise rclpy for the duration; its own handlers turn SIGINT and SIGTERM into an orderly
    end.

    Every node comes through here, under whichever starter, and ends with it.
    At SIGUSR1 the process says on stderr where each of its threads is, even in a deadlock.
    """
    tie_to_starter()
    faulthandler.register(signal.SIGUSR1, file=2)
    rclpy.init(signal_handler_options=signals)
    try:
        yield
    finally:
        rclpy.try_shutdown()
