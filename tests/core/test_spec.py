"""Contract, interpolation and the command line's errors."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.cli import main
from conure_core.contract.spec import Contract, mismatches, require_match
from conure_core.control.interpolation import LinearFollower
from conure_core.errors import SpecMismatch
from conure_core.robot.description import load_robot

CONTRACT = load_robot("wx250s").contract(48)


def test_a_contract_survives_json() -> None:
    assert Contract.from_dict(CONTRACT.to_dict()) == CONTRACT


def test_every_difference_is_named() -> None:
    other = dataclasses.replace(load_robot("wx250s").contract(64), control_period_s=0.05)
    names = [text.split(":")[0] for text in mismatches(CONTRACT, other)]
    assert names == ["control_period_s", "observation.image.shape"]
    with pytest.raises(SpecMismatch, match=r"observation\.image\.shape"):
        require_match(CONTRACT, other, "the bundle")


def test_a_contract_with_a_missing_field_is_refused() -> None:
    data = CONTRACT.to_dict()
    del data["joint_names"]
    with pytest.raises(SpecMismatch, match="joint_names"):
        Contract.from_dict(data)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.01, 1.0))
def test_a_followed_goal_is_reached_on_time_and_not_before(
    start: float, goal: float, duration_s: float
) -> None:
    follower = LinearFollower(np.array([start]))
    follower.follow(np.array([goal]), duration_s)
    np.testing.assert_allclose(follower.advance(duration_s / 2), [(start + goal) / 2], atol=1e-9)
    np.testing.assert_allclose(follower.advance(duration_s / 2 + 1e-9), [goal], atol=1e-6)
    np.testing.assert_array_equal(follower.speed, [0.0])


@given(st.floats(-3, 3), st.floats(0.01, 0.2), st.lists(st.integers(0, 9), max_size=4))
def test_many_set_points_at_once_are_those_of_one_after_the_other(goal, duration_s, counts) -> None:
    once, by_one = (LinearFollower(np.array([0.5, -0.2])) for _ in range(2))
    for follower in (once, by_one):
        follower.follow(np.array([goal, 1.0]), duration_s)
    for count in counts:
        positions, speeds = once.ahead(1 / 240, count)
        assert positions.shape == speeds.shape == (count, 2)
        for position, speed in zip(positions, speeds, strict=True):
            np.testing.assert_array_equal(by_one.advance(1 / 240), position)
            np.testing.assert_array_equal(by_one.speed, speed)
        np.testing.assert_array_equal(once.position, by_one.position)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluat"], "did you mean 'evaluate'"),
        (["demos", "epsodes.Lift=3"], "did you mean 'episodes'"),
        (["demos", "episodes.Lyft=3"], "did you mean 'Lift'"),
        (["demos", "seed=many"], "seed"),
        (["prior", "demos=/nowhere"], "run conure demos"),
        (["rl", "method=magic"], "Valid: bc, bc_sac"),
        (["evaluate", "agent=/nowhere/prior.pt"], "run conure prior"),
    ],
)
def test_bad_input_ends_in_one_line_and_a_non_zero_status(
    arguments: list[str], expected: str, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.strip().splitlines()) == 1


def test_what_a_process_imports_adds_no_line_to_its_one(tmp_path) -> None:
    code = "import sys; from conure_core.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "rl", "method=magic"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert done.returncode == 1
    assert "Valid: bc, bc_sac" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
