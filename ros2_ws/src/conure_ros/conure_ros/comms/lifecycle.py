"""How every node runs: its lifecycle, its process, its end."""

import contextlib
import faulthandler
import inspect
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from conure_core.errors import ConureError, without_passwords
from conure_ros.comms.domains import announce_node
from conure_ros.comms.ending import end_requests, tie_to_launcher
from conure_ros.comms.graph_identity import GRAPH_PARAMETER, own_graph_id
from conure_ros.comms.qos import overridable
from conure_ros.comms.service_names import OLD_NAMES, under_old_name


class ActivePublisher:
    """A publisher that exists only while it is open; otherwise `publish` does nothing.

    A node that is not active, such as one of a second graph on the same ROS domain, is then no
    publisher of this arm's topics. Any thread may publish.
    """

    def __init__(self, node: Node, kind: Any, topic: str, quality: Any) -> None:
        self._node, self._kind, self._given, self._quality = node, kind, topic, quality
        self._lock = threading.Lock()
        self._publisher: Any = None

    @property
    def held(self) -> bool:
        """Whether it is open."""
        with self._lock:
            return self._publisher is not None

    def open(self) -> None:
        """Create the publisher, with the overrides of its quality that the user gave."""
        with self._lock:
            if self._publisher is None:
                self._publisher = self._node.create_publisher(
                    self._kind, self._given, **overridable(self._quality)
                )

    @property
    def is_read(self) -> bool:
        """Whether it is open and somebody subscribes."""
        with self._lock:
            return self._publisher is not None and self._publisher.get_subscription_count() > 0

    def publish(self, message: Any) -> None:
        with self._lock:
            if self._publisher is not None:
                self._publisher.publish(message)

    def release(self) -> None:
        """Destroy the publisher."""
        with self._lock:
            if self._publisher is not None:
                self._node.destroy_publisher(self._publisher)
                self._publisher = None


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions are plain methods. A ConureError is a refusal, logged as
    one line.

    `configure` loads, checks and subscribes; `activate` arms; `deactivate` holds; `release` frees
    all resources.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.created_s, self.active = time.monotonic(), False
        self._entities: list[tuple[Callable[[Any], Any], Any]] = []
        self._when_active: list[ActivePublisher] = []
        about = "the graph that the node was started for; managers of other graphs ignore it"
        self.declare_parameter(
            GRAPH_PARAMETER, own_graph_id(), ParameterDescriptor(description=about, read_only=True)
        )
        self._refuse_invalid_transitions()

    @property
    def is_configured(self) -> bool:
        """Whether it was configured, and not cleaned up since."""
        state: int = self._state_machine.current_state[0]
        return state != State.PRIMARY_STATE_UNCONFIGURED

    def configure(self) -> None: ...
    def activate(self) -> None: ...
    def deactivate(self) -> None: ...
    def release(self) -> None: ...

    def end(self) -> None:
        """Clean up before the process ends: hold, and free all resources."""
        if self.active:
            self._step("deactivate", self.deactivate)
            self.active = False
        self._step("clean up", self.release)

    def destroy_at_cleanup(self, destroy: Callable[[Any], Any], entity: Any) -> Any:
        """Register an entity to be destroyed when the node is cleaned up.

        Args:
            destroy: The node's method that destroys it, such as `destroy_publisher`.
            entity: Publisher, subscription, service, client or timer.

        Returns:
            The entity.
        """
        self._entities.append((destroy, entity))
        return entity

    def publisher_while_active(self, kind: Any, topic: str, quality: Any) -> ActivePublisher:
        """Create a publisher that is open while the node is active, until the node is cleaned up.

        Args:
            kind: Type of the messages.
            topic: Name of the topic.
            quality: Quality of service where the user overrides nothing.
        """
        publisher = ActivePublisher(self, kind, topic, quality)
        self._when_active.append(publisher)
        return publisher

    def offer(self, kind: Any, name: str, answer: Callable[[Any, Any], Any]) -> None:
        """Create a service, until the node is cleaned up; where it was renamed, its old name too.

        Args:
            kind: Type of the service.
            name: Its name; `~/` stands for the node's own.
            answer: Function of request and response. A coroutine function may await something
                before it answers, and blocks no other callback; an answer that comes after the
                node was cleaned up is dropped.
        """
        self._create_service(kind, name, answer)
        if name in OLD_NAMES:
            self._create_service(kind, OLD_NAMES[name], under_old_name(self, name, answer))

    def _create_service(self, kind: Any, name: str, answer: Callable[[Any, Any], Any]) -> None:
        late = inspect.iscoroutinefunction(answer)
        group = ReentrantCallbackGroup() if late else None
        service = self.create_service(kind, name, answer, callback_group=group)
        if late:
            send = service.send_response

            def send_if_there(response: Any, header: Any) -> None:
                with contextlib.suppress(InvalidHandle):
                    send(response, header)

            service.send_response = send_if_there
        self.destroy_at_cleanup(self.destroy_service, service)

    def steady_timer(self, period_s: float, callback: Callable[[], None]) -> Any:
        """Create a timer on the steady clock: it neither stalls nor jumps with wall or simulated
        time.

        Args:
            period_s: Time between calls, s.
            callback: Called on the executor's thread. Destroyed with the node's other entities.
        """
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        return self.destroy_at_cleanup(
            self.destroy_timer, self.create_timer(period_s, callback, clock=clock)
        )

    def now_ns(self) -> int:
        """The present time on the clock of the stamps, ns."""
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
        if self.active:
            for publisher in self._when_active:
                publisher.open()
        return result

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        result = self._step("deactivate", self.deactivate)
        self.active = False
        self._close_publishers()
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

    def _refuse_invalid_transitions(self) -> None:
        """rclpy raises if the state machine does not know the transition now, which would end the
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
        """Run one transition. rclpy swallows exceptions raised in transitions, so they are logged
        here.
        """
        try:
            action()
            return TransitionCallbackReturn.SUCCESS
        except ConureError as error:
            self.get_logger().error(one_line(f"refused to {what}: {error}"))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(one_line(f"failed to {what}: {type(error).__name__}: {error}"))
            return TransitionCallbackReturn.ERROR

    def _close_publishers(self) -> None:
        for publisher in self._when_active:
            publisher.release()

    def _destroy_entities(self) -> None:
        self._close_publishers()
        self._when_active.clear()
        while self._entities:
            destroy, entity = self._entities.pop()
            destroy(entity)


def one_line(text: object) -> str:
    """A text for log and diagnostics: without line breaks, without passwords."""
    return without_passwords(" ".join(str(text).split()))


def run_node(create: Callable[[], Node]) -> None:
    """Spin one node until it is asked to end; the exit status is 0 then.

    It is 1 if the node refused to start, or if a callback raised: such a node holds, logs one line
    and ends.
    """
    with ros_context(SignalHandlerOptions.NO):
        executor = SingleThreadedExecutor()
        # Any work wakes the executor.
        with end_requests(lambda: executor.create_task(lambda: None)) as asked:
            node = create_or_exit(create)
            executor.add_node(node)
            with announce_node(type(node).__name__, node.get_fully_qualified_name()):
                failure = _spin(executor, asked)
            _end(node, failure)
        executor.shutdown(timeout_sec=0.5)
    if failure is not None:
        sys.exit(1)


def _spin(executor: SingleThreadedExecutor, asked: threading.Event) -> Exception | None:
    """Spin until the end is requested. Returns the exception of a callback, if that ended it."""
    try:
        while rclpy.ok() and not asked.is_set():
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        return error if rclpy.ok() else None
    return None


def _end(node: Node, failure: Exception | None) -> None:
    """Handle the arm first, then log the failure."""
    if isinstance(node, ManagedNode):
        node.end()
    elif hasattr(node, "release"):
        node.release()
    if failure is not None:
        traceback.print_exception(failure)
        node.get_logger().fatal(one_line(f"ended by {type(failure).__name__}: {failure}"))


def spin_until_shutdown(executor: SingleThreadedExecutor) -> None:
    """Spin until the context ends."""
    with until_shutdown():
        executor.spin()


@contextlib.contextmanager
def until_shutdown() -> Iterator[None]:
    """Work that the end of the context ends without an error.

    rclpy may notice that end during a call, as an error of any kind.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise


