"""PLAN.yaml and the order of its trials: refused by name, hashed whole, random and balanced."""

import shutil
from collections import Counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import BundleError, ConfigError, SpecMismatch
from conure_core.runtime.resume import digest
from conure_ros.trials.order import order_trials
from conure_ros.trials.plan import load_plan


def _given(data):
    return {name: value for name, value in data.items() if value is not None}


@pytest.fixture
def write_plan(two_bundles, tmp_path):
    """Writes PLAN.yaml with these fields changed; None leaves one out."""

    def write(**changes):
        policies = {"prior": str(two_bundles / "one"), "policy": str(two_bundles / "other")}
        data = {"policies": policies, "operator": "ada", "robot": "wx250s", "trials": 4, **changes}
        path = tmp_path / "PLAN.yaml"
        path.write_text(yaml.safe_dump(_given(data), sort_keys=False))
        return path

    return write


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policies": None}, "policies must hold at least 2 lines"),
        ({"policies": {"a": "x"}}, "policies must hold at least 2 lines"),
        ({"policies": ["a", "b"]}, "policies must hold at least 2 lines"),
        ({"policies": {"a": 1, "b": "x"}}, "policies: a must be a text of 1 to 200"),
        ({"policies": {1: "x", "b": "x"}}, "policies: a name must be a text"),
        ({"operator": None}, "missing fields operator"),
        ({"operator": " "}, "operator must be a text of 1 to 200"),
        ({"operator": "a\nb"}, "operator must be a text"),
        ({"trials": 0}, r"trials must be in \[1, 10000\], got 0"),
        ({"trials": 2.5}, "trials must be a whole number, got 2.5"),
        ({"trails": 4}, "unknown field 'trails'; did you mean 'trials'"),
        ({"conditions": []}, "conditions must name at least one"),
        ({"conditions": ["red", "red"]}, "conditions holds 'red' twice"),
        ({"conditions": ["a", "b", "c"]}, "multiple of the 3 conditions, got 4; give 3 or 6"),
        ({"trials": 2, "conditions": ["a", "b", "c"]}, "got 2; give 3"),
        ({"scenes": ["left"]}, "scenes must hold one text for each of the 4 trials, got 1"),
        ({"scenes": ["a", "a", "b", "c"]}, "scenes holds 'a' twice"),
        ({"first_seed": -1}, "first_seed must be in"),
        ({"first_seed": 2**31 - 2}, "first_seed must be at most"),
        ({"rule": "peek"}, "unknown rule 'peek'"),
        ({"time_limit_s": 0.0}, r"time_limit_s must be in \(0, 3600\]"),
        ({"failure_reasons": []}, "failure_reasons must name at least one"),
        ({"failure_reasons": ["other", ""]}, "failure_reasons must be a text"),
        ({"blinded": "yes please"}, "blinded must be true or false"),
        ({"robot": "wx25"}, "wx25"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_name(write_plan, changes, reason):
    path = write_plan(**changes)
    with pytest.raises(ConfigError, match=reason) as refused:
        load_plan(path)
    assert "\n" not in str(refused.value)


def test_a_bundle_for_another_arm_a_damaged_one_and_one_given_twice_are_refused(
    write_plan, two_bundles, tmp_path
):
    with pytest.raises(SpecMismatch, match=r"policies: prior: the bundle .* does not fit"):
        load_plan(write_plan(robot="panda"))
    damaged = tmp_path / "damaged"
    shutil.copytree(two_bundles / "one", damaged)
    (damaged / "policy.onnx").write_bytes(b"")
    policies = {"prior": str(two_bundles / "other"), "broken": str(damaged)}
    with pytest.raises(BundleError, match=r"policies: broken: .*policy.onnx has 0 bytes"):
        load_plan(write_plan(policies=policies))
    policies = {"a": str(two_bundles / "one"), "b": str(two_bundles / "one")}
    with pytest.raises(ConfigError, match="a and b are the same bundle"):
        load_plan(write_plan(policies=policies))


def test_the_hash_covers_content_and_bundles_but_not_where_files_lie(
    write_plan, two_bundles, tmp_path
):
    first = load_plan(write_plan())
    assert load_plan(write_plan()).hash == first.hash
    for change in ({"trials": 6}, {"operator": "bob"}, {"blinded": False}, {"rule": "sequential"}):
        assert load_plan(write_plan(**change)).hash != first.hash
    swapped = {"prior": str(two_bundles / "other"), "policy": str(two_bundles / "one")}
    assert load_plan(write_plan(policies=swapped)).hash != first.hash
    moved = shutil.copytree(two_bundles, tmp_path / "moved")
    policies = {"prior": str(moved / "one"), "policy": "moved/other"}
    assert load_plan(write_plan(policies=policies)).hash == first.hash


names = st.lists(st.text("abcdef", min_size=1), min_size=2, max_size=4, unique=True)


@given(names, st.integers(1, 30), st.integers())
def test_every_policy_meets_every_scene_once_in_blocks_and_has_every_place_equally_often(
    policies, scenes, seed
):
    trials = order_trials(digest(seed), policies, scenes)
    size = len(policies)
    assert [trial.number for trial in trials] == list(range(1, size * scenes + 1))
    blocks = [trials[start : start + size] for start in range(0, len(trials), size)]
    assert sorted(block[0].scene for block in blocks) == list(range(1, scenes + 1))
    for block in blocks:
        assert len({trial.scene for trial in block}) == 1
        assert sorted(trial.policy for trial in block) == sorted(policies)
    for place in range(size):
        counts = Counter(block[place].policy for block in blocks)
        assert max(counts.values()) - min(counts[name] for name in policies) <= 1
    assert len({trial.code for trial in trials}) == len(trials), "no code tells two trials alike"


def test_the_order_follows_from_the_hash_alone_and_differs_between_plans():
    orders = [
        [trial.policy for trial in order_trials(digest(seed), ["a", "b"], 40)] for seed in range(20)
    ]
    assert orders[0] == [trial.policy for trial in order_trials(digest(0), ["b", "a"], 40)]
    assert len({tuple(order) for order in orders}) == 20
    firsts = Counter(order[0] for order in orders)
    assert min(firsts.values()) >= 4, "neither always begins"
