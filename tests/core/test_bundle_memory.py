"""A bundle whose policy remembers, and has no prior, as the robot runs it: hand-written graphs."""

import numpy as np
import onnx
import pytest

from conure_core.contract.bundle import load_bundle, replayed
from conure_core.contract.bundle_files import GOLDEN, POLICY, SPEC
from conure_core.contract.bundle_spec import BundleSpec, FileDigest
from conure_core.contract.episode_memory import EpisodeMemory
from conure_core.errors import BundleError, SpecMismatch, UnsafeCommand

from .test_bundle import CONTRACT, observation

TEXT = """<ir_version: 9, opset_import: ["" : 18]>
policy (uint8[batch, 8, 8, 3] image, float[batch, 16] proprio, float[batch, 7] noise,
        float[batch, 2] memory)
    => (float[batch, 7] action, float[batch, 2] next_memory) {
    axis = Constant<value_ints=[1]>()
    image_axes = Constant<value_ints=[1, 2, 3]>()
    one = Constant<value_float=1.0>()
    floats = Cast<to=1>(image)
    brightness = ReduceMean<keepdims=0>(floats, image_axes)
    column = Unsqueeze(brightness, axis)
    zero = Constant<value_float=0.0>()
    nothing = Mul(column, zero)
    mean = ReduceMean<keepdims=1>(proprio, axis)
    nothing_too = Mul(mean, zero)
    counted = Add(memory, one)
    seen = Add(nothing, nothing_too)
    next_memory = Add(counted, seen)
    ticks = ReduceMean<keepdims=1>(next_memory, axis)
    raised = Add(noise, ticks)
    tenth = Constant<value_float=0.1>()
    scaled = Mul(raised, tenth)
    action = Tanh(scaled)
}"""
"""Counts its ticks."""


def write(folder, **changed):
    folder.mkdir()
    (folder / POLICY).write_bytes(onnx.parser.parse_model(TEXT).SerializeToString())
    seen = [observation(seed) for seed in range(3)]
    ticks = np.arange(1, 4, dtype=np.float32)
    golden = {
        "image": np.stack([one["image"] for one in seen]),
        "proprio": np.stack([one["proprio"] for one in seen]),
        "noise": np.zeros((3, 7), np.float32),
        "action": np.tile(np.tanh(0.1 * ticks)[:, None], 7).astype(np.float32),
        "memory": np.tile(ticks[:, None], 2),
    }
    np.savez(folder / GOLDEN, **{**golden, **changed})
    spec = BundleSpec(
        contract=CONTRACT,
        name="by hand",
        git_commit="unknown",
        exported_at="2026-01-01T00:00:00+00:00",
        training={},
        log_likelihood_thresholds={},
        files={name: FileDigest.of((folder / name).read_bytes()) for name in (POLICY, GOLDEN)},
        memory_size=2,
        has_prior=False,
    )
    (folder / SPEC).write_text(spec.to_json())
    return folder


@pytest.fixture
def bundle(tmp_path):
    return load_bundle(write(tmp_path / "bundle"), CONTRACT)


def test_a_policy_acts_on_what_it_remembers_and_an_episode_begins_empty(bundle):
    memory = EpisodeMemory()
    memory.begin()
    for expected in (1.0, 2.0, 3.0, 1.0):
        if expected == 1.0:
            memory.follow(False)
            memory.follow(True)
        before = memory.recall()
        output = bundle.act(observation(), memory=before.values)
        memory.remember(before, output.memory)
        np.testing.assert_allclose(output.memory, expected)
        np.testing.assert_allclose(output.action, np.tanh(0.1 * expected), rtol=1e-5)


def test_without_a_prior_there_is_no_z_and_nothing_can_be_inverted(bundle):
    output = bundle.act(observation())
    assert output.z.shape == (0,)
    assert np.isnan(output.log_likelihood)
    with pytest.raises(BundleError, match="has no prior"):
        bundle.invert(observation(), np.zeros(7))


def test_its_spec_says_so_and_is_of_a_format_that_older_versions_refuse(bundle):
    spec = bundle.spec
    assert (spec.memory_size, spec.has_prior, spec.format_version) == (2, False, 2)
    assert BundleSpec.from_json(spec.to_json()) == spec


def test_golden_outputs_are_one_episode(bundle, tmp_path):
    seen = {name: rows[None].repeat(3, 0) for name, rows in observation().items()}
    found = replayed(bundle, {**seen, "noise": np.zeros((3, 7), np.float32)})
    np.testing.assert_allclose(found["memory"][:, 0], [1.0, 2.0, 3.0])
    forgetful = np.full((3, 2), 1.0, np.float32)
    with pytest.raises(BundleError, match="memory of observation 2"):
        load_bundle(write(tmp_path / "forgets", memory=forgetful))


def test_a_memory_of_another_size_or_that_is_not_finite_is_refused(bundle):
    with pytest.raises(SpecMismatch, match=r"memory: expected shape \(2,\), got \(3,\)"):
        bundle.act(observation(), memory=np.zeros(3))
    with pytest.raises(UnsafeCommand, match="memory"):
        bundle.act(observation(), memory=np.array([np.nan, 0.0]))


@pytest.mark.parametrize(
    "changed", [{"memory_size": -1}, {"memory_size": 10**9}, {"has_prior": "yes"}]
)
def test_a_spec_with_another_kind_of_memory_or_prior_is_refused(bundle, changed):
    fields = {name: getattr(bundle.spec, name) for name in ("contract", "name", "git_commit")}
    rest = {"exported_at": "", "training": {}, "log_likelihood_thresholds": {}, "files": {}}
    with pytest.raises(BundleError, match=next(iter(changed))):
        BundleSpec(**fields, **rest, **changed)
