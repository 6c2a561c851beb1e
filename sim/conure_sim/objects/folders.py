"""Graspable objects from any folder of URDFs, read by Pinocchio: one convex hull an object, split
by object.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pinocchio as pin
from scipy.spatial import QhullError

from conure_core.config.yaml_fields import checked_fields, read_fields
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.urdf_file import locate_meshes, read_urdf
from conure_core.types import Array
from conure_sim.objects.primitives import (
    PALETTE,
    WIDTH_RANGE_M,
    ObjectModel,
    lay_on_largest_face,
    make_object,
    make_resting_object,
)
from conure_sim.quiet import quiet

SPLITS = ("all", "train", "test")
YAML_SUFFIXES = (".yaml", ".yml")
MAX_RADIUS_M = 0.075
ROUND_SIDES = 12
SPHERE_RINGS = 5


@dataclass(frozen=True)
class ObjectFolder:
    """A folder of URDFs, searched with its subfolders; an object is named after its URDF."""

    folder: Path
    """The folder of the URDFs."""
    split: str = "all"
    """all, train or test."""
    test: tuple[str, ...] = ()
    """Names of the objects that are tested on."""
    test_share: float = 0.2
    """Without `test`: the share of objects that are tested on. They are chosen by a hash of the
    name, so that adding an object moves no other."""
    graspable: bool = False
    """Whether to scale each object to a width that every gripper closes on."""
    laid: bool = False
    """Whether to turn each object onto its largest face; else it stands as in its URDF."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise unknown_name("split", self.split, SPLITS)
        if not 0 <= self.test_share <= 1:
            raise ConfigError(f"test_share must be in [0, 1], got {self.test_share}")

    def is_tested(self, name: str) -> bool:
        """Whether the object of this name is in the test split."""
        if self.test:
            return name in self.test
        return _fraction(name) < self.test_share


def is_folder_path(objects: str) -> bool:
    """Whether this is a path, perhaps with a split behind it, and not the name of a set."""
    path = objects.removesuffix(":train").removesuffix(":test")
    return "/" in path or path.endswith(YAML_SUFFIXES) or Path(path).is_dir()


def parse_object_folder(objects: str | Mapping[str, Any]) -> ObjectFolder:
    """The folder meant by a path, by the path of a YAML file with ObjectFolder's fields, or by a
    mapping of them.

    A path may end in `:train` or `:test`, as in `/my/objects:test`. Raises: ConfigError for a wrong
    field.
    """
    if isinstance(objects, Mapping):
        return checked_fields(dict(objects), ObjectFolder, "objects", Path.cwd())
    text = objects
    split = ""
    if objects.endswith((":train", ":test")):
        text, _, split = objects.rpartition(":")
    if not text.endswith(YAML_SUFFIXES):
        return ObjectFolder(Path(text), split or "all")
    found = read_fields(Path(text), ObjectFolder)
    return replace(found, split=split or found.split)


@cache
def read_object_folder(source: ObjectFolder) -> dict[str, ObjectModel]:
    """The objects of a folder's split, by name.

    Raises: ConfigError naming the file, for a folder that is missing or empty, a split without
    objects, a URDF or mesh that is missing or unreadable, an object without volume or too large for
    the table.
    """
    paths = _urdf_paths(source.folder)
    missing = sorted(set(source.test) - paths.keys())
    if missing:
        raise ConfigError(f"{source.folder}: test: {unknown_name('object', missing[0], paths)}")
    chosen = {name: path for name, path in paths.items() if _is_in_split(name, source)}
    if not chosen:
        raise ConfigError(
            f"{source.folder}: none of its {len(paths)} objects is in the split '{source.split}'"
        )
    return {name: _read(name, path, source) for name, path in chosen.items()}


def _is_in_split(name: str, source: ObjectFolder) -> bool:
    if source.split == "all":
        return True
    return source.is_tested(name) == (source.split == "test")


