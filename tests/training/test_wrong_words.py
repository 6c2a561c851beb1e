"""Every verb, every key, wrong values: one line, or a configuration that is as it was declared."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import conure_core.config.loader as config_module
from conure_core.cli import main, verbs
from conure_core.config.loader import filled, load_config
from conure_core.errors import ConfigError, ConureError, DataError
from conure_training.prior.model import load_prior
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.torch_files import load_torch

WRONG: dict[str, Any] = {
    "text": "Nope",
    "empty": "",
    "NaN": math.nan,
    "infinite": math.inf,
    "negative": -1,
    "below 0": -0.5,
    "huge": 10**30,
    "large": 1e300,
    "list": [1],
    "empty list": [],
    "mapping": {"a": 5},
    "nothing": None,
    "true": True,
    "NUL": "a\0b",
    "surrogate": "\udcff",
    "self": "${out}",
    "folder": "/",
}


FIRST_WORDS = {"faults": ["gate"], "stop": ["timeout_s=5.0"]}
"""What makes a verb read its configuration: without a word, `conure stop` stops every arm at once.
"""
CONFIGURED = [verb for verb in verbs() if verb not in ("recordings recover", "servos restore")]
"""Verbs with keys; the others take files."""


class Began(BaseException):
    """Work would begin here, with this configuration."""


@dataclass(frozen=True)
class Loaded:
    """What a verb loads: the schema and the merged values, before overrides."""

    schema: type[Any]
    merged: DictConfig


def loaded(verb: str, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """What `verb` hands to `filled`, without any override."""
    run, caught = verbs()[verb].load(), []

    def catch(schema: type[Any], merged: DictConfig) -> Any:
        caught.append(Loaded(schema, merged))
        raise Began

    with monkeypatch.context() as patch:
        patch.setattr(config_module, "filled", catch)
        with pytest.raises(Began):
            run(FIRST_WORDS.get(verb, []))
    return caught[0]


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    """Every key, those of mappings within included."""
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            yield from keys_of(child, f"{prefix}{key}.")


def is_as_declared(value: Any, wanted: Any, name: str = "") -> bool:
    """Judged apart from `check_values`: the type, and no NaN in what no schema declares
    infinite.
    """
    if is_dataclass(wanted):
        if not isinstance(value, wanted):  # type: ignore[arg-type]
            return False
        hints = get_type_hints(type(value))
        return all(
            is_as_declared(getattr(value, f.name), hints[f.name], f.name) for f in fields(value)
        )
    origin, kinds = get_origin(wanted), get_args(wanted)
    if type(None) in kinds:
        return value is None or is_as_declared(value, kinds[0], name)
    if origin in (list, tuple):
        fixed = origin is tuple and kinds[-1] is not Ellipsis
        whole = not fixed or len(value) == len(kinds)
        return whole and all(is_as_declared(item, kinds[0], name) for item in value)
    if origin is dict:
        return all(is_as_declared(item, kinds[1], name) for item in value.values())
    if wanted is Any:
        return True
    if wanted is float:
        return isinstance(value, float) and (
            math.isfinite(value) or (name.startswith("target_m") and value == value)
        )
    bounded = not isinstance(value, int) or (
        abs(value) < 2**31 and not (name.endswith("seed") and value < 0)
    )
    return type(value) is wanted and bounded


def values_of(key: str, index: int) -> list[str]:
    """All for a verb's own keys; for those of a part every fourth, others each time."""
    names = list(WRONG)
    return names[index % 4 :: 4] if "." in key else names


@contextmanager
def replaced(merged: DictConfig, key: str, value: Any) -> Iterator[None]:
    """One value set as an override sets it, for as long as the block lasts."""
    above, _, name = key.rpartition(".")
    parent = OmegaConf.select(merged, above) if above else merged
    before = copy.deepcopy(parent._get_node(name))
    try:
        OmegaConf.update(merged, key, value, merge=True)
        yield
    finally:
        parent._content[name] = before


