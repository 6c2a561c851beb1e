import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, RobotError
from conure_msgs.msg import Mode as ModeMessage
from conure_msgs.msg import PolicyCommand
from conure_ros.control.arbiter import Arbiter, Mode, named_mode, selectable_mode

SOURCES = [Mode.POLICY, Mode.TELEOP]


@given(
    st.lists(st.sampled_from(["accept", "hold", "silent", "select", "stop"])),
    st.sampled_from(SOURCES),
)
def test_nothing_but_reset_ends_a_stop(events, source):
    arbiter = Arbiter(stale_s=0.2)
    arbiter.stop("a test")
    for now_s, event in enumerate(events):
        if event == "select":
            with pytest.raises(RobotError, match="reset_stop"):
                arbiter.select(source, now_s)
        elif event == "silent":
            assert not arbiter.hold_if_silent(now_s)
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
    assert not arbiter.hold_if_silent(1.2)
    assert arbiter.hold_if_silent(1.21)
    assert not arbiter.hold_if_silent(1.3), "it falls silent once"
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
        named_mode("polcy")


def test_modes_are_those_of_the_message():
    assert {mode.name: mode.value for mode in Mode} == {
        name: getattr(ModeMessage, name)
        for name in ("INACTIVE", "HOLD", "POLICY", "TELEOP", "STOPPED", "TRAJECTORY")
    }
    assert (PolicyCommand.POLICY, PolicyCommand.TELEOP) == (Mode.POLICY, Mode.TELEOP)


def test_at_first_nobody_moves_the_arm_and_only_a_person_may_begin():
    arbiter = Arbiter(stale_s=0.2)
    assert (arbiter.mode, arbiter.selected, arbiter.reason) == (Mode.HOLD, Mode.HOLD, "")
    assert [arbiter.admits(source) for source in SOURCES] == [False, True]
    assert not arbiter.hold_if_silent(1e6)


@pytest.mark.parametrize("source", SOURCES)
def test_the_selected_source_is_waited_for_by_name_then_moves_the_arm(source):
    arbiter = Arbiter(stale_s=0.2)
    arbiter.select(source, 0.0, "of no meaning here")
    assert arbiter.reason == f"waiting for the first {source.name.lower()} command"
    assert not arbiter.moving
    arbiter.accept(0.1)
    assert (arbiter.mode, arbiter.selected, arbiter.reason) == (source, source, "")
    assert arbiter.moving


def test_a_hold_that_is_selected_says_why():
    arbiter = Arbiter(stale_s=0.2)
    arbiter.select(Mode.HOLD, 0.0, "asked for")
    assert (arbiter.mode, arbiter.reason, arbiter.moving) == (Mode.HOLD, "asked for", False)


@pytest.mark.parametrize("source", SOURCES)
def test_a_stop_deselects_the_source_and_a_command_still_on_its_way_after_the_reset_moves_nothing(
    source,
):
    arbiter = Arbiter(stale_s=0.2)
    arbiter.select(source, 0.0)
    arbiter.accept(0.1)
    arbiter.stop("a test")
    assert (arbiter.mode, arbiter.selected, arbiter.moving) == (Mode.STOPPED, Mode.HOLD, False)
    arbiter.reset()
    assert (arbiter.mode, arbiter.selected, arbiter.reason) == (
        Mode.HOLD,
        Mode.HOLD,
        "the stop was reset",
    )
    assert not arbiter.admits(Mode.POLICY)
    arbiter.accept(0.2)
    assert (arbiter.mode, arbiter.moving) == (Mode.HOLD, False)


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_is_silent_just_beyond_its_limit_not_at_it(source):
    arbiter = Arbiter(stale_s=0.25)
    arbiter.select(source, 0.0)
    arbiter.accept(1.0)
    assert not arbiter.hold_if_silent(1.25)
    assert arbiter.mode is source
    assert arbiter.hold_if_silent(1.25 + 1e-9)
    assert arbiter.mode is Mode.HOLD


def test_a_newly_selected_source_is_not_silent_before_its_first_command():
    arbiter = Arbiter(stale_s=0.25)
    arbiter.select(Mode.POLICY, 0.0)
    assert not arbiter.hold_if_silent(100.0)
    assert arbiter.reason == "waiting for the first policy command"


@pytest.mark.parametrize(
    ("name", "mode"), [("hold", Mode.HOLD), ("policy", Mode.POLICY), ("teleop", Mode.TELEOP)]
)
def test_a_mode_is_chosen_by_its_name_and_by_its_value(name, mode):
    assert named_mode(name) is mode
    assert selectable_mode(mode.value) is mode