def _urdf_paths(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ConfigError(
            f"no folder of objects at {folder}; give train, test, or the path of a folder of URDFs"
        )
    found = sorted(folder.rglob("*.urdf"))
    if not found:
        raise ConfigError(
            f"{folder} holds no .urdf file, nor do its subfolders; an object is a URDF with its"
            " meshes"
        )
    stems = [path.stem for path in found]
    paths: dict[str, Path] = {}
    for path in found:
        unique = stems.count(path.stem) == 1
        name = path.stem if unique else path.relative_to(folder).with_suffix("").as_posix()
        paths[name] = path
    return paths


def _read(
    name: str,
    path: Path,
    source: ObjectFolder,
) -> ObjectModel:
    root = _parse(path)
    colour = _colour(root) or PALETTE[int(_fraction(name) * len(PALETTE))]
    points = _points(root, path)
    try:
        points = lay_on_largest_face(points) if source.laid else points
        model = make_resting_object(name, points, colour)
    except QhullError as error:
        raise ConfigError(
            f"{path}: its points span no volume; it needs at least one solid shape"
        ) from error

    if source.graspable:
        low_m, high_m = WIDTH_RANGE_M
        width_m = low_m + _fraction(name) * (high_m - low_m)
        return make_object(name, points, colour, width_m)
    if model.radius_m > MAX_RADIUS_M:
        raise ConfigError(
            f"{path}: reaches {model.radius_m:.3g} m from its centre, but at most {MAX_RADIUS_M} m"
            " fits on the table; is its mesh in millimetres? Scale it in the URDF, or set"
            " graspable: true"
        )
    return model


def _parse(path: Path) -> ElementTree.Element:
    """The URDF's tree, its mesh files as absolute paths."""
    root = read_urdf(path)
    locate_meshes(root, path, ("collision", "visual"))
    return root


def _points(root: ElementTree.Element, path: Path) -> Array:
    """Points (n, 3), m, of all collision shapes, or of the visual ones where there are none."""
    text = ElementTree.tostring(root, encoding="unicode")
    for kind in (pin.GeometryType.COLLISION, pin.GeometryType.VISUAL):
        try:
            with quiet():
                model = pin.buildModelFromXML(text)
                shapes = pin.buildGeomFromUrdfString(model, text, kind).geometryObjects
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{path} is not a readable URDF: {' '.join(str(error).split())}"
            ) from error
        if len(shapes):
            points = np.vstack([_base_points(shape, model) for shape in shapes])
            if not np.isfinite(points).all():
                raise ConfigError(f"{path}: a shape has points that are not finite")
            return points
    raise ConfigError(f"{path} has neither collision nor visual geometry")


def _base_points(shape: pin.GeometryObject, model: pin.Model) -> Array:
    """The shape's points, (n, 3), in the object's frame. An object is rigid: joints, if any, stay
    at zero.
    """
    data = model.createData()
    pin.forwardKinematics(model, data, pin.neutral(model))
    pose = data.oMi[shape.parentJoint] * shape.placement
    return np.asarray(_outline(shape.geometry) @ pose.rotation.T + pose.translation)


def _outline(solid: pin.hppfcl.CollisionGeometry) -> Array:
    """Points (n, 3) whose hull is the shape's, round shapes by polygons."""
    if isinstance(solid, pin.hppfcl.Box):
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return corners * solid.halfSide
    if isinstance(solid, pin.hppfcl.Cylinder):
        return np.vstack([_ring(solid.radius, z) for z in (-solid.halfLength, solid.halfLength)])
    if isinstance(solid, pin.hppfcl.Sphere):
        angles = np.linspace(-np.pi / 2, np.pi / 2, SPHERE_RINGS)
        rings = []
        for angle in angles:
            rings.append(_ring(solid.radius * np.cos(angle), solid.radius * np.sin(angle)))
        return np.vstack(rings)
    return np.array(solid.vertices())


def _ring(radius_m: float, z_m: float) -> Array:
    angles = np.arange(ROUND_SIDES) * 2 * np.pi / ROUND_SIDES
    x = radius_m * np.cos(angles)
    y = radius_m * np.sin(angles)
    return np.stack([x, y, np.full(ROUND_SIDES, z_m)], axis=1)


def _colour(root: ElementTree.Element) -> tuple[float, float, float] | None:
    """The first colour that the URDF states, rgb in [0, 1]."""
    for colour in root.iter("color"):
        try:
            red, green, blue, *_ = (float(word) for word in colour.get("rgba", "").split())
        except ValueError:
            continue
        return red, green, blue
    return None


def _fraction(name: str) -> float:
    """A number in [0, 1) that is always the same for a name."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
