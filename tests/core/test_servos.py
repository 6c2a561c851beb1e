"""Counts and angles, registers, and the description of a bus."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, RobotError
from conure_core.robot.description import load_robot, robot_file
from conure_core.servos.bus_config import BusConfig, ServoConfig, load_bus
from conure_core.servos.registers import FAMILIES
from conure_core.servos.scale import Encoders, ServoScale, crank_angle, crank_position

SCALE = ServoScale(load_bus("wx250s_serial"), load_robot("wx250s_serial"))


def written(tmp_path, change):
    """The serial robot's file, changed."""
    data = yaml.safe_load(robot_file("wx250s_serial").read_text())
    data["arm"] = str(robot_file("wx250s"))
    change(data)
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_positions_become_counts_and_back_to_within_half_a_count(fractions):
    positions = SCALE.lower + np.array(fractions) * (SCALE.upper - SCALE.lower)
    back = SCALE.positions(SCALE.counts(positions))
    assert np.abs(back - positions)[:-1].max() <= np.pi / 4096 + 1e-9
    assert abs(back - positions)[-1] < 5e-5, "half a count of the crank"


def test_two_servos_of_a_joint_turn_against_each_other_and_agree():
    home = np.append(load_robot("wx250s").home_rad, 0.03)
    counts = SCALE.counts(home) - 2048
    assert counts[1] == -counts[2] and counts[3] == -counts[4]
    assert SCALE.disagreement(SCALE.counts(home)).max() < 2e-3
    counts = SCALE.counts(home)
    counts[2] += 100
    assert int(SCALE.disagreement(counts).argmax()) == 2


def test_the_crank_is_that_of_the_datasheet():
    crank, rod = np.array([0.014]), np.array([0.024])
    assert crank_position(np.array([np.pi / 2]), crank, rod) == pytest.approx(0.038)
    assert crank_position(np.array([-np.pi / 2]), crank, rod) == pytest.approx(0.010)
    assert crank_position(np.array([0.0]), crank, rod) == pytest.approx(
        np.sqrt(0.024**2 - 0.014**2)
    )
    for angle in np.linspace(-1.5, 1.5, 31):
        assert crank_angle(
            crank_position(np.array([angle]), crank, rod), crank, rod
        ) == pytest.approx(angle)


@given(st.floats(-3, 3), st.lists(st.integers(-2000, 2000), max_size=50))
def test_encoders_that_wrap_are_followed_through_any_number_of_turns(start_turns, steps):
    true = round(start_turns * 4096)
    encoders = Encoders(np.array([true % 4096]), np.array([float(true)]), 4096)
    assert encoders.counts[0] == true
    for step in steps:
        true += step
        assert encoders.update(np.array([true % 4096]))[0] == true
        assert encoders.register(np.array([true + 5]))[0] == true % 4096 + 5


@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_registers_give_back_what_was_written(family, data):
    name = data.draw(st.sampled_from(sorted(FAMILIES[family].registers)))
    register = FAMILIES[family].registers[name]
    bits = 8 * register.size
    low, high = {
        "two": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        None: (0, (1 << bits) - 1),
    }.get(register.sign_bit, (-(2**10), 2**10))
    value = data.draw(st.integers(low, high))
    encoded = register.encode(value)
    assert len(encoded) == register.size
    assert register.decode(encoded) == value


def test_signs_are_written_as_each_family_does():
    assert FAMILIES["dynamixel_x"].register("goal_position").encode(-1) == b"\xff\xff\xff\xff"
    assert FAMILIES["feetech_sts"].register("goal_position").encode(-1) == b"\x01\x80"
    with pytest.raises(ConfigError, match="takes -2047 to 2047"):
        FAMILIES["feetech_sts"].register("homing_offset").encode(3000)


def test_error_bits_are_named():
    assert FAMILIES["dynamixel_x"].error_texts(32 | 4) == "overheating, overload"
    assert "unknown error 0x02" in FAMILIES["dynamixel_x"].error_texts(2)


