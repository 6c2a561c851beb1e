"""Parses the bytes of a terminal into keys. Pure: bytes and steady seconds come in, keys come
out.
"""

from enum import Enum, auto

ESC, CAN, SUB, BEL, SPACE = 0x1B, 0x18, 0x1A, 0x07, 0x20
ALT_S = 0.1
"""A byte within this time after an ESC belongs to it: Alt and a key. Otherwise it was the Esc key.
"""
SILENT_S = 1.0
"""A string, a paste or a mouse report ends after this silence."""
MOUSE_BYTES = 3
PASTE_BEGINS, PASTE_ENDS = b"200", b"\x1b[201~"
# 8-bit control characters, and the byte that has the same meaning after ESC.
C1 = {
    0x9B: ord("["),
    0x8F: ord("O"),
    0x90: ord("P"),
    0x98: ord("X"),
    0x9D: ord("]"),
    0x9E: ord("^"),
    0x9F: ord("_"),
}
STRINGS = b"PX]^_"


class _In(Enum):
    """What the next byte belongs to."""

    GROUND = auto()
    ESCAPE = auto()
    CSI = auto()
    SS3 = auto()
    LAST = auto()
    STRING = auto()
    MOUSE = auto()
    PASTE = auto()


TIMED = (_In.STRING, _In.MOUSE, _In.PASTE)


class KeyParser:
    r"""Keys of one character. Escape sequences, pasted text and non-ASCII characters give none,
    however they are split.

    Only space passes in every state: it stops the arm. A sequence that began with ESC and [ or O
    ends only with its last byte, however late that comes: leftover digits and letters would be
    keys.

    >>> parser = KeyParser()
    >>> parser.feed(b"w\x1b[15", now_s=0.0), parser.feed(b"~d", now_s=2.0)
    ('w', 'd')

    Source: ECMA-48, 5.4 and 5.6; xterm's ctlseqs (SS3, mouse, bracketed paste); linux console: ESC
    [ [ A is F1.
    """

    def __init__(self) -> None:
        self._in, self._last_s = _In.GROUND, 0.0
        self._parameters, self._tail = b"", b""
        self._left = self._utf8 = 0

    def feed(self, data: bytes, now_s: float) -> str:
        """Parse more bytes.

        Args:
            data: Bytes from the terminal, in any portions.
            now_s: Time at which they came, steady clock, s.

        Returns:
            The keys that these bytes complete, one character each.
        """
        return "".join(self._key(byte, now_s) for byte in data)

    def _key(self, byte: int, now_s: float) -> str:
        silent_s, self._last_s = now_s - self._last_s, now_s
        if self._in in TIMED and silent_s > SILENT_S:
            self._in = _In.GROUND
        if self._in is _In.ESCAPE and silent_s > ALT_S and byte not in b"[O":
            self._in = _In.GROUND
        if byte == SPACE:
            return self._space()
        if self._in is _In.GROUND:
            return self._on_ground(byte)
        if byte in (CAN, SUB) and self._in is not _In.PASTE:
            self._in = _In.GROUND
        else:
            self._in = self._next(byte)
        return ""

    def _space(self) -> str:
        """Space is a key in every state. It ends states that cannot contain it; in the others it
        may be text or a coordinate.
        """
        self._utf8 = 0
        if self._in is _In.MOUSE:
            self._in = self._in_mouse(SPACE)
        elif self._in not in TIMED:
            self._in = _In.GROUND
        return " "

    def _on_ground(self, byte: int) -> str:
        if byte == ESC:
            self._in, self._utf8 = _In.ESCAPE, 0
            return ""
        if byte < 0x80:
            self._utf8 = 0
            return chr(byte)
        if self._utf8 and byte < 0xC0:
            self._utf8 -= 1
            return ""
        self._utf8 = _continuations(byte)
        if byte in C1:
            self._in = self._in_escape(C1[byte])
        return ""

    def _next(self, byte: int) -> _In:
        steps = {
            _In.ESCAPE: self._in_escape,
            _In.CSI: self._in_csi,
            _In.SS3: self._in_ss3,
            _In.STRING: self._in_string,
            _In.MOUSE: self._in_mouse,
            _In.PASTE: self._in_paste,
            _In.LAST: lambda _: _In.GROUND,
        }
        if byte == ESC and self._in not in (_In.STRING, _In.PASTE):
            return _In.ESCAPE
        return steps[self._in](byte)

    def _in_escape(self, byte: int) -> _In:
        self._parameters = self._tail = b""
        self._utf8 = _continuations(byte)
        if byte == ord("["):
            return _In.CSI
        if byte == ord("O"):
            return _In.SS3
        return _In.STRING if byte in STRINGS else _In.GROUND

    def _in_csi(self, byte: int) -> _In:
        """Parameters, then one last byte. rxvt also ends with $; ESC [ [ and a letter is the linux
        console's.
        """
        if byte == ord("[") and not self._parameters:
            return _In.LAST
        if byte == ord("M") and not self._parameters:
            self._left = MOUSE_BYTES
            return _In.MOUSE
        if byte == ord("~") and self._parameters == PASTE_BEGINS:
            return _In.PASTE
        if 0x40 <= byte <= 0x7E or byte == ord("$"):
            return _In.GROUND
        self._parameters = (self._parameters + bytes([byte]))[:64]
        return _In.CSI

    def _in_ss3(self, byte: int) -> _In:
        """A letter, after a modifier in old terminals: ESC O 5 A."""
        return _In.SS3 if chr(byte).isdigit() or byte == ord(";") else _In.GROUND

    def _in_string(self, byte: int) -> _In:
        ended = byte == BEL or self._tail + bytes([byte]) == b"\x1b\\"
        self._tail = bytes([byte])
        return _In.GROUND if ended else _In.STRING

    def _in_mouse(self, byte: int) -> _In:
        """Three characters; one beyond 127 may be of several bytes."""
        self._left -= not 0x80 <= byte < 0xC0
        return _In.MOUSE if self._left else _In.GROUND

    def _in_paste(self, byte: int) -> _In:
        self._tail = (self._tail + bytes([byte]))[-len(PASTE_ENDS) :]
        return _In.GROUND if self._tail == PASTE_ENDS else _In.PASTE


def _continuations(byte: int) -> int:
    """The number of bytes that follow the first byte of a UTF-8 character."""
    return (byte >= 0xC2) + (byte >= 0xE0) + (byte >= 0xF0) if byte < 0xF5 else 0
