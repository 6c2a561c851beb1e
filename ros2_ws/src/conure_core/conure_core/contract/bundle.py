"""A policy in a folder: two graphs, the contract, golden outputs. What does not fit is refused by
name when loaded.

    policy.onnx   image, proprio, noise  -> action, z, log_likelihood
    inverse.onnx  image, proprio, action -> z, log_likelihood
    golden.npz    recorded inputs and outputs of both, replayed at every load
    spec.json     the contract, where the policy comes from, sizes and SHA-256 of the other files

A policy with a memory also takes `memory`, zeros at an episode's start and then what the last tick
gave as `next_memory`. A policy without a prior gives no z and no log_likelihood, and has no
inverse.onnx.

numpy and ONNX Runtime only: this is what runs beside the arm.
`conure_training.export.bundle_writer` writes bundles.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conure_core.contract.bundle_files import (
    AGAIN,
    GOLDEN,
    INVERSE,
    POLICY,
    SPEC,
    read_arrays,
    read_file,
)
from conure_core.contract.bundle_spec import BundleSpec, FileDigest
from conure_core.contract.onnx_session import (
    Signature,
    check_graph,
    open_session,
    run_in_time,
)
from conure_core.contract.spec import Contract, FieldSpec, require_match
from conure_core.errors import BundleError, SpecMismatch, UnsafeCommand
from conure_core.runtime.atomic_files import last_whole

FloatArray = NDArray[np.float32]

LONGEST_REASON = 300
ACTION_TOLERANCE = 1e-5
LOG_LIKELIHOOD_TOLERANCE = 1e-4
"""Nats, times the log-likelihood's magnitude where that is above 1."""
INVERSE_Z_TOLERANCE = 1e-3
"""Times z's magnitude where that is above 1: inverting a precise prior multiplies rounding by 1 /
sigma.
"""


@dataclass(frozen=True)
class PolicyOutput:
    """One tick: action (A,) in [-1, 1], z (A,), the prior's log p(action | observation), nats, and
    the memory for the next tick, (M,).

    The log-likelihood is the density at the flow's own action, which may lie up to 0.05 outside the
    box before it is clipped to `action`. Without a prior z is empty and the log-likelihood NaN.
    """

    action: FloatArray
    z: FloatArray
    log_likelihood: float
    memory: FloatArray


