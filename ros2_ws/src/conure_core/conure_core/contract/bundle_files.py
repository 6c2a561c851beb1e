"""The files of a bundle as bytes, JSON and arrays: read within limits, so that no file can exhaust
the computer.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import BundleError

SPEC = "spec.json"
POLICY = "policy.onnx"
INVERSE = "inverse.onnx"
GOLDEN = "golden.npz"
LARGEST_BYTES = {
    SPEC: 4 * 2**20,
    POLICY: 2**30,
    INVERSE: 2**30,
    GOLDEN: 2**29,
}
"""Of each file; the golden arrays may take as much when unpacked."""
AGAIN = "copy the bundle again, or export it again"


def read_file(folder: Path, name: str) -> bytes:
    """Read one file of a bundle.

    Args:
        folder: The bundle.
        name: One of the names in `LARGEST_BYTES`, which says how much is read at most.

    Returns:
        The content.

    Raises:
        BundleError: The file is missing, cannot be read or is too large; names it.
    """
    largest = LARGEST_BYTES[name]
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise BundleError(f"{name} is no file; {AGAIN}")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError as error:
        raise BundleError(f"{name} is missing; {AGAIN}") from error
    except OSError as error:
        raise BundleError(f"{name} cannot be read ({error.strerror}); {AGAIN}") from error
    if len(content) > largest:
        raise BundleError(f"{name} has more than {largest} bytes, the most that is read; {AGAIN}")
    return content


def parse_json(text: str | bytes, name: str) -> Any:
    """Parse the text of a JSON file, strictly.

    Args:
        text: The content, at most as long as spec.json may be.
        name: The file's name, for messages.

    Returns:
        Plain mappings, lists, texts, finite numbers.

    Raises:
        BundleError: It is not JSON, or has NaN, an infinity or a key that is given twice.
    """
    if len(text) > LARGEST_BYTES[SPEC]:
        raise BundleError(
            f"{name} has more than {LARGEST_BYTES[SPEC]} characters, the most that is read; {AGAIN}"
        )
    try:
        return json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_refused,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} cannot be read ({error}); {AGAIN}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"'{twice[:100]}' is given twice")
    return values


def _refused(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def read_arrays(
    content: bytes,
    name: str,
    wanted: Mapping[str, tuple[str, tuple[int, ...]]],
) -> dict[str, NDArray[Any]]:
    """Read arrays of an npz file, within limits.

    Nothing is unpacked that is larger than LARGEST_BYTES, whatever the file claims, and nothing is
    unpickled.

    Args:
        content: The bytes of the npz file.
        name: The file's name, for messages.
        wanted: Type and shape of one tick, by the array's name; arrays that are not named here are
            not read.

    Returns:
        By name, arrays of shape (n, *shape) with the same n >= 1.

    Raises:
        BundleError: The file or an array does not fit; names both.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {key: archive.getinfo(f"{key}.npy") for key in wanted}
            unpacked_bytes = sum(member.file_size for member in members.values())
            if unpacked_bytes > LARGEST_BYTES[GOLDEN]:
                raise BundleError(
                    f"{name} unpacks to more than {LARGEST_BYTES[GOLDEN]} bytes, the most that is"
                    " read"
                )
            arrays = {}
            for key, member in members.items():
                dtype, shape = wanted[key]
                arrays[key] = _array(archive.read(member), dtype, shape, f"{name}: {key}")
    except BundleError:
        raise
    except Exception as error:
        # Zipfile and NumPy raise errors of a dozen kinds for bytes that somebody made up.
        reason = str(error)[:300]
        raise BundleError(f"{name} cannot be read ({reason}); export the bundle again") from error
    count = len(next(iter(arrays.values())))
    for key, array in arrays.items():
        if len(array) != count:
            wanted_shape = (count, *wanted[key][1])
            raise BundleError(
                f"{name}: {key} has shape {array.shape}, not {wanted_shape}; export the bundle"
                " again"
            )
    return arrays


def _array(
    content: bytes,
    dtype: str,
    shape: tuple[int, ...],
    what: str,
) -> NDArray[Any]:
    """Shape and type are checked by the header, before any memory is taken for them."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError(f"{what} has .npy version {version}")
    found, _, kind = read_header[version](file)
    if len(found) != 1 + len(shape) or found[1:] != shape or found[0] < 1:
        raise BundleError(
            f"{what} has shape {str(found)[:100]}, not (n, {str(shape)[1:]}; export the bundle"
            " again"
        )
    if kind != np.dtype(dtype):
        raise BundleError(
            f"{what} is of type {str(kind)[:100]}, not {dtype}; export the bundle again"
        )
    if math.prod(found) * kind.itemsize != len(content) - file.tell():
        raise BundleError(
            f"{what} does not hold the {found} values that it claims; export the bundle again"
        )
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
