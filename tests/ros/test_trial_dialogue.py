"""What a person at planned trials is asked, and which keys answer."""

import pytest

from conure_ros.trials.dialogue import Dialogue, TerminalGone


class Script:
    """Keys as portions of a terminal, one a look; then the terminal is gone."""

    def __init__(self, *portions):
        self.portions = list(portions)

    def pressed(self, wait_s):
        return self.portions.pop(0) if self.portions else None


def dialogue(*portions):
    stops, turns = [], []
    made = Dialogue(Script(*portions), lambda: turns.append(1), lambda: stops.append(1))
    return made, stops, turns


def test_only_the_valid_keys_answer_and_enter_is_either_line_end():
    for enter in "\r\n":
        made, stops, turns = dialogue("", "x", "S", enter)
        assert made.choose("?", "\nq") == "\n"
        assert len(turns) == 4 and not stops, "the graph is looked after meanwhile"
    assert dialogue("S")[0].choose("?", "sfi") == "s", "Caps Lock is forgiven"


def test_space_stops_the_arm_but_is_text_in_a_reason():
    made, stops, _ = dialogue(" ", "s")
    assert made.choose("?", "s") == "s" and len(stops) == 1
    made, stops, _ = dialogue(" ")
    assert made.poll() == "" and len(stops) == 1
    made, stops, _ = dialogue("a b\r")
    assert made.type_line("?") == "a b" and not stops


def test_what_was_pressed_before_a_question_does_not_answer_it():
    made, _, _ = dialogue("s\r\r", "q")
    assert made.choose("?", "s") == "s"
    assert made.choose("?", "\nq") == "q", "the arm moves at no stale Enter"


def test_a_reason_is_a_number_of_the_list_or_a_new_text_and_never_empty():
    reasons = ["missed", "dropped"]
    assert dialogue("2\r")[0].choose_reason(reasons) == "dropped"
    assert dialogue("\r", "0\r", "3\r", "1\r")[0].choose_reason(reasons) == "missed"
    assert dialogue("slid awaz\x7fy\x1b\r")[0].choose_reason(reasons) == "slid away"
    assert dialogue("x" * 500 + "\r")[0].choose_reason(reasons) == "x" * 200
    assert dialogue("  \r", "cold\r")[0].explain("?") == "cold"


def test_a_terminal_that_is_gone_ends_every_question():
    for ask in (
        lambda made: made.choose("?", "s"),
        lambda made: made.type_line("?"),
        lambda made: made.poll(),
    ):
        for portions in ((), ("\x04",)):
            with pytest.raises(TerminalGone):
                ask(dialogue(*portions)[0])
