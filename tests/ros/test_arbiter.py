import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, RobotError
from conure_ros.arbiter import Arbiter, Mode, selectable_mode

SOURCES = [Mode.POLICY, Mode.TELEOP]


@given(st.lists(st.sampled_from(["accept", "hold", "silent", "select", "stop"])), st.sampled_from(SOURCES))
def test_nothing_but_reset_ends_a_stop(events, source):
    arbiter = Arbiter(stale_s=0.2)
    arbiter.stop("a test")
    for now_s, event in enumerate(events):
        if event == "select":
            with pytest.raises(RobotError, match="reset_stop"):
                arbiter.select(source, now_s)
        elif event == "silent":
            assert not arbiter.silent(now_s)
        elif event == "accept":
            arbiter.accept(now_s)
        else:
            getattr(arbiter, event)("again")
        assert arbiter.mode is Mode.STOPPED
        assert arbiter.reason == "a test"
        assert not any(arbiter.admits(other) for other in SOURCES)
    arbiter.reset()
    assert arbiter.mode is Mode.HOLD


def test_a_selected_source_moves_the_arm_only_from_its_first_good_command_on():
    arbiter = Arbiter(stale_s=0.2)
    arbiter.select(Mode.POLICY, 0.0)
    assert arbiter.mode is Mode.HOLD
    arbiter.accept(0.1)
    assert arbiter.mode is Mode.POLICY


def test_silence_means_hold_with_its_age_and_the_next_good_command_goes_on():
    arbiter = Arbiter(stale_s=0.2)
    arbiter.select(Mode.POLICY, 0.0)
    arbiter.accept(1.0)
    assert not arbiter.silent(1.2)
    assert arbiter.silent(1.21)
    assert not arbiter.silent(1.3), "it falls silent once"
    assert arbiter.mode is Mode.HOLD
    assert "no policy command for 0.21 s" in arbiter.reason
    arbiter.accept(2.0)
    assert arbiter.mode is Mode.POLICY


def test_a_person_is_always_admitted_and_a_policy_only_when_selected():
    arbiter = Arbiter(stale_s=0.2)
    assert arbiter.admits(Mode.TELEOP)
    assert not arbiter.admits(Mode.POLICY)
    arbiter.select(Mode.POLICY, 0.0)
    assert arbiter.admits(Mode.TELEOP)
    arbiter.select(Mode.TELEOP, 0.0)
    assert not arbiter.admits(Mode.POLICY)


def test_an_unknown_mode_is_refused_with_the_valid_ones():
    with pytest.raises(ConfigError, match=r"did you mean 'policy'.*hold, policy, teleop"):
        selectable_mode("polcy")
