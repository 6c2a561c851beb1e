"""A policy in a folder: two graphs, the contract, golden outputs. What does not fit is refused by
name when loaded.

    policy.onnx   image, proprio, noise  -> action, z, log_likelihood
    inverse.onnx  image, proprio, action -> z, log_likelihood
    golden.npz    recorded inputs and outputs of both, replayed at every load
    spec.json     the contract, where the policy comes from, sizes and SHA-256 of the other files

numpy and ONNX Runtime only: this is what runs beside the arm.
`conure_training.export.bundle_writer` writes bundles.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from conure_core.config.yaml_fields import checked_fields
from conure_core.contract.bundle_files import (
    AGAIN,
    GOLDEN,
    INVERSE,
    POLICY,
    SPEC,
    parse_json,
    read_arrays,
    read_file,
)
from conure_core.contract.external_data import require_own_weights
from conure_core.contract.spec import Contract, FieldSpec, require_match
from conure_core.errors import BundleError, ConfigError, SpecMismatch, UnsafeCommand
from conure_core.runtime.atomic_files import last_whole

FloatArray = NDArray[np.float32]

FORMAT_VERSION = 1
LARGEST_THRESHOLD_NATS = 1e6
LONGEST_REASON = 300
ACTION_TOLERANCE = 1e-5
LOG_LIKELIHOOD_TOLERANCE = 1e-4
"""Nats, times the log-likelihood's magnitude where that is above 1."""
INVERSE_Z_TOLERANCE = 1e-3
"""Times z's magnitude where that is above 1: inverting a precise prior multiplies rounding by 1 /
sigma.
"""


@dataclass(frozen=True)
class FileDigest:
    """Size and SHA-256 of one file of a bundle."""

    size_bytes: int
    sha256: str

    @staticmethod
    def of(content: bytes) -> "FileDigest":
        """Compute the digest of a file's content."""
        return FileDigest(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class BundleSpec:
    """The content of spec.json.

    `log_likelihood_thresholds` (nats, by name) is empty until calibrated on held-out data.

    Raises:
        BundleError: A threshold is not a finite number, or quantiles (p01, p05, ...) do not rise.
    """

    contract: Contract
    name: str
    git_commit: str
    exported_at: str
    training: Mapping[str, Any]
    log_likelihood_thresholds: Mapping[str, float]
    files: Mapping[str, FileDigest]
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        require_thresholds(self.log_likelihood_thresholds)

    def to_json(self) -> str:
        """The text of spec.json, full precision, with a checksum over everything else in it."""
        data: dict[str, Any] = {
            "format_version": self.format_version,
            "name": self.name,
            "git_commit": self.git_commit,
            "exported_at": self.exported_at,
            "contract": self.contract.to_dict(),
            "training": dict(self.training),
            "log_likelihood_thresholds": dict(self.log_likelihood_thresholds),
            "files": {name: vars(digest) for name, digest in self.files.items()},
        }
        try:
            checked = {**data, "checksum": _checksum(data)}
            return json.dumps(checked, indent=2, allow_nan=False) + "\n"
        except ValueError as error:
            raise BundleError(f"{SPEC} cannot be written ({error}); pass finite numbers") from error

    @staticmethod
    def from_json(text: str | bytes) -> "BundleSpec":
        """Read the text of spec.json; inverse of `to_json`.

        Raises:
            BundleError: The text is not a whole, unaltered spec of this format version.
            SpecMismatch: The contract in it cannot be read.
        """
        try:
            data = parse_json(text, SPEC)
            version = data["format_version"]
        except (TypeError, KeyError) as error:
            raise BundleError(f"{SPEC} cannot be read ({error}); {AGAIN}") from error
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{SPEC}: format_version is {version}, and this Conure reads {FORMAT_VERSION}; "
                "export again with this version, or install the one that wrote it"
            )
        checksum = data.pop("checksum", None)
        if checksum != _checksum(data):
            raise BundleError(f"{SPEC} was altered since it was written (checksum); {AGAIN}")
        try:
            keys = ("contract", "training", "log_likelihood_thresholds", "files")
            mappings = {key: data.pop(key) for key in keys}
            for key, value in mappings.items():
                if not isinstance(value, dict):
                    raise BundleError(
                        f"{SPEC}: {key} must hold names and values; export the bundle again"
                    )
            digests = mappings["files"].items()
            files = {name: _digest(digest, name) for name, digest in digests}
            return BundleSpec(
                contract=Contract.from_dict(mappings["contract"]),
                training=MappingProxyType(mappings["training"]),
                log_likelihood_thresholds=MappingProxyType(mappings["log_likelihood_thresholds"]),
                files=MappingProxyType(files),
                **_texts(data),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{SPEC} lacks or adds a field ({error}); export the bundle again"
            ) from error