@pytest.mark.parametrize("verb", CONFIGURED)
def test_no_value_of_any_key_gives_a_traceback_or_slips_through(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loaded(verb, monkeypatch)
    keys = list(keys_of(found.merged))
    if verb != "view":  # whose factors are everybody's
        keys = [key for key in keys if not key.startswith("randomization.")]
    if verb == "demo":  # the other verbs' keys are fuzzed there
        keys = [key for key in keys if "." not in key]
    refused = 0
    for index, key in enumerate(keys):
        for name in values_of(key, index):
            try:
                with replaced(found.merged, key, WRONG[name]):
                    config = filled(found.schema, found.merged)
            except (ConureError, OmegaConfBaseException):
                refused += 1
                continue
            except Exception as error:
                pytest.fail(f"conure {verb} {key}={name}: {type(error).__name__}: {error}")
            assert is_as_declared(config, found.schema), (
                f"conure {verb} {key}={name} was accepted: {config}"
            )
    assert refused > len(keys)


WORDS = {
    "=5": "expected key=value",
    "": "expected key=value",
    "foo": "unknown key",
    "~seed": "",
    "{": "",
    "seed=[": "",
    "seed=1,2": "",
    "seed=${oc.env:NO_SUCH_VARIABLE}": "",
    "seed=${nope}": "",
    "seed=???": "",
    "seed=5e99": "",
    "hydra/launcher=x": "",
    "--multirun": "",
    "randomization=5": "",
    "randomization=[]": "",
    "randomization={}": "",
    "+randomization=full": "",
    "size=null": "",
    "out=\udcff": "UTF-8",
    "a\nb=5": "",
}


def test_no_word_gives_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    module = import_module(verbs()["prior"].module)

    def load(*arguments: Any) -> Any:
        raise Began(load_config(*arguments))

    monkeypatch.setattr(module, "load_config", load)
    for word, said in WORDS.items():
        try:
            status = main(["prior", word])
        except Began as began:
            assert is_as_declared(began.args[0], type(began.args[0])), word
            continue
        error = capsys.readouterr().err
        assert status == 1, word
        assert error.count("\n") == 1 and error.startswith("conure"), (word, error)
        assert said in error, (word, error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate task=Nope", "unknown task 'Nope'"),
        ("view seed=-1", "seed must be a whole number from 0"),
        ("up graph=sim +parameters.control=5", "Cannot assign int"),
        ("demos noise=[1]", "noise must have 2 values"),
        ("demos noise=[0.4,0.1]", "noise must be [lowest, highest]"),
        ("demos out={file}", "is a file, and a folder is written"),
        ("demos out={file}/below", "cannot be written to"),
        ("prior out={file}", "is a file, and a folder is written"),
        ("rl out={file}", "is a file, and a folder is written"),
        ("demo out={file}", "is a file, and a folder is written"),
        ("gallery out=/proc/nowhere", "cannot be written to"),
        ("view out={file}", "cannot be written to"),
        ("evaluate out={folder}", "is a folder, and a file is written"),
        ("bench sim out={folder}", "is a folder, and a file is written"),
        ("evaluate agent={file}", "is damaged"),
        ("evaluate agent={tensor}", "is damaged"),
        ("evaluate agent={folder}", "spec.json is missing"),
        ("view policy={tensor}", "is damaged"),
        ("export agent={pickle} out={folder}/bundle", "is damaged"),
        ("prior-report prior={pickle} out={folder}/report", "is damaged"),
        ("rl prior={tensor} out={folder}/rl", "is damaged"),
        ("rl demos={file} out={folder}/rl", "is damaged"),
        ("prior demos={file} out={folder}/prior", "no data set at"),
        ("prior-report demos={folder} prior={file} out={folder}/report", "is damaged"),
    ],
)
def test_places_and_files_that_cannot_be_used_are_one_line(
    tmp_path: Path, capsys, words: str, said: str
) -> None:
    places = foreign_files(tmp_path)
    for extra in ("prior={tensor}",) if words.startswith("rl demos") else ():
        words += f" {extra}"
    assert main([word.format_map(places) for word in words.split()]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def foreign_files(folder: Path) -> dict[str, Path]:
    places = {name: folder / name for name in ("file", "folder", "tensor", "pickle")}
    places["file"].write_text("not ours")
    places["folder"].mkdir()
    torch.save(torch.zeros(3), places["tensor"])
    torch.save({"contract": Path("a class of Python's")}, places["pickle"])
    return places


@pytest.mark.parametrize(
    "data",
    [
        5,
        [1],
        None,
        {},
        {"contract": 5},
        {"kind": "latent"},
        {"kind": [], "contract": {}},
        torch.zeros(2),
    ],
    ids=repr,
)
def test_a_foreign_torch_file_is_refused_by_whoever_reads_it(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "policy.pt"
    torch.save(data, path)
    with pytest.raises(ConureError):
        load_policy(path)
    with pytest.raises(ConureError):
        load_prior(path)


def test_a_foreign_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"note": Bomb()}, tmp_path / "prior.pt")
    with pytest.raises(DataError, match="is damaged"):
        load_torch(tmp_path / "prior.pt")
    assert not (tmp_path / "ran").exists()


@dataclass(frozen=True)
class Stumbling:
    """Fails on a value in a way that nobody foresaw."""

    value: int = 1

    def __post_init__(self) -> None:
        getattr(self.value, "nope")  # noqa: B009


def test_a_stumbling_schema_is_a_refusal() -> None:
    with pytest.raises(ConfigError, match="has no attribute 'nope'"):
        filled(Stumbling, OmegaConf.structured(Stumbling))
