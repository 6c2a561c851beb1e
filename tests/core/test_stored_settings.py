"""Files of servo settings: what comes back, and what is refused before a servo hears of it."""

import json

import pytest

from conure_core.errors import ConfigError, DataError
from conure_core.servos.bus_config import BusConfig, ServoConfig, load_bus
from conure_core.servos.stored_settings import StoredSettings, read_stored


@pytest.fixture
def stored(tmp_path):
    """The settings of the serial WidowX, in a file."""
    bus = load_bus("wx250s_serial")
    registers = {servo.id: bus.settings(servo) for servo in bus.servos}
    path = tmp_path / "arm.json"
    StoredSettings("wx250s", bus, registers).write(path)
    return path


def test_settings_come_back_with_all_that_it_takes_to_reach_the_servos(tmp_path):
    own = ServoConfig("waist", 3, "XM430-W999", model_number=4711, current_unit_ma=2.0)
    bus = BusConfig("dynamixel_x", "/dev/ttyUSB1", (own,), baud=57_600, latency_s=0.02)
    before = StoredSettings("arm", bus, {3: {"homing_offset": -5}})
    before.write(tmp_path / "arm.json")
    after = read_stored(tmp_path / "arm.json")
    assert after == before and not after.finished
    before.finish(tmp_path / "arm.json")
    assert read_stored(tmp_path / "arm.json").finished


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data.update(format=2), "not a file of servo settings of format 1"),
        (lambda data: data.pop("family"), "missing fields family"),
        (lambda data: data["servos"][0]["registers"].update(torque_enable=1), "not a setting"),
        (lambda data: data["servos"][0]["registers"].update(model_number=1), "not a setting"),
        (lambda data: data["servos"][0]["registers"].update(homing_offset=1e3), "whole number"),
        (lambda data: data["servos"][0]["registers"].update(homing_offset=True), "whole number"),
        (lambda data: data["servos"][0]["registers"].update(homing_offset=1 << 40), "must be -"),
        (lambda data: data["servos"][0]["registers"].update(lock=0), "not a setting"),
        (lambda data: data["servos"][0].update(registers=[1]), "register names and values"),
        (lambda data: data["servos"][0].update(model="XL320"), "XL320"),
        (lambda data: data.update(servos="none"), "servos must be a list"),
    ],
)
def test_a_file_that_is_no_file_of_settings_is_refused_by_name(stored, spoil, says):
    data = json.loads(stored.read_text())
    spoil(data)
    stored.write_text(json.dumps(data))
    with pytest.raises(DataError, match=says) as refused:
        read_stored(stored)
    assert str(stored) in str(refused.value)


def test_no_file_is_another_answer(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        read_stored(tmp_path / "none.json")
