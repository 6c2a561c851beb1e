"""Refusal of ONNX files that do not hold all of their weights themselves.

A tensor of an ONNX file may name another file that holds its numbers. ONNX Runtime may open it in
the process's working folder, and no checksum covers it. So the file is searched for such tensors
before ONNX Runtime sees it: a walk over the Protocol Buffers wire format that follows only the
fields that lead to a tensor. `onnx` is not installed by an arm. Source: onnx/onnx.proto,
protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

from conure_core.errors import BundleError

_Span = tuple[int, int]
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10

_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
"""For each kind of message the numbers of its fields that hold messages, and of which kind."""
_TENSOR_NAME = 8
_EXTERNAL_DATA = 13
_DATA_LOCATION = 14


def require_own_weights(content: bytes, name: str) -> None:
    """Refuse an ONNX file whose weights lie in another file.

    Args:
        content: The bytes of the ONNX file.
        name: The file's name, for messages.

    Raises:
        BundleError: A tensor's numbers are in another file, or this is not an ONNX file; names file
            and tensor.
    """
    waiting: list[tuple[str, _Span]] = [("model", (0, len(content)))]
    try:
        while waiting:
            kind, span = waiting.pop()
            if kind == "tensor":
                _require_own(content, span, name)
                continue
            for number, wire, value in _fields(content, span):
                if wire == _BYTES and number in _INSIDE[kind]:
                    waiting.append((_INSIDE[kind][number], value))
    except _Malformed as error:
        raise BundleError(
            f"{name} is not an ONNX file ({error}); export the bundle again"
        ) from error


class _Malformed(Exception):
    """Bytes that are no Protocol Buffers message."""


def _require_own(content: bytes, span: _Span, name: str) -> None:
    tensor = ""
    external = False
    for number, wire, (start, end) in _fields(content, span):
        if number == _TENSOR_NAME and wire == _BYTES:
            tensor = content[start : min(end, start + 100)].decode(errors="replace")
        if number == _EXTERNAL_DATA:
            external = True
        if number == _DATA_LOCATION and (wire != _VARINT or start != 0):
            external = True
    if external:
        raise BundleError(
            f"{name}: the weights '{tensor}' are in another file (ONNX external data), which no"
            " checksum covers; export the bundle again, with its weights inside"
        )


def _fields(content: bytes, span: _Span) -> Iterator[tuple[int, int, _Span]]:
    """Number, wire type, and where the value is; of a varint, the value and 0."""
    place, end = span
    while place < end:
        key, place = _varint(content, place, end)
        number = key >> 3
        wire = key & 7
        if wire == _VARINT:
            value, place = _varint(content, place, end)
            yield number, wire, (value, 0)
            continue
        if wire == _BYTES:
            size, place = _varint(content, place, end)
        elif wire in (_FIXED_64, _FIXED_32):
            size = 8 if wire == _FIXED_64 else 4
        else:
            raise _Malformed(f"wire type {wire} at byte {place}")
        if number == 0 or size > end - place:
            raise _Malformed(f"field {number} of {size} bytes at byte {place} of {end}")
        yield number, wire, (place, place + size)
        place += size


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """The number at a place, and where the next one begins."""
    value = 0
    for shift in range(_LONGEST_VARINT):
        if place >= end:
            raise _Malformed(f"a number is cut off at byte {end}")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    raise _Malformed(f"a number of more than {_LONGEST_VARINT} bytes before byte {place}")