def require_thresholds(thresholds: Mapping[str, Any]) -> None:
    """Refuse thresholds of log-likelihoods, nats by name, that say nothing.

    With one that is no number the monitor would pass everything, silently.

    Raises:
        BundleError: One is not a finite number, or two quantiles are in the wrong order; names it.
    """
    for name, value in thresholds.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not name or not number or not abs(value) <= LARGEST_THRESHOLD_NATS:
            raise BundleError(
                f"{SPEC}: log_likelihood_thresholds.{name[:100]} must be a finite number of nats,"
                f" within +-{LARGEST_THRESHOLD_NATS:g}, got {str(value)[:100]}; train the prior"
                " again, or export without metrics"
            )
    quantiles = [name for name in thresholds if re.fullmatch(r"p[0-9]{1,3}", name)]
    quantiles.sort(key=lambda name: (int(name[1:]), name))
    for lower, upper in itertools.pairwise(quantiles):
        if thresholds[lower] > thresholds[upper]:
            raise BundleError(
                f"{SPEC}: log_likelihood_thresholds.{lower} ({thresholds[lower]:g} nats) must not"
                f" be above {upper} ({thresholds[upper]:g} nats): they are quantiles; export the"
                " bundle again"
            )


def _digest(data: Any, name: str) -> FileDigest:
    try:
        return checked_fields(data, FileDigest, f"{SPEC}: files.{name}", Path())
    except ConfigError as error:
        raise BundleError(f"{error}; export the bundle again") from error


