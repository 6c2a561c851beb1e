"""What servos keep without power: nothing of another program's is written over unasked, and what is
written can be put back, whatever interrupts it.
"""

import json

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from conure_core.cli import main
from conure_core.errors import RobotError
from conure_core.servos.stored_settings import read_stored
from conure_ros.drivers.servo_bus import ServoBus, ServoRefused, ServoSilent
from conure_ros.drivers.settings import SettingsWriter
from conure_ros.nodes import serial_arm_node
from conure_ros.nodes.serial_arm_node import SerialArmParameters

pytestmark = pytest.mark.nodes

SUCCESS = TransitionCallbackReturn.SUCCESS
OTHERS = {
    "dynamixel_x": {1: {"homing_offset": 100, "drive_mode": 1}, 9: {"secondary_id": 3}},
    "feetech_sts": {1: {"homing_offset": 100}, 9: {"return_delay": 250}},
}
"""Settings of another program, by servo."""
PRINTED = {
    "dynamixel_x": (
        "waist (servo 1): drive_mode 1 -> 0, homing_offset 100 -> 0",
        "left_finger (servo 9): secondary_id 3 -> 255",
    ),
    "feetech_sts": (
        "waist (servo 1): homing_offset 100 -> 0",
        "left_finger (servo 9): return_delay 250 -> 0",
    ),
}


@pytest.fixture
def foreign(line):
    """An arm that another program set up, powered off and on since."""
    for servo_id, registers in OTHERS[line.config.family].items():
        for name, value in registers.items():
            line.servos[servo_id].set(name, value)
        line.servos[servo_id].reboot()
    return line


def writer(line, said=None):
    return SettingsWriter("arm", line.folder / "kept", [].append if said is None else said.append)


def files(line):
    return sorted((line.folder / "kept" / "arm").glob("*"))


def are_locked(line):
    return all(
        servo.get("lock") for servo in line.servos.values() if "lock" in servo.family.registers
    )


def check(line, *arguments):
    with line.opened(*arguments) as arm:
        return arm.check()


def test_settings_of_another_program_are_named_old_and_new_by_servo_and_stay(foreign):
    before = foreign.memory()
    with pytest.raises(RobotError, match=r"Nothing was written: .*write_settings=true") as refused:
        check(foreign)
    assert all(text in str(refused.value) for text in PRINTED[foreign.config.family])
    assert foreign.memory() == before


def test_they_are_written_once_a_file_holds_them_and_the_verb_puts_them_back(foreign, capsys):
    before, said = foreign.held(), []
    check(foreign, writer(foreign, said))
    (path,) = files(foreign)
    assert str(path) in said[0] and "conure servos restore" in said[0]
    assert {f"writing {text}" for text in PRINTED[foreign.config.family]} == set(said[1:])
    wanted = {servo.id: foreign.config.settings(servo) for servo in foreign.config.servos}
    for servo in foreign.servos.values():
        servo.reboot()
    assert foreign.held() == wanted, "also after the power was off"
    assert read_stored(path).finished and read_stored(path).registers == before
    assert are_locked(foreign)
    check(foreign)  # nothing differs any more

    assert main(["servos", "restore", str(path)]) == 0
    assert "settings of 2 servos were put back" in capsys.readouterr().out
    for servo in foreign.servos.values():
        servo.reboot()
    assert foreign.held() == before and are_locked(foreign)
    assert main(["servos", "restore", str(path)]) == 0
    assert "nothing was written" in capsys.readouterr().out


@pytest.mark.parametrize("writes", range(1, 4))
def test_a_run_that_is_interrupted_can_be_repeated_or_put_back_and_leaves_no_servo_unlocked(
    foreign, monkeypatch, writes, capsys
):
    before, write, done = foreign.held(), ServoBus.write, []

    def cut(bus, servo_id, name, value):
        if name != "lock":
            done.append(name)
            if len(done) == writes:
                raise KeyboardInterrupt
        write(bus, servo_id, name, value)

    count = sum(map(len, OTHERS[foreign.config.family].values()))
    with monkeypatch.context() as patch:
        patch.setattr(ServoBus, "write", cut)
        if writes <= count:
            with pytest.raises(KeyboardInterrupt):
                check(foreign, writer(foreign))
        else:
            check(foreign, writer(foreign))
    assert are_locked(foreign)
    check(foreign, writer(foreign))
    (path,) = files(foreign)  # the second run went on with the first one's
    assert read_stored(path).registers == before
    assert main(["servos", "restore", str(path)]) == 0
    assert foreign.held() == before and are_locked(foreign)


def test_a_restoring_that_is_interrupted_is_repeated(foreign, monkeypatch):
    before = foreign.held()
    check(foreign, writer(foreign))
    (path,) = files(foreign)
    write = ServoBus.write

    def cut(bus, servo_id, name, value):
        write(bus, servo_id, name, value)
        if name != "lock":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ServoBus, "write", cut)
        assert main(["servos", "restore", str(path)]) == 130
    assert are_locked(foreign) and foreign.held() != before
    assert main(["servos", "restore", str(path)]) == 0
    assert foreign.held() == before


