"""Escape sequences give no keys, however they are split and how late they come; space always
stops.
"""

import os
import pty

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conure_ros.commands.keys import AXES, CLEAR, GRIPPER, LABELS, MODES, QUIT, RECORD
from conure_ros.teleop.key_parser import KeyParser

KEYS = {*"".join(AXES), *GRIPPER, *MODES, *LABELS, CLEAR, RECORD, *QUIT}
TERMINALS = {
    "xterm, cursor": "\x1b[A \x1bOB \x1b[1;2C \x1b[1;5D \x1bO5A \x1b[1;10H \x1b[F \x1b[E \x1b[Z",
    "xterm, function keys": (
        "\x1bOP \x1bOQ \x1bOS \x1b[15~ \x1b[17~ \x1b[20~ \x1b[24~ \x1b[1;2P \x1b[15;6~"
    ),
    "xterm, keypad": "\x1bOp \x1bOq \x1bOj \x1bOk \x1bOl \x1bOn \x1bOM \x1bO2p",
    "xterm, other keys": "\x1b[27;5;114~ \x1b[2~ \x1b[3~ \x1b[3;5~ \x1b[5~ \x1b[6~",
    "xterm, mouse": "\x1b[<0;120;10M \x1b[<0;1;1m \x1b[M#!! \x1b[Mqwe \x1b[32;1;0M \x1b[I \x1b[O",
    "vt220": "\x1b[1~ \x1b[4~ \x1b[23~ \x1b[28~ \x1b[34~ \x9bA \x8fP \x9b20~",
    "linux console": "\x1b[[A \x1b[[B \x1b[[E \x1b[25~ \x1b[31~ \x1b[P",
    "rxvt": (
        "\x1b[a \x1b[d \x1bOa \x1bOd \x1b[7~ \x1b[8~ \x1b[3$ \x1b[3^ \x1b[3@ \x1b[11~ \x1b[23$"
        " \x1b\x1b[A"
    ),
    "kitty": "\x1b[57441;5:1u \x1b[114;5u \x1b[99;2u",
    "Alt and a key": "\x1bw \x1b1 \x1bq \x1b\x12 \x1b\xe9 \x1b\xdb",
    "answers of a terminal": (
        "\x1b[?62;1;0c \x1b[12;40R \x1b]11;rgb:00/00/00\x07 \x1b]0;wsad\x1b\\ \x1bP1+r=10\x1b\\"
    ),
    "pasted text": "\x1b[200~wsadp1\x12q\x1b[A\x1b[201~ \x1b[200~C\x12\x1b[20~0\x1b[201~",
}
SEQUENCES = [
    text.encode("latin-1" if "\x80" <= text[0] <= "\x9f" else "utf-8")
    for some in TERMINALS.values()
    for text in some.split(" ")
]
# All but what was pasted, the mouse reports of three characters and Alt: only time tells where
# these end.
TIMED = b"\x1b[M", b"\x1b[200~"
UNTIMED = [
    one for one in SEQUENCES if one[:2] in (b"\x1b[", b"\x1bO") and not one.startswith(TIMED)
]


@given(st.lists(st.sampled_from(SEQUENCES), max_size=6), st.data())
def test_no_sequence_of_any_terminal_gives_a_key_however_it_is_split(sequences, data):
    stream = b"".join(sequences) + b"w"
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(stream) - 1)))))
    parser, keys = KeyParser(), ""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        keys += parser.feed(stream[begin:end], now_s=0.0)
    assert keys == "w"


@given(st.sampled_from(UNTIMED), st.data())
def test_the_rest_of_a_function_keys_sequence_gives_no_key_however_late_it_comes(sequence, data):
    parser, now_s, keys = KeyParser(), 0.0, ""
    for byte in sequence:
        now_s += data.draw(st.floats(0.0, 60.0))
        keys += parser.feed(bytes([byte]), now_s)
    assert not keys
    assert parser.feed(b"w", now_s + 5.0) == "w"


@given(st.binary(max_size=40), st.data())
@example(b"\x1b[200~ \x1b[1", None)
def test_bytes_mean_the_same_however_they_are_split(stream, data):
    whole = KeyParser().feed(stream, 0.0)
    cuts = [3] if data is None else sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    parser, parts = KeyParser(), ""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parts += parser.feed(stream[begin:end], 0.0)
    assert parts == whole


@given(st.binary(max_size=40), st.floats(0.0, 5.0))
def test_space_is_a_key_after_whatever_came(stream, late_s):
    parser = KeyParser()
    parser.feed(stream, 0.0)
    assert parser.feed(b" ", late_s) == " "


@given(st.binary(max_size=40))
def test_ordinary_keys_come_back_a_while_after_whatever_came(stream):
    """Two of them at most are lost: one ends a sequence that was left open, one a linux
    console's.
    """
    parser = KeyParser()
    parser.feed(stream, 0.0)
    assert parser.feed(b"www", 10.0).endswith("w")


def test_an_escape_key_alone_takes_nothing_with_it():
    parser = KeyParser()
    assert parser.feed(b"\x1b", 0.0) == ""
    assert parser.feed(b"w", 0.5) == "w"
    assert KeyParser().feed(b"\x1bw", 0.0) == "", "Alt and w"


def test_reset_is_on_a_key_that_no_sequence_ends_in_and_no_shift_makes():
    assert ord(CLEAR) < 0x20
    assert not [key for key in KEYS if key.isupper()]


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal as this process's input; what is written to its other end is typed."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield ours
    os.close(ours)


def test_keys_are_read_from_a_terminal_and_sequences_are_not(terminal):
    from conure_ros.teleop.terminal import keyboard

    with keyboard() as keys:
        for sequence in SEQUENCES:
            pieces = [bytes([byte]) for byte in sequence] if sequence in UNTIMED else [sequence]
            for piece in pieces:
                os.write(terminal, piece)
                assert keys.pressed(1.0) == ""
        os.write(terminal, b"w\x13s\x1ad\x12 ")
        assert keys.pressed(5.0) == "w\x13s\x1ad\x12 ", "Ctrl-S and Ctrl-Z hold nothing up"
