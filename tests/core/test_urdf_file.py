"""URDFs as they are in the world: those that are none are refused in one line, and meshes are found
where the world keeps them.
"""

import numpy as np
import pytest
import yaml

from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, load_robot

URDF = (ROBOTS_DIR / "wx250s.urdf").read_text()
XACRO = 'xmlns:xacro="http://www.ros.org/wiki/xacro"'
CUBE = "\n".join(
    [f"v {x} {y} {z}" for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    + ["f 1 2 4", "f 1 4 3", "f 5 7 8", "f 5 8 6", "f 1 5 6", "f 1 6 2"]
    + ["f 3 4 8", "f 3 8 7", "f 1 3 7", "f 1 7 5", "f 2 6 8", "f 2 8 4"]
)


def load(folder, urdf, name="mine.urdf", **changes):
    """The arm of a file with this URDF, text or bytes."""
    load_robot.cache_clear()
    folder.mkdir(parents=True, exist_ok=True)
    content = urdf if isinstance(urdf, bytes) else urdf.encode()
    (folder / name).write_bytes(content)
    data = yaml.safe_load((ROBOTS_DIR / "wx250s.yaml").read_text())
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**data, "urdf": str(folder / name), **changes}))
    return Arm(load_robot(str(path)))


def refusal(folder, urdf, **given):
    with pytest.raises(ConfigError) as raised:
        load(folder, urdf, **given)
    message = str(raised.value)
    assert "mine." in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("urdf", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 600, "is empty"),
        (URDF[: len(URDF) // 2], "is it complete?"),
        (URDF[:-9], "is it complete?"),
        ("hello: world", "is not a readable URDF"),
        (b"\x1f\x8b\x08\0\0", "is not a readable URDF"),
        (URDF.encode().replace(b"<robot", b"<!-- \xe4 --><robot"), "is not a readable URDF"),
        ('<?xml version="1.0" encoding="klingon"?><robot/>', "is not a readable URDF"),
        ("<html><body>404</body></html>", "expected <robot>, found <html>"),
        ('<sdf version="1.6"><model name="a"/></sdf>', "expected <robot>, found <sdf>"),
        ('<robot name="x"/>', "no <link>"),
    ],
)
def test_what_is_no_urdf_is_said_to_be_none(tmp_path, urdf, says):
    assert says in refusal(tmp_path, urdf)


@pytest.mark.parametrize(
    ("urdf", "says"),
    [
        (URDF.replace("</robot>", "<xacro:arm/></robot>"), "unbound prefix"),
        (
            URDF.replace("<robot", f"<robot {XACRO}").replace("</robot>", "<xacro:arm/></robot>"),
            "<xacro:arm>",
        ),
        (f'<robot {XACRO} name="x"><xacro:include filename="a"/></robot>', "<xacro:include>"),
        (URDF.replace('xyz="0 0 0.0716"', 'xyz="0 0 ${h}"'), "joint 'waist'"),
        (URDF.replace('mass value="0.538736"', 'mass value="${m}"'), "link 'base_link'"),
        (URDF.replace('name="wx250s"', 'name="$(arg name)"'), '<robot name="$(arg name)"'),
    ],
)
def test_an_xacro_is_to_be_expanded_first(tmp_path, urdf, says):
    message = refusal(tmp_path, urdf)
    assert says in message and "run xacro first" in message


@pytest.mark.parametrize(
    "urdf",
    [
        b"\xef\xbb\xbf" + URDF.encode(),
        URDF.replace("<robot ", f"<robot {XACRO} "),
        URDF.replace("<robot ", "<!-- was ${prefix}arm in the xacro --><robot "),
        URDF.replace("\n", "\r\n"),
    ],
)
def test_what_only_looks_like_one_loads_as_the_shipped_arm(tmp_path, urdf):
    mine, shipped = load(tmp_path, urdf), Arm(load_robot("wx250s"))
    home = np.array(shipped.config.home_rad)
    assert np.array_equal(mine.forward(home), shipped.forward(home))
    assert mine.pair_names == shipped.pair_names


@pytest.mark.parametrize("kind", ["continuous", "floating", "planar"])
def test_a_joint_of_another_type_is_named_with_what_to_do(tmp_path, kind):
    urdf = URDF.replace('name="forearm_roll" type="revolute"', f'name="forearm_roll" type="{kind}"')
    message = refusal(tmp_path, urdf)
    assert f"joint 'forearm_roll' is {kind}" in message
    assert 'type="revolute"' in message and "<limit" in message


def with_mesh(filename):
    """The upper arm as a cube of 40 mm from a file."""
    box = '<box size="0.045 0.06 0.22"/>'
    assert box in URDF
    return URDF.replace(box, f'<mesh filename="{filename}" scale="0.04 0.04 0.04"/>')


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CUBE)


@pytest.mark.parametrize(
    ("filename", "place"),
    [
        ("cube.obj", "ws/arm/urdf/cube.obj"),
        ("../meshes/cube.obj", "ws/arm/meshes/cube.obj"),
        ("my meshes/wörfel.obj", "ws/arm/urdf/my meshes/wörfel.obj"),
        ("file://../meshes/cube.obj", "ws/arm/meshes/cube.obj"),
        ("file://TMP/elsewhere/a%20b.obj", "elsewhere/a b.obj"),
        ("TMP/elsewhere/cube.obj", "elsewhere/cube.obj"),
        ("package://arm/meshes/cube.obj", "ws/arm/meshes/cube.obj"),
        ("package://other/cube.obj", "ws/other/cube.obj"),
        ("package://other/cube.obj", "install/share/other/cube.obj"),
        ("package://another_name/meshes/cube.obj", "ws/arm/meshes/cube.obj"),
    ],
)
def test_meshes_are_found_where_they_are_kept(tmp_path, monkeypatch, filename, place):
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}/install")
    put(tmp_path / place)
    (tmp_path / "ws/arm").mkdir(parents=True, exist_ok=True)
    (tmp_path / "ws/arm/package.xml").touch()
    urdf = with_mesh(filename.replace("TMP", str(tmp_path)))
    arm = load(tmp_path / "ws/arm/urdf", urdf)
    names = " ".join(arm.pair_names)
    assert "upper_arm_link_0" in names
    shapes = {shape.name: shape for shape in arm._geometry[0].geometryObjects}
    shape = shapes["upper_arm_link_0"].geometry
    shape.computeLocalAABB()
    assert np.allclose(shape.aabb_local.max_, 0.04, atol=1e-3), "scaled"


@pytest.mark.parametrize(
    ("filename", "says"),
    [
        ("meshes/gone.stl", "put it there"),
        ("package://foo/gone.stl", "source the workspace"),
        ("file:///gone.stl", "put it there"),
        ("", "put it there"),
        ("http://example.org/a.stl", "put it there"),
    ],
)
def test_a_mesh_that_is_not_there_is_named_with_its_link(tmp_path, monkeypatch, filename, says):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")
    message = refusal(tmp_path, with_mesh(filename))
    assert "link 'upper_arm_link'" in message and f"'{filename}'" in message and says in message


def test_a_mesh_that_is_none_is_named(tmp_path):
    (tmp_path / "broken.stl").write_bytes(b"solid nothing")
    assert "broken.stl" in refusal(tmp_path, with_mesh("broken.stl"))


def test_a_visual_that_is_missing_does_not_keep_an_arm_from_moving(tmp_path):
    visual = '<visual><geometry><mesh filename="package://foo/gone.dae"/></geometry></visual>'
    load(tmp_path, URDF.replace('<link name="base_link">', f'<link name="base_link">{visual}'))