def _texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are left, all texts but the version."""
    for key, value in data.items():
        if key != "format_version" and not isinstance(value, str):
            raise BundleError(
                f"{SPEC}: {key[:100]} must be a text, got {type(value).__name__}; export the bundle"
                " again"
            )
    return dict(data)


@dataclass(frozen=True)
class PolicyOutput:
    """One tick: action (A,) in [-1, 1], z (A,), and the prior's log p(action | observation), nats.

    The log-likelihood is the density at the flow's own action, which may lie up to 0.05 outside the
    box before it is clipped to `action`.
    """

    action: FloatArray
    z: FloatArray
    log_likelihood: float


class Bundle:
    """A loaded policy. One thread, one observation at a time; both methods are pure functions of
    their arguments.

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
        inputs = {name: (field.dtype, field.shape) for name, field in self._observed.items()}
        vector = ("float32", action.shape)
        likelihood: _Signature = {"log_likelihood": ("float32", ())}
        self._policy = _session(content[POLICY], POLICY)
        self._inverse = _session(content[INVERSE], INVERSE)
        _check_graph(
            self._policy,
            POLICY,
            inputs={**inputs, "noise": vector},
            outputs={"action": vector, "z": vector, **likelihood},
        )
        _check_graph(
            self._inverse,
            INVERSE,
            inputs={**inputs, "action": vector},
            outputs={"z": vector, **likelihood},
        )

    def act(self, observation: Mapping[str, Any], noise: ArrayLike | None = None) -> PolicyOutput:
        """Run the policy on one observation.

        Args:
            observation: `image`, uint8 (H, W, 3), sRGB, and `proprio`, float32 (P,); other entries
                are ignored.
            noise: Sample of N(0, I), shape (A,); None: zeros, which give the policy's mean z.

        Returns:
            Action, z and log-likelihood; the arrays are read-only.

        Raises:
            SpecMismatch: An entry is missing, or has another shape or type than the contract says.
            UnsafeCommand: An input or an output is not finite, or the graph fails or gives outputs
                of another shape for this observation.
        """
        feed = self._feed(observation)
        given = self._zeros if noise is None else noise
        feed["noise"] = self._vector("noise", given)[None]
        action, z, log_likelihood = self._outputs(self._policy, POLICY, _POLICY_OUTPUTS, feed)
        return PolicyOutput(_read_only(action), _read_only(z), float(log_likelihood))

    def invert(self, observation: Mapping[str, Any], action: ArrayLike) -> tuple[FloatArray, float]:
        """Find the z with which the prior gives an action.

        Args:
            observation: As for `act`.
            action: Normalized action, shape (A,); clipped to [-1, 1], as the controller does before
                it executes one.

        Returns:
            z, float32 (A,), read-only, and the action's log-likelihood, nats.

        Raises:
            SpecMismatch: An entry is missing, or has another shape or type than the contract says.
            UnsafeCommand: As for `act`.
        """
        feed = self._feed(observation)
        vector = self._vector("action", action)
        feed["action"] = np.clip(vector, -1.0, 1.0)[None]
        z, log_likelihood = self._outputs(self._inverse, INVERSE, _INVERSE_OUTPUTS, feed)
        return _read_only(z), float(log_likelihood)

    def act_batch(
        self,
        image: Any,
        proprio: Any,
        noise: Any,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the policy on B observations at once, without checks: for evaluation.

        Args:
            image: uint8, shape (B, H, W, 3), sRGB.
            proprio: float32, shape (B, P).
            noise: float32, shape (B, A), samples of N(0, I); zeros give the policy's mean z.

        Returns:
            Action (B, A) in [-1, 1], z (B, A) and log-likelihood (B,), nats; all float32.
        """
        feed = {"image": image, "proprio": proprio, "noise": noise}
        action, z, log_likelihood = self._policy.run(_POLICY_OUTPUTS, feed)
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

    def _outputs(
        self, session: Any, name: str, outputs: list[str], feed: Mapping[str, Any]
    ) -> list[FloatArray]:
        """Run a graph on one observation. Its declared shapes bind nobody: golden inputs may give
        them, and others not.

        Raises: UnsafeCommand.
        """
        try:
            found = session.run(outputs, feed)
        except Exception as error:  # ONNX Runtime raises its own kinds, none of them documented
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            raise UnsafeCommand(f"{name} failed: {reason}; holding position") from error
        for output, array in zip(outputs, found, strict=True):
            shape = (1,) if output == "log_likelihood" else (1, *self._zeros.shape)
            if array.shape != shape:
                raise UnsafeCommand(
                    f"{name} gave {output} of shape {array.shape}, not {shape}; holding position"
                )
            if not np.isfinite(array).all():
                raise UnsafeCommand(
                    f"{name} gave {output} {array[0]}: not finite; holding position"
                )
        return [array[0] for array in found]

    def _feed(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        feed = {}
        for name, field in self._observed.items():
            feed[name] = _checked(observation, name, field)[None]
        return feed

    def _vector(self, name: str, values: ArrayLike) -> FloatArray:
        vector = np.asarray(values, dtype=np.float32)
        if vector.shape != self._zeros.shape:
            raise SpecMismatch(f"{name}: expected shape {self._zeros.shape}, got {vector.shape}")
        if not np.isfinite(vector).all():
            raise UnsafeCommand(f"{name} {vector} is not finite; holding position")
        return vector


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
        content = {name: _verified(folder, name, spec) for name in (POLICY, INVERSE, GOLDEN)}
        bundle = Bundle(spec, content, hashlib.sha256(text).hexdigest())
        _replay(bundle, _golden(content[GOLDEN], spec.contract))
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


def _checksum(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    except (ValueError, RecursionError) as error:  # a text that is half a surrogate pair; depth
        raise BundleError(f"{SPEC} cannot be read ({error}); {AGAIN}") from error


_Signature = dict[str, tuple[str, tuple[int, ...]]]
_POLICY_OUTPUTS = ["action", "z", "log_likelihood"]
_INVERSE_OUTPUTS = ["z", "log_likelihood"]
_TOLERANCES = {  # and whether it is relative where the value is above 1
    "action": (ACTION_TOLERANCE, False),
    "z": (ACTION_TOLERANCE, True),
    "log_likelihood": (LOG_LIKELIHOOD_TOLERANCE, True),
    "inverse_z": (INVERSE_Z_TOLERANCE, True),
    "inverse_log_likelihood": (LOG_LIKELIHOOD_TOLERANCE, True),
}
_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def _session(content: bytes, name: str) -> Any:
    """One thread that does not spin: the other cores belong to the camera, the controller and the
    simulation.
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


def _check_graph(
    session: Any,
    name: str,
    inputs: _Signature,
    outputs: _Signature,
) -> None:
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


def _golden(content: bytes, contract: Contract) -> dict[str, NDArray[Any]]:
    """The recorded arrays, with the contract's shapes and types, none of them empty or NaN."""
    image = contract.observation.image
    proprio = contract.observation.proprio
    vector = ("float32", contract.action.values.shape)
    wanted: _Signature = {
        "image": (image.dtype, image.shape),
        "proprio": (proprio.dtype, proprio.shape),
        "noise": vector,
        "action": vector,
        "z": vector,
        "inverse_z": vector,
        "log_likelihood": ("float32", ()),
        "inverse_log_likelihood": ("float32", ()),
    }
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
        golden: Inputs of n ticks by name: `image` (n, H, W, 3), `proprio` (n, P), `noise` (n, A);
            with `action` (n, A) the inverse is that of these actions, without it of the bundle's
            own.

    Returns:
        float32 arrays by name: `action`, `z`, `inverse_z` (n, A), `log_likelihood` and
        `inverse_log_likelihood` (n,), nats.
    """
    rows: list[dict[str, Any]] = []
    for tick in range(len(golden["noise"])):
        now = {name: golden[name][tick] for name in ("image", "proprio")}
        output = bundle.act(now, golden["noise"][tick])
        action = golden["action"][tick] if "action" in golden else output.action
        z, log_likelihood = bundle.invert(now, action)
        row = {
            **vars(output),
            "inverse_z": z,
            "inverse_log_likelihood": log_likelihood,
        }
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


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
