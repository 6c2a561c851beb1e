"""The arm's URDF as PyBullet must be given it."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from conure_core.errors import ConfigError
from conure_core.robot.description import RobotConfig
from conure_core.robot.urdf_file import locate_meshes, read_urdf
from conure_sim.cached_files import text_file

MASSLESS = (
    '<inertial><mass value="0"/>'
    '<inertia ixx="0" iyy="0" izz="0" ixy="0" ixz="0" iyz="0"/></inertial>'
)


def simulated_urdf(robot: RobotConfig) -> Path:
    """Find or write the URDF that PyBullet is to load.

    PyBullet takes a link without <inertial> for one of 1 kg, and has rules of its own for where
    meshes are. A URDF that leaves it nothing to guess is given as it is; of another one, a copy in
    which such links have no mass and meshes have absolute paths.

    Raises:
        ConfigError: A mesh is not there, or nothing that a joint moves has a mass; names the link.
    """
    root = read_urdf(robot.urdf)
    before = ElementTree.tostring(root)
    locate_meshes(root, robot.urdf, ("collision", "visual"))
    massless = [link for link in root.iterfind("./link") if link.find("inertial") is None]
    _require_moving_mass(root, robot)
    if not massless and _all_relative(before, robot.urdf):
        return robot.urdf
    for link in massless:
        link.insert(0, ElementTree.fromstring(MASSLESS))
    return text_file(ElementTree.tostring(root, encoding="unicode"), ".urdf")


def _all_relative(text: bytes, path: Path) -> bool:
    """Whether every mesh is named by its path from the URDF, which PyBullet takes too."""
    names = (mesh.get("filename", "") for mesh in ElementTree.fromstring(text).iter("mesh"))
    return all((path.parent / name).is_file() for name in names)


def _require_moving_mass(root: ElementTree.Element, robot: RobotConfig) -> None:
    """A joint with no mass beyond it, up to the next joint, takes no finite force."""
    links = {str(link.get("name")): link for link in root.iterfind("./link")}
    joints = root.findall("./joint")
    for joint in joints:
        if joint.get("type") == "fixed":
            continue
        rigid = list(_rigid_part(_child(joint), joints))
        if not any(_mass_kg(links[name]) > 0.0 for name in rigid if name in links):
            raise ConfigError(
                f"{robot.urdf}: link '{_child(joint)}' moves with joint '{joint.get('name')}' and"
                " has no mass; give it an <inertial>, which the simulation needs"
            )


def _rigid_part(link: str, joints: list[ElementTree.Element]) -> Iterator[str]:
    """A link, and those that are fixed to it."""
    yield link
    for joint in joints:
        parent = joint.find("parent")
        if joint.get("type") == "fixed" and parent is not None and parent.get("link") == link:
            yield from _rigid_part(_child(joint), joints)


def _child(joint: ElementTree.Element) -> str:
    child = joint.find("child")
    return "" if child is None else str(child.get("link"))


def _mass_kg(link: ElementTree.Element) -> float:
    mass = link.find("inertial/mass")
    return 0.0 if mass is None else float(mass.get("value", "0"))
