"""The identity of a run: what decides its result, and what is said of another one."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_core.runtime.resume import CHANGES_NO_RESULT, digest, identity, require_same, stamp


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    workers: int = field(default=0, metadata={"low": 0, **CHANGES_NO_RESULT})


@dataclass(frozen=True)
class Config:
    seed: int = 0
    out: str = field(default="out", metadata=CHANGES_NO_RESULT)
    inner: Inner = field(default_factory=Inner)
    sizes: tuple[int, ...] = (3, 4)
    ranges: dict[str, float] = field(default_factory=dict)


def refusal(saved: object, wanted: object) -> str:
    with pytest.raises(ConfigError) as refused:
        require_same(Path("run/checkpoint.pt"), saved, identity(wanted))
    return str(refused.value)


def test_what_changes_no_result_is_in_no_identity_at_any_depth():
    assert identity(Config(out="a")) == identity(Config(out="b", inner=Inner(workers=8)))
    assert json.loads(identity([Config()])) == [
        {"seed": 0, "inner": {"rate": 0.1}, "sizes": [3, 4], "ranges": {}}
    ]


@pytest.mark.parametrize(
    "other", [Config(seed=1), Config(inner=Inner(0.2)), Config(sizes=()), Config(ranges={"a": 1.0})]
)
def test_everything_else_is(other):
    assert identity(other) != identity(Config())
    assert digest(other) != digest(Config())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values))
def test_a_run_resumes_whatever_the_order_and_the_form_of_its_values(made_of):
    turned = dict(reversed(made_of.items()))
    assert identity(turned) == identity(made_of)
    require_same(Path("run"), identity(made_of), identity(turned))
    require_same(Path("run"), made_of, identity(turned))


def test_a_configuration_from_a_file_and_one_from_python_are_the_same():
    assert identity(Config(sizes=[3, 4])) == identity(Config(sizes=(3, 4)))


def test_another_run_is_refused_by_the_settings_that_differ_with_both_values():
    message = refusal(identity(Config()), Config(seed=2, inner=Inner(0.5), ranges={"light": 1.0}))
    assert message == (
        "run/checkpoint.pt belongs to another run: its inner.rate is 0.1, not 0.5, its ranges.light"
        " is absent, not 1.0, its seed is 0, not 2, its ranges is {}, not absent; give the same,"
        " choose another out= or remove it"
    )


def test_a_message_lists_few_of_many_differences():
    many = {f"setting{index}": index for index in range(20)}
    message = refusal(identity({"seed": 0}), many)
    assert message.count("its ") == 6 and "and 15 more" in message


@pytest.mark.parametrize("saved", [None, "{'seed': 0}", "[1, 2]", "another", 3, object()])
def test_what_names_no_settings_is_refused_with_what_to_do(saved):
    assert (
        "another version of Conure wrote it; give the same, choose another out= or remove it"
        in (refusal(saved, Config()))
    )


def test_inputs_and_fields_left_out_by_the_caller():
    text = identity(Config(), without=["seed", "sizes", "ranges"], inputs={"data": 7})
    assert json.loads(text) == {"inner": {"rate": 0.1}, "data": 7}


def test_the_stamp_of_a_file_is_that_of_its_bytes_wherever_it_lies(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    stamps = [stamp(tmp_path / name) for name in "abc"]
    assert stamps[0] == stamps[1] != stamps[2]
    assert stamp(tmp_path / "d") is None


def test_the_stamp_of_a_folder_sees_another_file_name_size_or_time(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep" / "part"
    file.write_bytes(b"1")
    stamps = [stamp(folder)]
    moved = folder.rename(tmp_path / "moved")
    assert stamp(moved) == stamps[0]
    file = moved / "deep" / "part"
    file.write_bytes(b"12")
    stamps.append(stamp(moved))
    os.utime(file, ns=(0, 5))
    stamps.append(stamp(moved))
    file.rename(moved / "deep" / "other")
    stamps.append(stamp(moved))
    assert len(set(stamps)) == 4
