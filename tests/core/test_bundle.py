"""A bundle runs as recorded, or is refused by name. The graphs here are written by hand: no torch
beside the arm.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.contract import onnx_session
from conure_core.contract.bundle import GOLDEN, INVERSE, POLICY, SPEC, Bundle, load_bundle
from conure_core.contract.bundle_spec import BundleSpec, FileDigest
from conure_core.contract.spec import Contract
from conure_core.errors import BundleError, SpecMismatch, UnsafeCommand
from conure_core.robot.description import load_robot

CONTRACT = load_robot("wx250s").contract(image_size_px=8)
FILES = (SPEC, POLICY, INVERSE, GOLDEN)

SHIFT = """
    pixels = Cast<to=1>(image)
    image_axes = Constant<value_ints=[1, 2, 3]>()
    axis = Constant<value_ints=[1]>()
    brightness = ReduceMean<keepdims=0>(pixels, image_axes)
    column = Unsqueeze(brightness, axis)
    small = Constant<value_float=0.002>()
    scaled = Mul(column, small)
    proprio_mean = ReduceMean<keepdims=1>(proprio, axis)
    shift = Add(scaled, proprio_mean)
"""
POLICY_TEXT = (
    """<ir_version: 9, opset_import: ["" : 18]>
policy (uint8[batch, 8, 8, 3] image, float[batch, 16] proprio, float[batch, 7] noise)
    => (float[batch, 7] action, float[batch, 7] z, float[batch] log_likelihood) {
    """
    + SHIFT
    + """
    z = Add(noise, shift)
    action = Tanh(z)
    squares = ReduceSumSquare<keepdims=0>(z, axis)
    log_likelihood = Neg(squares)
}"""
)
INVERSE_TEXT = (
    """<ir_version: 9, opset_import: ["" : 18]>
inverse (uint8[batch, 8, 8, 3] image, float[batch, 16] proprio, float[batch, 7] action)
    => (float[batch, 7] z, float[batch] log_likelihood) {
    """
    + SHIFT
    + """
    inner = Constant<value_float=0.999999>()
    inside = Mul(action, inner)
    free = Atanh(inside)
    zero = Constant<value_float=0.0>()
    nothing = Mul(shift, zero)
    z = Add(free, nothing)
    squares = ReduceSumSquare<keepdims=0>(z, axis)
    log_likelihood = Neg(squares)
}"""
)


def write_bundle(
    folder: Path,
    contract: Contract = CONTRACT,
    policy: str = POLICY_TEXT,
    inverse: str = INVERSE_TEXT,
    golden: dict | None = None,
) -> Path:
    """A whole bundle whose golden outputs are those of the hand-written graphs, but for the entries
    of `golden`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((POLICY, policy), (INVERSE, inverse)):
        (folder / name).write_bytes(onnx.parser.parse_model(text).SerializeToString())
    recorded = {
        key: value for key, value in {**record(), **(golden or {})}.items() if value is not None
    }
    np.savez(folder / GOLDEN, **recorded)
    spec = BundleSpec(
        contract=contract,
        name="by hand",
        git_commit="unknown",
        exported_at="2026-01-01T00:00:00+00:00",
        training={"steps": 3, "rate": 0.1},
        log_likelihood_thresholds={"slow": -1.5},
        files={
            name: FileDigest.of((folder / name).read_bytes()) for name in (POLICY, INVERSE, GOLDEN)
        },
    )
    (folder / SPEC).write_text(spec.to_json())
    return folder


def run_text(text: str, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    content = onnx.parser.parse_model(text).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, feed)


