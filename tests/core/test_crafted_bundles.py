"""A bundle that somebody made up is refused by file and reason: no crash, no memory, no file of
elsewhere.
"""

import hashlib
import io
import json
import math
import resource
import zipfile

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.contract.bundle import load_bundle
from conure_core.contract.bundle_files import (
    GOLDEN,
    INVERSE,
    LARGEST_BYTES,
    POLICY,
    SPEC,
    parse_json,
    read_arrays,
)
from conure_core.contract.bundle_spec import BundleSpec, FileDigest, require_thresholds
from conure_core.errors import BundleError, ConureError, SpecMismatch
from conure_core.robot.description import load_robot

CONTRACT = load_robot("wx250s").contract(image_size_px=8)
FILES = (POLICY, INVERSE, GOLDEN)
WANTED = {"noise": ("float32", (7,)), "log_likelihood": ("float32", ())}


@pytest.fixture
def folder(tmp_path):
    """A bundle with a right spec; nobody comes as far as its graphs."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(b"")
    spec = BundleSpec(
        contract=CONTRACT,
        name="made up",
        git_commit="unknown",
        exported_at="2026-01-01T00:00:00+00:00",
        training={},
        log_likelihood_thresholds={},
        files={name: FileDigest.of(b"") for name in FILES},
    )
    (folder / SPEC).write_text(spec.to_json())
    return folder


def signed(folder, change):
    """spec.json with a change, and the checksum that fits it."""
    data = json.loads((folder / SPEC).read_text())
    change(data)
    data.pop("checksum")
    checksum = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    (folder / SPEC).write_text(json.dumps({**data, "checksum": checksum}))
    return folder


def with_file(folder, name, content):
    """The bundle with another file in it, which its spec describes."""
    (folder / name).write_bytes(content)
    return signed(folder, lambda data: data["files"].update({name: vars(FileDigest.of(content))}))


# --- thresholds
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1e300, "3", None, True, [1.0], 10**400]
)
def test_a_threshold_that_is_no_finite_number_is_refused_at_export_and_at_load(folder, value):
    with pytest.raises(
        BundleError,
        match=r"spec\.json.*(log_likelihood_thresholds\.p01|not a number|Infinity|cannot)",
    ):
        load_bundle(
            signed(folder, lambda data: data["log_likelihood_thresholds"].update(p01=value))
        )
    with pytest.raises(
        BundleError, match=r"log_likelihood_thresholds\.p01 must be a finite number"
    ):
        require_thresholds({"p01": value})


def test_quantiles_in_the_wrong_order_are_refused(folder):
    with pytest.raises(BundleError, match=r"p01 \(3 nats\) must not be above p05 \(-1 nats\)"):
        load_bundle(
            signed(
                folder,
                lambda data: data.update(log_likelihood_thresholds={"p05": -1.0, "p01": 3.0}),
            )
        )
    require_thresholds({"p05": -1.0, "p01": -1.0, "p50": 2, "slow": 9.0})


# --- spec.json
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["contract"]["action"]["values"].update(shape=[10**12]),
            r"action: shape must be of 1 to",
        ),
        (
            lambda data: data["contract"]["observation"]["image"].update(shape=[2**20, 2**20, 3]),
            "shape must be of 1 to",
        ),
        (
            lambda data: data["contract"]["action"]["values"].update(shape=[-7]),
            "shape must be of 1 to",
        ),
        (
            lambda data: data["contract"]["action"]["values"].update(shape=7),
            "action: values: shape must be a list",
        ),
        (lambda data: data["contract"].update(joint_names="waist"), "joint_names must be a list"),
        (
            lambda data: data["contract"].update(control_period_s="0.1"),
            "control_period_s must be a finite number",
        ),
        (
            lambda data: data["contract"]["observation"].update(history=1.0),
            "history must be a whole number",
        ),
        (lambda data: data.update(contract=[]), "contract must hold names and values"),
        (lambda data: data.update(training=[]), "training must hold names and values"),
        (lambda data: data.update(name=3), "name must be a text"),
        (
            lambda data: data["files"][POLICY].update(size_bytes="many"),
            rf"files\.{POLICY}: size_bytes must be a whole",
        ),
        (lambda data: data["files"].update({POLICY: []}), rf"files\.{POLICY} must hold"),
    ],
)
def test_a_spec_with_a_value_of_another_kind_is_refused_by_field(folder, change, message):
    with pytest.raises((BundleError, SpecMismatch), match=message) as refusal:
        load_bundle(signed(folder, change))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 200_000, "cannot be read"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "cannot be read"),
        (b'{"format_version": 1, "format_version": 1}', "'format_version' is given twice"),
        (b'{"format_version": NaN}', "NaN is not a number"),
        (b'{"format_version": 1e999}', "1e999 is not a number"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"name": "\xff\xfe"}', "cannot be read"),
        (b'{"format_version": 1, "name": "\\ud800"}', "spec.json"),
        (b" " * (LARGEST_BYTES[SPEC] + 1), "has more than"),
        (b"", "cannot be read"),
    ],
)
def test_a_spec_that_only_a_machine_would_write_is_refused(folder, text, message):
    (folder / SPEC).write_bytes(text)
    with pytest.raises(BundleError, match=message) as refusal:
        load_bundle(folder)
    assert SPEC in str(refusal.value) and len(str(refusal.value)) < 600
    with pytest.raises(BundleError, match=message):
        BundleSpec.from_json(text)


@given(st.text(max_size=60))
def test_any_text_is_json_or_refused(text):
    try:
        parse_json(text, SPEC)
    except BundleError as error:
        assert SPEC in str(error)


# --- graphs
# --------------------------------------------------------------------------------------------------


def test_weights_in_the_working_folder_are_not_taken(folder, tmp_path, monkeypatch):
    """The hash would be the same, whatever lies there."""
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]> m (float[4] x) => (float[4] y) {y = Neg(x)}'
    )
    weights = model.graph.initializer.add(name="unused", data_type=onnx.TensorProto.FLOAT, dims=[4])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=rf"{POLICY}: the weights 'unused' are in another file"):
        load_bundle(with_file(folder, POLICY, model.SerializeToString()))


# --- golden.npz
# --------------------------------------------------------------------------------------------------


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file.getvalue()


def saved(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


GOOD = {"noise": np.zeros((3, 7), np.float32), "log_likelihood": np.zeros(3, np.float32)}
HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            archive(noise=npy(HEADER % "(1000000000000, 7)"), log_likelihood=b""),
            "noise does not hold the",
        ),
        (archive(noise=npy(HEADER % "(3, 7, 10**9)"), log_likelihood=b""), "cannot be read"),
        (archive(noise=npy(HEADER % "(3, 1000000000000)"), log_likelihood=b""), "noise has shape"),
        (
            archive(noise=npy(HEADER % "(-3, 7)"), log_likelihood=b""),
            "noise has shape|cannot be read",
        ),
        (archive(noise=npy("(" * 9000), log_likelihood=b""), "cannot be read"),
        (archive(noise=npy("{'a': " * 1500), log_likelihood=b""), "cannot be read"),
        (
            archive(noise=npy(" " * 60_000 + HEADER % "(3, 7)"), log_likelihood=b""),
            "cannot be read",
        ),
        (saved(**{**GOOD, "noise": np.array([{}] * 3, dtype=object)}), "noise has shape"),
        (
            archive(
                noise=npy(HEADER.replace("<f4", "|O") % "(3, 7)", b"\0" * 168), log_likelihood=b""
            ),
            "noise is of type",
        ),
        (saved(**{**GOOD, "noise": np.zeros((3, 7))}), "noise is of type float64"),
        (saved(**{**GOOD, "noise": np.zeros((0, 7), np.float32)}), "noise has shape"),
        (
            saved(**{**GOOD, "log_likelihood": np.zeros(2, np.float32)}),
            r"log_likelihood has shape \(2,\), not \(3,\)",
        ),
        (saved(noise=GOOD["noise"]), "cannot be read.*log_likelihood"),
        (archive(noise=b"", log_likelihood=b""), "cannot be read"),
        (b"PK\x05\x06" + b"\0" * 18, "cannot be read"),
        (b"\x80\x04N.", "cannot be read"),
    ],
)
def test_golden_arrays_that_lie_are_refused_by_file(content, message):
    with pytest.raises(BundleError, match=f"^{GOLDEN}.*({message})"):
        read_arrays(content, GOLDEN, WANTED)


def test_a_bomb_is_refused_before_it_is_unpacked():
    zeros = np.zeros((LARGEST_BYTES[GOLDEN] // 28 + 1, 7), np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, noise=zeros, log_likelihood=zeros[:, 0])
    del zeros
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match="unpacks to more than"):
        read_arrays(file.getvalue(), GOLDEN, WANTED)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


@pytest.mark.parametrize("seed", range(200))
def test_golden_arrays_with_any_bytes_altered_are_read_or_refused(seed):
    rng, content = np.random.default_rng(seed), bytearray(saved(**GOOD))
    for place in rng.integers(0, len(content), 3):
        content[place] = rng.integers(0, 256)
    try:
        read_arrays(bytes(content), GOLDEN, WANTED)
    except ConureError as error:
        assert str(error).startswith(GOLDEN)
