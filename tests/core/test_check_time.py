"""Shapes that take too long to check are refused when the arm is configured, with the time."""

import pytest

from conure_core.control import check_time
from conure_core.control.check_time import require_fast_checks
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, load_robot
from tests.core.test_urdf_file import URDF, load

BOX = '<box size="0.045 0.06 0.22"/>'


@pytest.mark.parametrize("name", sorted(path.stem for path in ROBOTS_DIR.glob("*.yaml")))
def test_every_shipped_arm_is_checked_fast_enough(name):
    assert require_fast_checks(Arm(load_robot(name))) > 0.0, "and it is not refused"


def sheet(side):
    """A wavy plate of 2 side^2 triangles, m, as a mesh file's text."""
    lines = [
        f"v {i / side - 0.5:.5f} {j / side - 0.5:.5f} {0.5 * ((i * 7 + j * 3) % 11) / 11:.5f}"
        for i in range(side + 1)
        for j in range(side + 1)
    ]
    for i in range(side):
        for j in range(side):
            first = i * (side + 1) + j + 1
            lines.append(f"f {first} {first + 1} {first + side + 1}")
            lines.append(f"f {first + 1} {first + side + 2} {first + side + 1}")
    return "\n".join(lines)


def test_a_heavy_mesh_takes_longer(tmp_path):
    (tmp_path / "heavy.obj").write_text(sheet(100))
    mesh = '<mesh filename="heavy.obj" scale="0.045 0.06 0.22"/>'
    heavy, boxes = load(tmp_path, URDF.replace(BOX, mesh)), Arm(load_robot("wx250s"))
    assert require_fast_checks(heavy) > 1.5 * require_fast_checks(boxes)


@pytest.mark.parametrize(("took_s", "fits"), [(0.004, True), (0.005, False)])
def test_an_arm_is_refused_whose_checks_take_more_than_half_a_period(monkeypatch, took_s, fits):
    """Twelve a command of 0.1 s: the wanted speed and five bisections, each with its braking."""
    monkeypatch.setattr(check_time, "_check_s", lambda *_: took_s)
    arm = Arm(load_robot("wx250s"))
    if fits:
        assert require_fast_checks(arm) == took_s
        return
    with pytest.raises(ConfigError) as refusal:
        require_fast_checks(arm)
    message = str(refusal.value)
    assert "wx250s.urdf: a check of its collision shapes takes 5.0 ms" in message
    assert "with 12 checks a command it may take 4.2 ms" in message and "convex hulls" in message