def record(count: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    now = {
        "image": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        "proprio": rng.standard_normal((count, 16), dtype=np.float32),
    }
    noise = rng.standard_normal((count, 7), dtype=np.float32)
    action, z, log_likelihood = run_text(POLICY_TEXT, {**now, "noise": noise})
    inverse_z, inverse_log_likelihood = run_text(INVERSE_TEXT, {**now, "action": action})
    outputs = {"action": action, "z": z, "log_likelihood": log_likelihood, "inverse_z": inverse_z}
    return {**now, "noise": noise, **outputs, "inverse_log_likelihood": inverse_log_likelihood}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(
        write_bundle(tmp_path_factory.mktemp("bundles") / "whole"), expected=CONTRACT
    )


def observation(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
        "proprio": rng.random(16, dtype=np.float32),
    }


# --- a whole bundle
# --------------------------------------------------------------------------------------------------


def test_spec_holds_everything_that_was_written(bundle):
    assert bundle.spec.contract == CONTRACT
    assert dict(bundle.spec.training) == {"steps": 3, "rate": 0.1}
    assert dict(bundle.spec.log_likelihood_thresholds) == {"slow": -1.5}
    assert BundleSpec.from_json(bundle.spec.to_json()) == bundle.spec


def test_spec_cannot_be_changed(bundle):
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.spec.name = "another"
    with pytest.raises(TypeError):
        bundle.spec.log_likelihood_thresholds["slow"] = 0.0


def test_hash_is_the_same_for_the_same_bundle_and_another_for_another(tmp_path, bundle):
    assert load_bundle(write_bundle(tmp_path / "copy")).hash == bundle.hash
    slower = dataclasses.replace(CONTRACT, control_period_s=0.2)
    assert load_bundle(write_bundle(tmp_path / "slower", slower)).hash != bundle.hash


def test_act_without_noise_gives_the_mean(bundle):
    silent, explicit = bundle.act(observation()), bundle.act(observation(), np.zeros(7))
    np.testing.assert_array_equal(silent.action, explicit.action)
    assert bundle.act(observation(), np.full(7, 0.5)).action[0] != silent.action[0]


def test_act_gives_arrays_of_the_contract_that_nobody_can_change(bundle):
    output = bundle.act(observation())
    assert output.action.shape == output.z.shape == (7,) and output.action.dtype == np.float32
    assert isinstance(output.log_likelihood, float)
    with pytest.raises(ValueError, match="read-only"):
        output.action[0] = 0.0


def test_act_ignores_entries_that_only_a_simulator_has(bundle):
    with_state = {**observation(), "state": np.full(5, np.nan)}
    np.testing.assert_array_equal(bundle.act(with_state).action, bundle.act(observation()).action)


def test_invert_gives_back_the_latent_and_its_log_likelihood(bundle):
    output = bundle.act(observation(), 0.3 * np.ones(7))
    z, log_likelihood = bundle.invert(observation(), output.action)
    np.testing.assert_allclose(z, output.z, rtol=1e-3)
    assert log_likelihood == pytest.approx(output.log_likelihood, rel=1e-3)


def test_invert_takes_an_action_outside_the_box_as_the_controller_does(bundle):
    np.testing.assert_array_equal(
        bundle.invert(observation(), np.full(7, 3.0))[0],
        bundle.invert(observation(), np.ones(7))[0],
    )


def test_a_batch_gives_what_its_observations_give_one_by_one(bundle):
    observations = [observation(seed) for seed in range(5)]
    image, proprio = (
        np.stack([now[name] for now in observations]) for name in ("image", "proprio")
    )
    noise = np.random.default_rng(1).standard_normal((5, 7), dtype=np.float32)
    action, z, log_likelihood = bundle.act_batch(image, proprio, noise)
    inverse_z, _ = bundle.invert_batch(image, proprio, action)
    for index, now in enumerate(observations):
        output = bundle.act(now, noise[index])
        np.testing.assert_allclose(action[index], output.action, atol=1e-6)
        np.testing.assert_allclose(z[index], output.z, atol=1e-5)
        assert log_likelihood[index] == pytest.approx(output.log_likelihood, abs=1e-4)
        np.testing.assert_allclose(
            inverse_z[index], bundle.invert(now, action[index])[0], atol=1e-4
        )


# --- observations and actions that are refused
# ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((9, 8, 3), np.uint8)},
            r"observation.image: expected uint8 \(8, 8, 3\), got uint8 \(9, 8, 3\)",
        ),
        (
            {"image": np.zeros((8, 8, 3), np.float32)},
            "observation.image: expected uint8 .* got float32",
        ),
        ({"proprio": np.zeros(15, np.float32)}, r"observation.proprio: .*\(16,\).*\(15,\)"),
        ({"proprio": np.zeros(16)}, "observation.proprio: expected float32 .* got float64"),
        ({"proprio": None}, "observation.proprio"),
    ],
)
def test_observations_of_another_shape_or_type_are_refused_by_name(bundle, change, message):
    for call in (bundle.act, lambda now: bundle.invert(now, np.zeros(7))):
        with pytest.raises(SpecMismatch, match=message):
            call({**observation(), **change})


