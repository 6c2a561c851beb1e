"""YAML files that cannot be used are refused in one line that names the file, whatever is in
them.
"""

import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.config.yaml_fields import Bounds, bounded, read_fields, read_yaml, require_bounds
from conure_core.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)


@dataclass(frozen=True)
class Sample:
    size_m: float = bounded(0.0, 2.0, above=True, default=1.0)
    counts: tuple[int, ...] = bounded(-3, 3, default=())
    path: Path = Path()

    def __post_init__(self) -> None:
        require_bounds(self)


def refusal(folder: Path, text: str | bytes) -> str:
    path = folder / "sample.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"sample\.yaml") as raised:
        read_fields(path, Sample)
    assert len(str(raised.value)) < 1000 and "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size_m: 0.0", "size_m must be in (0, 2], got 0.0"),
        ("size_m: 2.001", "size_m must be in (0, 2], got 2.001"),
        ("counts: [1, 4]", "each of counts must be in [-3, 3], got (1, 4)"),
        ("size_m: .nan", "size_m must be a finite number"),
        ("size_m: -.inf", "size_m must be a finite number"),
        ("size_m: true", "size_m must be a finite number, got True"),
        ("size_m: 1e-3", "got '1e-3'; write 0.001"),
        (f"size_m: 1{'0' * 400}", "size_m must be a finite number"),
        (f"size_m: 0x{'F' * 9000}", "size_m must be a finite number"),
        (f"counts: [{'9' * 5000}]", "cannot be read"),
        ('path: "a\\0b"', "path must be a path"),
        ("size_m: 1.0\nsize_m: 2.0", "'size_m' is given twice"),
        ("<<: {size_m: 1.0}", "'<<' is not read"),
        ("[" * 5000, "nested deeper than 20 levels"),
        ("{a: " * 30, "nested deeper than 20 levels"),
        ("counts: !!int ''", "cannot be read"),
        ("counts: !!bool perhaps", "cannot be read"),
        ("counts: !!timestamp soon", "cannot be read"),
        ("counts: 2001-99-99", "cannot be read"),
        ("counts: !!python/object/apply:os.getcwd []", "cannot be read"),
        ("? [a, b]\n: 1", "cannot be read"),
        ("3: 1", "unknown field '3'"),
        ("- 1", "must hold 'field: value' lines"),
        (b"\xff\xfe", "cannot be read"),
        ("size_m: &again [*again]", "size_m must be a finite number"),
        (BOMB + "counts: *i", "unknown field 'a'"),
        ("#" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_what_a_file_cannot_say_is_refused_in_one_line(tmp_path, text, message):
    assert message in refusal(tmp_path, text)


def test_a_bomb_of_aliases_takes_no_memory_and_makes_no_long_message(tmp_path):
    tracemalloc.start()
    refusal(tmp_path, f"size_m: &i0 [x]\npath: [{', '.join(['*i0'] * 9)}]")
    refusal(tmp_path, BOMB)
    refusal(tmp_path, BOMB.replace("a: ", "size_m: ").replace("i: ", "counts: "))
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_yaml(path)
    except ConfigError as error:
        assert "any.yaml" in str(error)


@pytest.mark.parametrize("value", [float("nan"), 0.0, 2.1, float("inf")])
def test_a_range_holds_for_values_that_come_from_code_too(value):
    with pytest.raises(ConfigError, match="size_m must be in"):
        Sample(size_m=value)


def test_a_range_reads_as_in_a_book():
    assert (
        str(Bounds(0.0, 1.0)) == "[0, 1]" and str(Bounds(1e-4, 0.5, above=True)) == "(0.0001, 0.5]"
    )
    assert Bounds(0.0, 1.0).holds(0.0) and not Bounds(0.0, 1.0, above=True).holds(0.0)
