"""Graphs as ONNX Runtime runs them beside the arm, checked against what is expected of them."""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnxruntime

from conure_core.contract.external_data import require_own_weights
from conure_core.errors import BundleError

LONGEST_RUN_S = 10.0
"""How long a graph may compute for one observation, s: one with a loop may do so for ever."""
Signature = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape, without the batch, of inputs or outputs by name."""
_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def open_session(content: bytes, name: str) -> Any:
    """Load a graph: one thread that does not spin, for the other cores belong to the camera, the
    controller and the simulation.

    Args:
        content: The bytes of the file.
        name: The file's name, for messages.

    Returns:
        The session.

    Raises:
        BundleError: It cannot be loaded, or takes weights from elsewhere.
    """
    require_own_weights(content, name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what fails is raised, and logged once
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not its own format, which was not searched for weights elsewhere.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BundleError(
            f"{name}: ONNX Runtime {onnxruntime.__version__} cannot load it: {reason}"
        ) from error


class _Watchdog:
    """Ends runs that take longer than LONGEST_RUN_S, on one thread that the first run starts.

    A timer a run would be a thread a run, whose start a busy computer delays.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due_s: dict[Any, float] = {}
        self._wakes_s = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, options: Any) -> Iterator[None]:
        """End the run with these options if the context lasts too long."""
        due_s = time.monotonic() + LONGEST_RUN_S
        with self._changed:
            self._due_s[options] = due_s
            if self._thread is None or not self._thread.is_alive():  # a fork leaves none
                self._thread = threading.Thread(target=self._end_late, name="ONNX", daemon=True)
                self._thread.start()
            elif due_s < self._wakes_s:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due_s.pop(options, None)

    def _end_late(self) -> None:
        with self._changed:
            while True:
                now_s = time.monotonic()
                for options in [one for one, due_s in self._due_s.items() if due_s <= now_s]:
                    options.terminate = True
                    del self._due_s[options]
                self._wakes_s = min(self._due_s.values(), default=math.inf)
                self._changed.wait(self._wakes_s - now_s if self._due_s else None)


_WATCHDOG = _Watchdog()


def run_in_time(session: Any, outputs: list[str], feed: Mapping[str, Any]) -> list[Any]:
    """Run a graph, for LONGEST_RUN_S at most.

    Args:
        session: The graph.
        outputs: Names of the outputs that are wanted.
        feed: Inputs by name.

    Returns:
        One array for each output.

    Raises:
        TimeoutError: It took too long and was ended, between two of its nodes.
        Exception: Of ONNX Runtime's own kinds, none of them documented.
    """
    options = onnxruntime.RunOptions()
    try:
        with _WATCHDOG.watch(options):
            return list(session.run(outputs, feed, options))
    except Exception as error:
        if options.terminate:
            raise TimeoutError(f"no answer within {LONGEST_RUN_S:g} s") from error
        raise


def check_graph(
    session: Any,
    name: str,
    inputs: Signature,
    outputs: Signature,
) -> None:
    """Refuse a graph with other inputs or outputs.

    Args:
        session: The graph.
        name: The file's name, for messages.
        inputs: What it must take.
        outputs: What it must give.

    Raises:
        BundleError: Names the input or output.
    """
    for kind, nodes, wanted in (
        ("input", session.get_inputs(), inputs),
        ("output", session.get_outputs(), outputs),
    ):
        found = {node.name: (_TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
        if found.keys() != wanted.keys():
            raise BundleError(
                f"{name}: expected the {kind}s {sorted(wanted)}, got {sorted(found)}; export again"
            )
        for key, (dtype, shape) in wanted.items():
            found_dtype, found_shape = found[key]
            fits = len(found_shape) == 1 + len(shape) and found_shape[1:] == shape
            if found_dtype != dtype or not fits:
                want = f"{dtype} (batch, {', '.join(map(str, shape))})"
                raise BundleError(
                    f"{name}: {kind} '{key}' should be {want}, is {found[key]}; export again"
                )