def test_a_missing_entry_is_refused_by_name(bundle):
    with pytest.raises(SpecMismatch, match=r"no 'image'; it has \['proprio'\]"):
        bundle.act({"proprio": observation()["proprio"]})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_never_reaches_the_graph(bundle, value):
    proprio, vector = observation()["proprio"], np.zeros(7)
    proprio[3] = vector[2] = value
    with pytest.raises(UnsafeCommand, match=r"observation\.proprio"):
        bundle.act({**observation(), "proprio": proprio})
    with pytest.raises(UnsafeCommand, match="noise"):
        bundle.act(observation(), vector)
    with pytest.raises(UnsafeCommand, match="action"):
        bundle.invert(observation(), vector)


def test_an_action_that_is_not_finite_never_leaves_act(bundle):
    with pytest.raises(UnsafeCommand, match=r"gave .* not finite"):
        bundle.act({**observation(), "proprio": np.full(16, 3e38, np.float32)})


LOUD = """
    hundred = Constant<value_float=100.0>()
    above = Greater(shift, hundred)
    flags = Cast<to=7>(above)
    flat = Constant<value_ints=[-1]>()
    loud = Reshape(flags, flat)
    one = Constant<value_ints=[1]>()
    two = Add(loud, one)
"""
"""`loud` is 1 where proprio is large, which it is in no golden observation, and `two` is 2 then."""
SPOILED = {
    "no row": (
        "SPOILED = Slice(z_, loud, ends, zero_axis)",
        r"of shape \(0, 7\), not \(1, 7\)",
    ),
    "a value less": ("SPOILED = Slice(z_, loud, ends, axis)", r"of shape \(1, 6\), not \(1, 7\)"),
    "two rows": (
        "times = Concat<axis=0>(two, one)\n SPOILED = Tile(z_, times)",
        r"of shape \(2, 7\), not \(1, 7\)",
    ),
    "a failure": (
        "wide = Add(loud, seven)\n shape = Concat<axis=0>(flat, wide)\n SPOILED = Reshape(z_, shape)",
        "failed: .*Reshape",
    ),
    "more memory than there is": (
        "many = Mul(loud, huge)\n some = ConstantOfShape(many)\n"
        " sum = ReduceSum<keepdims=0>(some)\n SPOILED = Add(z_, sum)",
        "failed: .*memory",
    ),
    "no number": ("root = Sqrt(less)\n SPOILED = Mul(z_, root)", "not finite"),
}
CONSTANTS = """
    ends = Constant<value_ints=[100]>()
    zero_axis = Constant<value_ints=[0]>()
    seven = Constant<value_ints=[7]>()
    huge = Constant<value_ints=[4000000000000]>()
    number = Cast<to=1>(loud)
    unit = Constant<value_float=1.0>()
    doubled = Add(number, number)
    less = Sub(unit, doubled)
"""


LOUD_OBSERVATION = np.full(16, 1000.0, np.float32)