def test_the_serial_arm_is_the_same_robot_to_a_bundle():
    assert load_robot("wx250s_serial").contract(48) == load_robot("wx250s").contract(48)
    assert load_robot("wx250s_serial").urdf == load_robot("wx250s").urdf


def test_a_serial_arm_can_tighten_its_limits(tmp_path):
    robot = load_robot(written(tmp_path, lambda data: data.update(max_speed_rad_s=[0.3] * 6)))
    assert robot.max_speed_rad_s == (0.3,) * 6
    assert robot.home_rad == load_robot("wx250s").home_rad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bus: bus.update(family="dynamixel"), "did you mean 'dynamixel_x'"),
        (lambda bus: bus["servos"][0].update(id=2), r"different and in 0\.\.252, got \[2\]"),
        (lambda bus: bus["servos"][0].update(model="XM430"), "did you mean 'XM430-W350'"),
        (lambda bus: bus["servos"].pop(0), r"no servo for \['waist'\]"),
        (lambda bus: bus["servos"][0].update(joint="wiast"), r"no joint for \['wiast'\]"),
        (lambda bus: bus["servos"][0].update(direction=0), "must be 1 or -1"),
        (lambda bus: bus["servos"][0].update(di=1), "unknown field 'di'"),
        (lambda bus: bus["servos"][0].update(id="one"), "a whole number"),
        (lambda bus: bus["servos"][7].update(current_limit_ma=100.0), "has no current limit"),
        (
            lambda bus: bus["servos"][0].update(current_limit_ma=4000.0, zero_counts=10**7),
            r"servo 1: zero_counts must be",
        ),
        (lambda bus: bus.update(lost_s=-1.0), r"lost_s must be in \[0\.01, 30\]"),
        (lambda bus: bus.update(port=""), "port must be the path"),
        (lambda bus: bus.update(rate_hz=0.0), r"rate_hz must be in \[1, 1000\]"),
    ],
)
def test_what_a_bus_cannot_be_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load_bus(written(tmp_path, lambda data: change(data["bus"])))


# Numbers as servos of arms in use report them.
ARMS = {
    "Koch": {"XL330-M077": 1190, "XL330-M288": 1200, "XL430-W250": 1060},
    "ViperX 300 S": {"XM540-W270": 1120, "XM430-W350": 1020, "XL430-W250": 1060},
    "OpenMANIPULATOR-X": {"XM430-W350": 1020},
    "GELLO": {"XL330-M288": 1200, "XC330-M288": 1240, "XC330-T288": 1220},
    "XC430": {"XC430-W150": 1070, "XC430-W240": 1080},
}


@pytest.mark.parametrize("arm", ARMS)
def test_the_servos_of_common_arms_are_known(arm):
    for model, number in ARMS[arm].items():
        servo = ServoConfig("waist", 1, model)
        assert BusConfig("dynamixel_x", "/dev/ttyUSB0", (servo,)).model(servo).number == number


@pytest.mark.parametrize(("model", "units"), [("XL330-M288", 500), ("XM540-W270", 186)])
def test_a_current_limit_is_written_in_the_unit_of_the_model(model, units):
    servo = ServoConfig("waist", 1, model, current_limit_ma=500.0)
    settings = BusConfig("dynamixel_x", "/dev/ttyUSB0", (servo,)).settings(servo)
    assert settings["current_limit"] == units


def test_no_two_models_of_a_family_have_one_number():
    for family in FAMILIES.values():
        numbers = [model.number for model in family.models.values()]
        assert len(set(numbers)) == len(numbers)