def test_servos_that_a_killed_program_left_unlocked_are_locked(line):
    for servo in line.servos.values():
        if "lock" in servo.family.registers:
            servo.set("lock", 0)
    check(line)
    assert are_locked(line)


def test_a_servo_that_does_not_keep_a_value_is_named_and_the_rest_can_be_put_back(foreign):
    before = foreign.held()
    foreign.servos[9].stuck = frozenset(OTHERS[foreign.config.family][9])
    with pytest.raises(ServoRefused, match=r"left_finger \(servo 9\) was told .* still holds"):
        check(foreign, writer(foreign))
    (path,) = files(foreign)
    assert not read_stored(path).finished and are_locked(foreign)
    assert main(["servos", "restore", str(path)]) == 0
    assert foreign.held() == before


def test_a_servo_that_falls_silent_half_way_is_named_with_what_it_may_be_left_as(
    foreign, monkeypatch
):
    before, write = foreign.held(), ServoBus.write

    def fall_silent(bus, servo_id, name, value):
        if name != "lock":
            foreign.simulated.faults.lost = [servo_id]
        write(bus, servo_id, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(ServoBus, "write", fall_silent)
        with pytest.raises(ServoSilent, match="does not answer") as silent:
            check(foreign, writer(foreign))
    locks = "lock" in foreign.config.table.registers
    assert ("may be unlocked: start again once it answers" in str(silent.value)) == locks
    foreign.simulated.faults.lost = []
    check(foreign, writer(foreign))
    (path,) = files(foreign)
    assert are_locked(foreign) and read_stored(path).registers == before


def test_nothing_is_written_to_a_servo_with_torque(foreign, capsys):
    check(foreign, writer(foreign))
    (path,) = files(foreign)
    written = foreign.held()
    foreign.servos[1].set("homing_offset", 7)
    for servo in foreign.servos.values():
        servo.set("torque_enable", 1)
    with pytest.raises(RobotError, match=r"waist \(servo 1\): homing_offset 7 -> 0.*torque_off"):
        check(foreign, writer(foreign))
    assert files(foreign) == [path] and foreign.servos[1].get("homing_offset") == 7
    assert main(["servos", "restore", str(path)]) == 1
    assert "change only without torque" in capsys.readouterr().err
    foreign.servos[1].set("homing_offset", 0)
    assert foreign.held() == written


def test_where_no_file_can_be_kept_nothing_is_written(foreign):
    (foreign.folder / "kept").write_text("a file where the folder should be")
    before = foreign.memory()
    with pytest.raises(RobotError, match=r"kept.*settings_folder.*nothing was written"):
        check(foreign, writer(foreign))
    assert foreign.memory() == before


def test_an_interrupted_run_on_one_arm_does_not_hide_the_settings_of_another(foreign, monkeypatch):
    """Of two arms of one name, on one port after the other."""
    check(foreign, writer(foreign))
    (first,) = files(foreign)
    data = json.loads(first.read_text())
    first.write_text(json.dumps({**data, "finished": False}))
    foreign.servos[1].set("homing_offset", 55)
    before = foreign.held()
    check(foreign, writer(foreign))
    _, second = files(foreign)
    assert read_stored(second).registers == before
    assert main(["servos", "restore", str(second)]) == 0
    assert foreign.held() == before


def test_a_damaged_file_writes_nothing(foreign, capsys):
    check(foreign, writer(foreign))
    (path,) = files(foreign)
    path.write_text(path.read_text()[:-40])
    before = foreign.memory()
    assert main(["servos", "restore", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path} is damaged" in line
    assert foreign.memory() == before


def test_a_file_of_other_servos_is_refused_before_anything_is_written(foreign, capsys):
    check(foreign, writer(foreign))
    (path,) = files(foreign)
    foreign.servos[9].set("model_number", 4711)
    before = foreign.memory()
    assert main(["servos", "restore", str(path)]) == 1
    assert "left_finger (servo 9) is a model 4711" in capsys.readouterr().err
    assert foreign.memory() == before


def test_the_node_writes_settings_only_where_its_parameter_says_so(foreign, context, monkeypatch):
    before = foreign.held()
    for allowed in (False, True):
        given = SerialArmParameters(
            robot=foreign.name,
            write_settings=allowed,
            settings_folder=str(foreign.folder / "kept"),
        )
        monkeypatch.setattr(serial_arm_node, "declare", lambda node, schema, given=given: given)
        node = serial_arm_node.SerialArmNode()
        try:
            assert (node.trigger_configure() == SUCCESS) == allowed
            assert (foreign.held() == before) != allowed
        finally:
            node.trigger_shutdown()
            node.destroy_node()
    (path,) = (foreign.folder / "kept" / foreign.robot.name).glob("*.json")
    assert read_stored(path).registers == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.json"], "no such file"),
        (["a", "b"], "expected one FILE"),
        (["port=/dev/x"], "expected one FILE"),
    ],
)
def test_words_that_name_no_file_are_refused_in_one_line(words, says, capsys, tmp_path):
    assert main(["servos", "restore", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