def spoiled_bundle(folder, spoiled):
    """A bundle whose graphs do something else where proprio is loud."""

    def spoil(text, line):
        name = line.split(" =")[0]
        lines = spoiled.replace("SPOILED", name).replace("z_", f"good_{name}")
        return text.replace(line, f"good_{line}\n{LOUD}{CONSTANTS}{lines}")

    return write_bundle(
        folder,
        policy=spoil(POLICY_TEXT, "action = Tanh(z)"),
        inverse=spoil(
            INVERSE_TEXT.replace("(z, axis)", "(good_z, axis)"), "z = Add(free, nothing)"
        ),
    )


def require_refusals(bundle, message):
    """Right for its golden inputs, refused by file for a loud observation."""
    output = bundle.act(observation())
    bundle.invert(observation(), output.action)
    loud = {**observation(), "proprio": LOUD_OBSERVATION}
    with pytest.raises(UnsafeCommand, match=f"{POLICY} .*{message}"):
        bundle.act(loud)
    with pytest.raises(UnsafeCommand, match=f"{INVERSE} .*{message}"):
        bundle.invert(loud, output.action)


@pytest.mark.parametrize(("spoiled", "message"), SPOILED.values(), ids=SPOILED)
def test_a_graph_that_is_right_for_its_golden_inputs_alone_moves_nothing(
    tmp_path, spoiled, message
):
    """Shapes that a graph declares bind it to nothing, and golden inputs are few."""
    require_refusals(load_bundle(spoiled_bundle(tmp_path / "spoiled", spoiled)), message)


ENDLESS = """
    always = Cast<to=9>(unit)
    SPOILED = Loop<body = turn (int64 i, bool before, float[batch, 7] given)
        => (bool after, float[batch, 7] taken)
        { after = Identity(before) taken = Identity(given) }>(trips, always, z_)
"""


def test_a_graph_that_does_not_end_is_ended_and_refused(tmp_path, monkeypatch):
    bundle = load_bundle(
        spoiled_bundle(tmp_path / "at_times", f"trips = Mul(loud, huge)\n{ENDLESS}")
    )
    for_ever = spoiled_bundle(tmp_path / "always", f"trips = Identity(huge)\n{ENDLESS}")
    monkeypatch.setattr(onnx_session, "LONGEST_RUN_S", 0.3)
    require_refusals(bundle, r"failed: no answer within 0\.3 s")
    with pytest.raises(BundleError, match=rf"{POLICY} failed: no answer within 0\.3 s"):
        load_bundle(for_ever)


def test_noise_of_another_size_is_refused(bundle):
    with pytest.raises(SpecMismatch, match=r"noise: expected shape \(7,\), got \(6,\)"):
        bundle.act(observation(), np.zeros(6))


# --- bundles that are refused
# -----------------------------------------------------------------------------------------


def test_a_path_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"no bundle at .*nowhere"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(folder, name, fraction):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(BundleError, match=f"{name} .*again"):
        load_bundle(folder)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 127)
)
def test_any_altered_byte_is_refused_and_its_file_named(tmp_path_factory, name, place, flip):
    folder = write_bundle(tmp_path_factory.getbasetemp() / "altered")
    content = bytearray((folder / name).read_bytes())
    index = int(place * len(content))
    before = content[index]
    content[index] ^= flip
    (folder / name).write_bytes(content)
    if name == SPEC and chr(before).isspace() and chr(content[index]).isspace():
        return  # white space for white space: the same spec
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("robot", "field"),
    [
        (
            load_robot("wx250s").contract(64),
            r"observation.image.shape: expected \[64, 64, 3\], got \[8, 8, 3\]",
        ),
        (
            dataclasses.replace(CONTRACT, control_period_s=0.2),
            "control_period_s: expected 0.2, got 0.1",
        ),
        (dataclasses.replace(CONTRACT, joint_names=CONTRACT.joint_names[::-1]), "joint_names"),
        (dataclasses.replace(CONTRACT, robot="panda"), "robot: expected panda, got wx250s"),
    ],
)
def test_a_bundle_for_another_robot_is_refused_by_field(folder, robot, field):
    with pytest.raises(SpecMismatch, match=field):
        load_bundle(folder, expected=robot)


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_an_unknown_version_is_refused_before_anything_else_is_read(folder, version):
    data = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps({"format_version": version, "nothing": data["name"]}))
    with pytest.raises(
        BundleError, match=f"format_version is {version}, and this Conure reads 1 and 2"
    ):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["[]", "{}", "null", "3", ""])
