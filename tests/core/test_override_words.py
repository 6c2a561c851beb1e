"""What a person writes on the command line arrives as it was written, and nothing secret is shown."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.cli.running import call
from conure_core.config.override_words import for_hydra
from conure_core.errors import ConfigError, unknown_name, without_passwords

ADDRESS = "rtsp://me:secret@camera/x?channel=1&subtype=0"


@dataclass
class Inner:
    rate: float = 1.0
    path: str = ""


@dataclass
class Schema:
    source: str = ""
    place: Path = Path()
    perhaps: str | None = None
    count: int = 3
    inner: Inner = field(default_factory=Inner)
    free: dict[str, dict[str, Any]] = field(default_factory=dict)


def merged(*words):
    """The values that Hydra's grammar and OmegaConf's merge make of the words."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    plain = OmegaConf.structured(Schema)
    OmegaConf.set_struct(plain, True)
    parsed = OverridesParser.create().parse_overrides([for_hydra(word, plain) for word in words])
    assert not any(override.is_sweep_override() for override in parsed)
    ConfigLoaderImpl._apply_overrides_to_config(parsed, plain)
    return OmegaConf.to_container(plain)


@pytest.mark.parametrize(
    "value",
    [
        "gst:v4l2src device=/dev/video0 ! videoconvert ! appsink",
        ADDRESS,
        "/data/a=b,c (1)/wörfel & co.mp4",
        "it's.mp4",
        "c:\\videos\\",
        "0",
        "1e3",
        "true",
        "a,b",
        "[a]",
        "nan",
        "?",
        "#1",
        "x: y",
        "[",
        "NULL",
        "'tis.mp4",
    ],
)
@pytest.mark.parametrize("key", ["source", "perhaps", "inner.path"])
def test_a_text_is_taken_literally(key, value):
    found = merged(f"{key}={value}")
    for part in key.split("."):
        found = found[part]
    assert found == value


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])))
def test_any_text_is_one_override(value):
    """Quotes around it, spaces at its ends and ${...} keep the meaning that Hydra gives them."""
    if value[:1] in "'\"" or "${" in value or value != value.strip() or "\\" in value:
        return
    if value not in ("null", "~") and not value.startswith("~/"):
        assert merged(f"source={value}")["source"] == value


def test_what_hydra_knows_keeps_its_meaning(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert merged("source='a,b'")["source"] == "a,b"
    assert merged('source="a b"')["source"] == "a b"
    assert merged("perhaps=null")["perhaps"] is None
    assert merged("source=${count}")["source"] == "${count}"
    assert merged("count=5", "inner.rate=2")["inner"]["rate"] == 2.0
    assert merged("source=~/a b.mp4")["source"] == "/home/me/a b.mp4"
    assert str(merged("place=~/x=1")["place"]) == "/home/me/x=1"


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_mapping_of_any_keys_takes_them_with_or_without_plus(plus):
    words = [f"{plus}free.camera.source={ADDRESS}", f"{plus}free.camera.rate_hz=60"]
    assert merged(*words)["free"] == {"camera": {"source": ADDRESS, "rate_hz": 60}}


def test_a_misspelt_key_is_not_made_a_new_one():
    from omegaconf import OmegaConf

    assert for_hydra("sorce=a", OmegaConf.structured(Schema)) == "sorce=a"
    assert for_hydra("inner.rte=1", OmegaConf.structured(Schema)) == "inner.rte=1"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://me:secret@camera/1",
        "rtsp://me:secret@camera:554/x?channel=1&subtype=0",
        "rtsp://me:sec/ret@camera/1",
        "rtsp://me:p@secret@camera/1",
        "http://camera/video?user=me&password=secret",
        "rtsp://camera/user=me_password=secret_channel=1.sdp",
        "gst:rtspsrc location=rtsp://camera user-id=me user-pw=secret ! appsink",
        "rtsps://secret@camera",
    ],
)
def test_no_line_of_a_verb_shows_a_password(address, capsys):
    def refuse(words):
        raise ConfigError(f"no camera at '{words[0]}'; it gives nothing")

    assert "secret" not in without_passwords(address)
    assert call("conure up", refuse, [address]) == 1
    line = capsys.readouterr().err
    assert "secret" not in line and "camera" in line and line.endswith("it gives nothing\n")


@pytest.mark.parametrize(("name", "end"), [("nope", "'nope'. Valid:"), ("vew", "'view'? Valid:")])
def test_an_unknown_name_is_a_sentence(name, end):
    assert end in str(unknown_name("verb", name, ["view", "up"]))