def test_a_model_that_is_not_known_gives_its_number():
    new = {"model": "XM430-W999", "model_number": 4711}
    servo = ServoConfig("waist", 1, **new, current_unit_ma=2.0, current_limit_ma=100.0)
    bus = BusConfig("dynamixel_x", "/dev/ttyUSB0", (servo,))
    assert bus.model(servo).number == 4711 and bus.settings(servo)["current_limit"] == 50
    with pytest.raises(ConfigError, match="give current_unit_ma too"):
        BusConfig(
            "dynamixel_x", "/dev/x", (ServoConfig("waist", 1, **new, current_limit_ma=100.0),)
        )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "XM430-W999"}, "Valid: .*XL330-M288.* may give its model_number"),
        ({"model": "XL320"}, "servo 1: a XL320 has another control table"),
        ({"model": "XL-320", "model_number": 350}, "has another control table"),
        ({"model": "AX-12A", "model_number": 12}, "has another control table"),
        ({"model": "XM430-W350", "model_number": 1030}, "has model number 1020; leave"),
    ],
)
def test_a_model_that_cannot_be_driven_is_refused_by_name(given, says):
    with pytest.raises(ConfigError, match=says):
        BusConfig("dynamixel_x", "/dev/ttyUSB0", (ServoConfig("waist", 1, **given),))


XM, XL330, STS = (
    ("dynamixel_x", "XM430-W350"),
    ("dynamixel_x", "XL330-M288"),
    ("feetech_sts", "STS3215"),
)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (STS, {"homing_offset_counts": 2114}, "homing_offset_counts must be -2047 to 2047.*2114"),
        (
            STS,
            {"current_limit_ma": 3400.0},
            r"current_limit_ma must be 6.5 to 3321.5 for a STS3215",
        ),
        (XM, {"current_limit_ma": 20_000.0}, r"current_limit_ma must be 2.69 to 3209.17.*20000"),
        (XL330, {"current_limit_ma": 1751.0}, "current_limit_ma must be 1 to 1750 for a XL330"),
        (XM, {"current_limit_ma": 1.0}, r"current_limit_ma must be 2.69 to .*got 1.0"),
        (
            XM,
            {"mode": "position", "homing_offset_counts": 1025},
            "homing_offset_counts must be -1024 to 1024.*'position'",
        ),
    ],
)
def test_a_value_that_the_servos_register_does_not_take_is_refused_when_the_file_is_read(
    kind, given, says
):
    """Some would be refused by the servo half way, others heeded as something else."""
    family, model = kind
    with pytest.raises(ConfigError, match=f"servo 6: {says}"):
        BusConfig(family, "/dev/x", (ServoConfig("gripper", 6, model, **given),))


@given(
    st.sampled_from([XM, XL330, STS]),
    st.sampled_from(["", "position"]),
    st.integers(-1_044_479, 1_044_479) | st.integers(-3000, 3000),
    st.floats(0.0, 20_000.0) | st.floats(0.0, 3.0),
)
def test_whatever_a_file_asks_of_a_servo_is_refused_or_fits_its_registers(
    kind, mode, offset, current_ma
):
    family, model = kind
    servo = ServoConfig(
        "waist", 1, model, mode=mode, homing_offset_counts=offset, current_limit_ma=current_ma
    )
    try:
        bus = BusConfig(family, "/dev/x", (servo,))
    except ConfigError:
        return
    for name, value in bus.settings(servo).items():
        register = bus.table.register(name)
        lowest, highest = register.takes or register.holds
        assert lowest <= value <= highest
        assert register.decode(register.encode(value)) == value


def test_every_model_takes_what_every_servo_is_set_to():
    for family in FAMILIES.values():
        for model in family.models:
            for mode in family.modes:
                BusConfig(family.name, "/dev/x", (ServoConfig("waist", 1, model, mode=mode),))


def test_a_robot_without_a_bus_says_so():
    with pytest.raises(ConfigError, match="no field 'bus'"):
        load_bus("wx250s")


def test_a_range_beyond_a_single_turn_is_refused(tmp_path):
    name = written(
        tmp_path, lambda data: data["bus"]["servos"][0].update(mode="position", zero_counts=100)
    )
    with pytest.raises(
        ConfigError, match=r"waist \(servo 1\).*beyond the one turn of mode 'position'"
    ):
        ServoScale(load_bus(name), load_robot(name))


