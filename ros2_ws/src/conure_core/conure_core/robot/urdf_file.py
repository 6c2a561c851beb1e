"""A URDF file as a tree of XML: whether it is one, and where its meshes lie."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from conure_core.errors import ConfigError

PACKAGE = "package://"
FILE = "file://"
OWN_ROBOTS = Path(__file__).resolve().parents[1] / "robots"
OWN_SHARE = "conure_core/robots"
XACRO = b"xacro:"
HOW_TO_EXPAND = "run xacro first (`xacro ARM.urdf.xacro > ARM.urdf`) and give what it writes"


def read_urdf(path: Path) -> ElementTree.Element:
    """Read a URDF.

    Returns:
        Its <robot>.

    Raises:
        ConfigError: It cannot be read, is empty, cut off or no URDF, or is an xacro that was not
            expanded; names the file and the place.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not content.strip(b"\0 \t\r\n"):
        raise ConfigError(f"{path} is empty; expected a URDF")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        remedy = HOW_TO_EXPAND if XACRO in content else "is it complete?"
        raise ConfigError(f"{path} is not a readable URDF: {error}; {remedy}") from error
    _require_expanded(root, path)
    if root.tag != "robot":
        raise ConfigError(f"{path} is not a readable URDF: expected <robot>, found <{root.tag}>")
    if root.find("./link") is None:
        raise ConfigError(f"{path} is not a readable URDF: its <robot> has no <link>")
    return root


def _require_expanded(root: ElementTree.Element, path: Path) -> None:
    for place, element in _places(root):
        namespace, _, tag = element.tag.rpartition("}")
        if namespace.endswith("xacro"):
            raise ConfigError(f"{path} is an xacro: <xacro:{tag}> is left in it; {HOW_TO_EXPAND}")
        texts = {f' {key}="{value}"': value for key, value in element.attrib.items()}
        text = (element.text or "").strip()
        for shown, value in {**texts, f">{text}": text}.items():
            if "${" in value or "$(" in value:
                raise ConfigError(f"{path} is an xacro: {place} has <{tag}{shown}; {HOW_TO_EXPAND}")


def _places(root: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    """Every element, with the link or joint that it belongs to."""
    yield "the file", root
    for part in root:
        name = part.get("name", "")
        place = f"{part.tag} '{name}'" if name else f"<{part.tag}>"
        for element in part.iter():
            yield place, element


def locate_meshes(
    root: ElementTree.Element,
    path: Path,
    kinds: tuple[str, ...] = ("collision",),
) -> None:
    """Replace the files of meshes by absolute paths.

    A path may be relative to the URDF, `file://`, or `package://`; then it is sought below the
    folders above the URDF and in AMENT_PREFIX_PATH.

    Args:
        root: The <robot>; it is changed.
        path: The URDF.
        kinds: Which shapes' meshes: "collision", "visual" or both.

    Raises:
        ConfigError: A file is not there; names the URDF, the link and the mesh.
    """
    for link in root.iterfind("./link"):
        for kind in kinds:
            for mesh in link.iterfind(f"./{kind}//mesh"):
                try:
                    found = find_mesh(mesh.get("filename", ""), path)
                except ConfigError as error:
                    raise ConfigError(f"{path}: link '{link.get('name')}': {error}") from error
                mesh.set("filename", str(found))


def description_text(path: Path) -> str:
    """Read a URDF as `robot_description` has it: with meshes that other programs find as well.

    Meshes of Conure's own robots become `package://conure_core/...` where that package is
    installed, other relative paths `file://`; addresses stay as they are.

    Raises:
        ConfigError: See `read_urdf`; or a mesh is not there.
    """
    root = read_urdf(path)
    for mesh in root.iterfind(".//mesh"):
        filename = mesh.get("filename", "")
        if "://" not in filename:
            mesh.set("filename", _address(find_mesh(filename, path)))
    return ElementTree.tostring(root, encoding="unicode")


def _address(mesh: Path) -> str:
    shared = mesh.is_relative_to(OWN_ROBOTS) and any(
        (prefix / "share" / OWN_SHARE).is_dir() for prefix in _prefixes()
    )
    if shared:
        return f"{PACKAGE}{OWN_SHARE}/{mesh.relative_to(OWN_ROBOTS).as_posix()}"
    return mesh.as_uri()


def _prefixes() -> Iterator[Path]:
    """Where ROS packages are installed."""
    return map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)))


def find_mesh(filename: str, urdf: Path) -> Path:
    """Find the file of a mesh.

    Args:
        filename: As the URDF has it.
        urdf: Path of the URDF.

    Returns:
        The absolute path of a file that exists.

    Raises:
        ConfigError: There is none; says where it was sought.
    """
    candidates = list(_candidates(filename, urdf.resolve()))
    for candidate in candidates:
        if filename and candidate.is_file():
            return candidate.resolve()
    remedy = "put it there, or correct the path"
    if filename.startswith(PACKAGE):
        package = filename.removeprefix(PACKAGE).partition("/")[0]
        remedy = (
            f"put the folder '{package}' above the URDF, or source the workspace that has the"
            " package (AMENT_PREFIX_PATH)"
        )
    raise ConfigError(f"its mesh '{filename}' is not at {candidates[0]}; {remedy}")


def _candidates(filename: str, urdf: Path) -> Iterator[Path]:
    """Where a mesh may be, the likeliest first; percent signs may be an address's."""
    for text in dict.fromkeys((filename, unquote(filename))):
        if text.startswith(PACKAGE):
            yield from _in_packages(text.removeprefix(PACKAGE), urdf)
        else:
            yield urdf.parent / text.removeprefix(FILE)


def _in_packages(text: str, urdf: Path) -> Iterator[Path]:
    _, _, inside = text.partition("/")
    for folder in urdf.parents:
        yield folder / text
    for prefix in _prefixes():
        yield prefix / "share" / text
    # The package's own folder, whatever its name: a clone is often called otherwise.
    for folder in urdf.parents:
        if (folder / "package.xml").is_file():
            yield folder / inside