class Bundle:
    """A loaded policy. One thread, one observation at a time; both methods are pure functions of
    their arguments, so that whoever acts keeps the memory.

    >>> expected = load_robot("wx250s").contract(image_size_px=48)
    >>> bundle = load_bundle("out/demo/bundle", expected)
    >>> output = bundle.act({"image": image, "proprio": proprio})
    >>> z, log_likelihood = bundle.invert({"image": image, "proprio": proprio}, output.action)
    """

    def __init__(
        self,
        spec: BundleSpec,
        content: Mapping[str, bytes],
        spec_sha256: str,
    ) -> None:
        """Load the graphs from the content of the files.

        Args:
            spec: What spec.json says.
            content: The bytes of `policy.onnx` and `inverse.onnx`, by name.
            spec_sha256: SHA-256 of the text of spec.json, in hexadecimal.

        Raises:
            BundleError: A graph cannot be loaded, or lacks the contract's shapes and types.
        """
        self.spec = spec
        self.hash = spec_sha256
        """SHA-256 of spec.json, which holds the others': one name for exactly these weights and
        this contract.
        """
        observation = spec.contract.observation
        action = spec.contract.action.values
        if observation.history != 1:
            raise BundleError(
                f"{SPEC}: contract.observation.history is {observation.history}; bundles hold 1"
                " tick"
            )
        self._observed = {"image": observation.image, "proprio": observation.proprio}
        self._zeros = np.zeros(action.shape, dtype=np.float32)
        self._empty_memory = np.zeros(spec.memory_size, dtype=np.float32)
        inputs = {name: (field.dtype, field.shape) for name, field in self._observed.items()}
        vector = ("float32", action.shape)
        self._judged: Signature = {"z": vector, "log_likelihood": ("float32", ())}
        of_memory = ("float32", (spec.memory_size,))
        given: Signature = {"noise": vector}
        outputs: Signature = {"action": vector}
        if spec.has_prior:
            outputs |= self._judged
        if spec.memory_size:
            given["memory"] = of_memory
            outputs["next_memory"] = of_memory
        self._declared = outputs
        self._policy = open_session(content[POLICY], POLICY)
        check_graph(self._policy, POLICY, inputs={**inputs, **given}, outputs=outputs)
        if spec.has_prior:
            self._inverse = open_session(content[INVERSE], INVERSE)
            check_graph(
                self._inverse, INVERSE, inputs={**inputs, "action": vector}, outputs=self._judged
            )

    def act(
        self,
        observation: Mapping[str, Any],
        noise: ArrayLike | None = None,
        memory: ArrayLike | None = None,
    ) -> PolicyOutput:
        """Run the policy on one observation.

        Args:
            observation: `image`, uint8 (H, W, 3), sRGB, and `proprio`, float32 (P,); other entries
                are ignored.
            noise: Sample of N(0, I), shape (A,); None: zeros, which give the policy's mean z.
            memory: Of the last tick's output, shape (M,); None: an episode begins.

        Returns:
            Action, z, log-likelihood and memory; the arrays are read-only.

        Raises:
            SpecMismatch: An entry is missing, or has another shape or type than the contract says.
            UnsafeCommand: An input or an output is not finite, or the graph fails or gives outputs
                of another shape for this observation.
        """
        feed = self._feed(observation)
        feed["noise"] = _vector("noise", self._zeros if noise is None else noise, self._zeros)[None]
        before = self._empty_memory if memory is None else memory
        if self.spec.memory_size:
            feed["memory"] = _vector("memory", before, self._empty_memory)[None]
        outputs = _run(self._policy, POLICY, self._declared, feed)
        return PolicyOutput(
            action=_read_only(outputs["action"]),
            z=_read_only(outputs.get("z", np.zeros(0, np.float32))),
            log_likelihood=float(outputs.get("log_likelihood", np.nan)),
            memory=_read_only(outputs.get("next_memory", np.zeros(0, np.float32))),
        )

    def invert(self, observation: Mapping[str, Any], action: ArrayLike) -> tuple[FloatArray, float]:
        """Find the z with which the prior gives an action.

        Args:
            observation: As for `act`.
            action: Normalized action, shape (A,); clipped to [-1, 1], as the controller does before
                it executes one.

        Returns:
            z, float32 (A,), read-only, and the action's log-likelihood, nats.

        Raises:
            BundleError: The bundle has no prior.
            SpecMismatch: An entry is missing, or has another shape or type than the contract says.
            UnsafeCommand: As for `act`.
        """
        if not self.spec.has_prior:
            raise BundleError(
                f"bundle {self.spec.name} has no prior, so that no action has a z; export a policy"
                " in z, or one on a prior's features"
            )
        feed = self._feed(observation)
        vector = _vector("action", action, self._zeros)
        feed["action"] = np.clip(vector, -1.0, 1.0)[None]
        judged = _run(self._inverse, INVERSE, self._judged, feed)
        return _read_only(judged["z"]), float(judged["log_likelihood"])

    def act_batch(
        self,
        image: Any,
        proprio: Any,
        noise: Any,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run a policy with a prior and no memory on B observations at once, without checks: for
        evaluation.

        Args:
            image: uint8, shape (B, H, W, 3), sRGB.
            proprio: float32, shape (B, P).
            noise: float32, shape (B, A), samples of N(0, I); zeros give the policy's mean z.

        Returns:
            Action (B, A) in [-1, 1], z (B, A) and log-likelihood (B,), nats; all float32.
        """
        feed = {"image": image, "proprio": proprio, "noise": noise}
        action, z, log_likelihood = self._policy.run(list(self._declared), feed)
        return action, z, log_likelihood

    def invert_batch(
        self,
        image: Any,
        proprio: Any,
        action: Any,
    ) -> tuple[FloatArray, FloatArray]:
        """Find z for B actions at once, without checks: for evaluation.

        Args:
            image: uint8, shape (B, H, W, 3), sRGB.
            proprio: float32, shape (B, P).
            action: float32, shape (B, A), in [-1, 1]; not clipped here.

        Returns:
            z (B, A) and log-likelihood (B,), nats; both float32.
        """
        feed = {"image": image, "proprio": proprio, "action": action}
        z, log_likelihood = self._inverse.run(_INVERSE_OUTPUTS, feed)
        return z, log_likelihood

    def _feed(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        feed = {}
        for name, field in self._observed.items():
            feed[name] = _checked(observation, name, field)[None]
        return feed


def _run(
    session: Any, name: str, declared: Signature, feed: Mapping[str, Any]
) -> dict[str, FloatArray]:
    """Run a graph on one observation. What it declares binds nobody: golden inputs may give these
    shapes, and others not.

    Raises: UnsafeCommand.
    """
    try:
        found = run_in_time(session, list(declared), feed)
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise UnsafeCommand(f"{name} failed: {reason}; holding position") from error
    for (output, (_, shape)), array in zip(declared.items(), found, strict=True):
        if array.shape != (1, *shape):
            raise UnsafeCommand(
                f"{name} gave {output} of shape {array.shape}, not {(1, *shape)}; holding position"
            )
        if not np.isfinite(array).all():
            raise UnsafeCommand(f"{name} gave {output} {array[0]}: not finite; holding position")
    return {output: array[0] for output, array in zip(declared, found, strict=True)}


def load_bundle(path: str | Path, expected: Contract | None = None) -> Bundle:
    """Load and check the bundle in a folder: files whole, graphs as the contract says, golden
    outputs reproduced.

    Args:
        path: The folder that `conure export` wrote.
        expected: The contract of the robot or the environment that the policy is for; None: any
            contract will do.

    Returns:
        The bundle, ready to act.

    Raises:
        BundleError: A file is missing, altered, or does what it should not; names it.
        SpecMismatch: The contract differs from `expected`; names every field.
    """
    folder = last_whole(Path(path))
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}; 'conure export' writes one")
    try:
        text = read_file(folder, SPEC)
        spec = BundleSpec.from_json(text)
        if expected is not None:
            require_match(expected, spec.contract, "the bundle")
        content = {name: _verified(folder, name, spec) for name in spec.file_names}
        bundle = Bundle(spec, content, hashlib.sha256(text).hexdigest())
        _replay(bundle, _golden(content[GOLDEN], spec))
    except (BundleError, SpecMismatch) as error:
        raise type(error)(f"{folder}: {error}") from error
    except UnsafeCommand as error:
        raise BundleError(f"{folder}: {GOLDEN}: {error}; export the bundle again") from error
    return bundle


def _verified(folder: Path, name: str, spec: BundleSpec) -> bytes:
    content = read_file(folder, name)
    if name not in spec.files:
        raise BundleError(f"{SPEC} lists no digest of {name}; export the bundle again")
    wanted = spec.files[name]
    if len(content) != wanted.size_bytes:
        raise BundleError(
            f"{name} has {len(content)} bytes instead of {wanted.size_bytes}; {AGAIN}"
        )
    if FileDigest.of(content) != wanted:
        raise BundleError(f"{name} was altered since it was written (SHA-256); {AGAIN}")
    return content


_INVERSE_OUTPUTS = ["z", "log_likelihood"]
_TOLERANCES = {  # and whether it is relative where the value is above 1
    "action": (ACTION_TOLERANCE, False),
    "z": (ACTION_TOLERANCE, True),
    "log_likelihood": (LOG_LIKELIHOOD_TOLERANCE, True),
    "memory": (ACTION_TOLERANCE, True),
    "inverse_z": (INVERSE_Z_TOLERANCE, True),
    "inverse_log_likelihood": (LOG_LIKELIHOOD_TOLERANCE, True),
}


def _golden(content: bytes, spec: BundleSpec) -> dict[str, NDArray[Any]]:
    """The recorded arrays, with the spec's shapes and types, none of them empty or NaN."""
    image = spec.contract.observation.image
    proprio = spec.contract.observation.proprio
    vector = ("float32", spec.contract.action.values.shape)
    number: tuple[str, tuple[int, ...]] = ("float32", ())
    wanted: Signature = {
        "image": (image.dtype, image.shape),
        "proprio": (proprio.dtype, proprio.shape),
        "noise": vector,
        "action": vector,
    }
    if spec.has_prior:
        wanted |= {"z": vector, "inverse_z": vector}
        wanted |= {"log_likelihood": number, "inverse_log_likelihood": number}
    if spec.memory_size:
        wanted["memory"] = ("float32", (spec.memory_size,))
    golden = read_arrays(content, GOLDEN, wanted)
    for name, array in golden.items():
        if not np.isfinite(array).all():
            raise BundleError(f"{GOLDEN}: {name} is not finite; export the bundle again")
    return golden


def replayed(bundle: Bundle, golden: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run the bundle on golden inputs, tick by tick, as the robot will run it.

    Golden outputs are the graphs' own and not torch's: where a prior decides sharply, rounding
    alone can move an action by more than a replay may.

    Args:
        bundle: The loaded bundle.
        golden: Inputs of n ticks of one episode by name: `image` (n, H, W, 3), `proprio` (n, P),
            `noise` (n, A); with `action` (n, A) the inverse is that of these actions, without it of
            the bundle's own.

    Returns:
        float32 arrays by name: `action`, and with a prior `z`, `inverse_z` (n, A),
        `log_likelihood` and `inverse_log_likelihood` (n,), nats; with a memory `memory` (n, M).
    """
    rows: list[dict[str, Any]] = []
    memory: FloatArray | None = None
    for tick in range(len(golden["noise"])):
        now = {name: golden[name][tick] for name in ("image", "proprio")}
        output = bundle.act(now, golden["noise"][tick], memory)
        row: dict[str, Any] = {"action": output.action}
        if bundle.spec.memory_size:
            memory = row["memory"] = output.memory
        if bundle.spec.has_prior:
            action = golden["action"][tick] if "action" in golden else output.action
            z, log_likelihood = bundle.invert(now, action)
            row |= {"z": output.z, "log_likelihood": output.log_likelihood}
            row |= {"inverse_z": z, "inverse_log_likelihood": log_likelihood}
        rows.append(row)
    replay = {}
    for name in rows[0]:
        replay[name] = np.array([row[name] for row in rows], dtype=np.float32)
    return replay


def _replay(bundle: Bundle, golden: Mapping[str, NDArray[Any]]) -> None:
    """Raises: BundleError naming the golden output that comes out differently."""
    for name, values in replayed(bundle, golden).items():
        tolerance, relative = _TOLERANCES[name]
        wanted = golden[name]
        scale = np.maximum(1.0, np.abs(wanted)) if relative else 1.0
        errors = np.abs(values - wanted) / scale
        errors = errors.reshape(len(values), -1).max(axis=1)
        tick = int(errors.argmax())
        if not errors[tick] <= tolerance:
            raise BundleError(
                f"{GOLDEN}: {name} of observation {tick} comes out {errors[tick]:.2g} off on this"
                f" machine, more than {tolerance:g}; export the bundle again, and check the version"
                " of ONNX Runtime"
            )


def _checked(
    observation: Mapping[str, Any],
    name: str,
    field: FieldSpec,
) -> NDArray[Any]:
    if name not in observation:
        raise SpecMismatch(f"the observation has no '{name}'; it has {sorted(observation)}")
    value = np.asarray(observation[name])
    if value.shape != field.shape or value.dtype != field.dtype:
        raise SpecMismatch(
            f"observation.{name}: expected {field.dtype} {field.shape}, got {value.dtype}"
            f" {value.shape}"
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise UnsafeCommand(f"observation.{name} is not finite: {value}; holding position")
    return value


def _vector(name: str, values: ArrayLike, like: FloatArray) -> FloatArray:
    """Values of the shape of `like`, float32. Raises: SpecMismatch, UnsafeCommand."""
    vector = np.asarray(values, dtype=np.float32)
    if vector.shape != like.shape:
        raise SpecMismatch(f"{name}: expected shape {like.shape}, got {vector.shape}")
    if not np.isfinite(vector).all():
        raise UnsafeCommand(f"{name} {vector} is not finite; holding position")
    return vector


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