def test_a_spec_that_is_not_one_is_refused(folder, text):
    (folder / SPEC).write_text(text)
    with pytest.raises(BundleError, match=f"{SPEC} cannot be read"):
        load_bundle(folder)


def test_observations_with_a_history_are_refused_until_graphs_hold_one(tmp_path):
    longer = dataclasses.replace(
        CONTRACT, observation=dataclasses.replace(CONTRACT.observation, history=2)
    )
    with pytest.raises(BundleError, match="history is 2"):
        load_bundle(write_bundle(tmp_path / "longer", longer))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[batch, 8, 8, 3] image", "[batch, 9, 9, 3] image", "input 'image' should be uint8"),
        (
            "uint8[batch, 8, 8, 3] image",
            "float[batch, 8, 8, 3] image",
            "input 'image' should be uint8",
        ),
        ("[batch, 16] proprio", "[batch, 12] proprio", "input 'proprio' should be"),
        ("noise", "epsilon", "expected the inputs"),
        ("log_likelihood", "score", "expected the outputs"),
    ],
)
def test_a_graph_that_is_not_the_contracts_is_refused_by_its_input_or_output(
    tmp_path, old, new, message
):
    with pytest.raises(BundleError, match=f"{POLICY}: {message}"):
        load_bundle(write_bundle(tmp_path / "other", policy=POLICY_TEXT.replace(old, new)))


def test_a_file_that_is_no_graph_is_refused_in_one_line(folder):
    (folder / POLICY).write_bytes(b"not a graph")
    spec = BundleSpec.from_json((folder / SPEC).read_text())
    files = {**spec.files, POLICY: FileDigest.of(b"not a graph")}
    (folder / SPEC).write_text(dataclasses.replace(spec, files=files).to_json())
    with pytest.raises(BundleError, match=rf"{POLICY} is not an ONNX file") as refusal:
        load_bundle(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["action", "z", "log_likelihood", "inverse_z", "inverse_log_likelihood"]
)
def test_a_graph_that_does_not_reproduce_its_golden_outputs_is_refused(tmp_path, name):
    altered = record()[name].copy()
    altered[1] += 0.01 * np.maximum(1.0, np.abs(altered[1]))
    with pytest.raises(BundleError, match=f"{GOLDEN}: {name} of observation 1 comes out .* off"):
        load_bundle(write_bundle(tmp_path / "other", golden={name: altered}))


@pytest.mark.parametrize("name", ["proprio", "noise", "action", "log_likelihood"])
def test_golden_nan_is_refused_rather_than_compared(tmp_path, name):
    altered = record()[name].copy()
    altered[0] = np.nan
    with pytest.raises(BundleError, match=f"{GOLDEN}: {name} is not finite"):
        load_bundle(write_bundle(tmp_path / "nan", golden={name: altered}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": None}, "cannot be read.*noise"),
        ({"z": np.zeros((2, 7), np.float32)}, "z has shape"),
        ({name: array[:0] for name, array in record().items()}, "image has shape"),
    ],
)
def test_an_incomplete_golden_file_is_refused(tmp_path, change, message):
    with pytest.raises(BundleError, match=f"{GOLDEN}.* ?{message}"):
        load_bundle(write_bundle(tmp_path / "incomplete", golden=change))