def create_or_exit(create: Callable[[], Node]) -> Node:
    """The node, or an exit with one line that names the reason; with none at an interrupt."""
    try:
        return create()
    except ConureError as error:
        rclpy.logging.get_logger("conure").error(one_line(error))
        sys.exit(1)
    except Exception:
        # An interrupt ends the context, and the middleware calls that an error of any kind.
        if rclpy.ok():
            raise
        sys.exit(0)


def shut_down(context: rclpy.Context | None = None) -> None:
    """End the context, by default rclpy's own, unless it has ended.

    An interrupt may end it at any moment, and rclpy raises if that is between its look and its
    call.
    """
    try:
        rclpy.try_shutdown(context=context)
    except RuntimeError:
        if rclpy.ok(context=context):
            raise


@contextlib.contextmanager
def ros_context(signals: SignalHandlerOptions = SignalHandlerOptions.ALL) -> Iterator[None]:
    """Initialise rclpy for this context; its own handlers turn SIGINT and SIGTERM into an orderly
    end.

    Every node uses it, under any launcher, and ends with that launcher. At SIGUSR1 the process
    prints the stack of each thread on stderr, even in a deadlock.
    """
    tie_to_launcher()
    faulthandler.register(signal.SIGUSR1, file=2)
    try:
        rclpy.init(signal_handler_options=signals)
    except RuntimeError as error:  # such as a folder for logs that cannot be written
        sys.exit(one_line(f"ROS cannot start: {error}; can ROS_LOG_DIR be written?"))
    try:
        yield
    finally:
        shut_down()