def test_settings_hold_mode_homing_offset_and_current_limit(tmp_path):
    def change(data):
        data["bus"]["servos"][0].update(current_limit_ma=1345.0, homing_offset_counts=-20)

    bus = load_bus(written(tmp_path, change))
    assert bus.settings(bus.servos[0])["current_limit"] == 500
    assert bus.settings(bus.servos[0])["homing_offset"] == -20
    assert bus.settings(bus.servos[0])["operating_mode"] == 4
    assert bus.settings(bus.servos[8])["operating_mode"] == 3
    assert "current_limit" not in bus.settings(bus.servos[1])


@given(
    st.lists(st.floats(0, 1), min_size=9, max_size=9),
    st.lists(st.integers(-3, 3), min_size=9, max_size=9),
)
def test_the_turn_that_a_register_does_not_tell_is_the_one_in_the_joints_range(fractions, turns):
    """For every servo whose range, with its margin, is less than a turn."""
    turn = 4096
    lowest, highest = np.ceil(SCALE.lowest).astype(int), np.floor(SCALE.highest).astype(int)
    narrow = highest - lowest < turn
    assert narrow.sum() == 6, "all but waist, forearm_roll and wrist_rotate"
    true = (lowest + np.array(fractions) * (highest - lowest)).astype(np.int64)
    true[~narrow] = 2048
    assert np.array_equal(SCALE.unwrapped(true + turn * np.array(turns)), true)


@pytest.mark.parametrize(
    ("index", "raw", "message"),
    [
        (
            0,
            4090,
            (
                r"^waist \(servo 1\) reads 4090 counts, \+3\.132 rad, and a turn .* at -3\.151 rad"
                r" or \+3\.132 rad;"
            ),
        ),
        (
            0,
            -6,
            (
                r"^waist \(servo 1\) reads -6 counts, -3\.151 rad, and a turn away .* at -3\.151"
                r" rad or \+3\.132 rad;"
            ),
        ),
        (
            6,
            4090,
            r"^wrist_angle \(servo 7\) reads 4090 .*: outside .*\(-2\.347 rad to \+1\.945 rad\)",
        ),
        (8, 500, r"^left_finger \(servo 9\) reads 500 counts"),
    ],
)
def test_a_reading_that_no_turn_explains_or_that_two_explain_is_refused_by_name(
    index, raw, message
):
    counts = SCALE.counts(np.append(load_robot("wx250s").home_rad, 0.03))
    counts[index] = raw
    with pytest.raises(RobotError, match=message):
        SCALE.unwrapped(counts)


def test_so101s_reading_of_the_issue_is_refused_and_not_taken_for_half_a_turn_away():
    """A joint at -3.15 rad, just below count 0, read as +3.13 rad: no joint of the arm may be at
    either.
    """
    scale = ServoScale(load_bus("so101_serial"), load_robot("so101_serial"))
    counts = scale.counts(np.append(load_robot("so101").home_rad, 0.03))
    counts[4] = 4090
    with pytest.raises(
        RobotError, match=r"wrist_roll \(servo 5\) reads 4090 counts, \+3\.13\d rad: outside"
    ):
        scale.unwrapped(counts)
    counts[4] = (
        4096 - 200
    )  # within the margin beyond its range on the near side, -2.83 rad: nothing a turn away is
    assert scale.unwrapped(counts)[4] == 4096 - 200


def test_limits_of_position_in_the_file_are_settings_and_make_sense(tmp_path):
    limits = {"min_position_counts": 100, "max_position_counts": 4000}
    bus = load_bus(written(tmp_path, lambda data: data["bus"]["servos"][8].update(limits)))
    assert bus.settings(bus.servos[8])["min_position_limit"] == 100
    assert bus.settings(bus.servos[8])["max_position_limit"] == 4000
    assert "min_position_limit" not in bus.settings(bus.servos[0])


@pytest.mark.parametrize("limits", [(100, -1), (-1, 100), (300, 200), (0, 4096)])
def test_limits_of_position_that_make_no_sense_are_refused(tmp_path, limits):
    wrong = dict(zip(("min_position_counts", "max_position_counts"), limits, strict=True))
    with pytest.raises(ConfigError, match="must be given both, the smaller first"):
        load_bus(written(tmp_path, lambda data: data["bus"]["servos"][8].update(wrong)))
