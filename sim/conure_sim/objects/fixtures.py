"""Fixtures, which stand on the table beside the objects: containers, a carry box, cups, a drawer, a
button, a goal mark.

All are made of boxes, so that every part is convex and a few hundred triangles show it all. Lengths
m, colours rgb in [0, 1]; the underside of every model lies at z = 0, its centre above the origin.
"""

from dataclasses import dataclass, replace

import numpy as np

from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_sim.orientation import quaternion_from_yaw

Colour = tuple[float, float, float]
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
SIDES = 8
THICKNESS_M = 0.003


@dataclass(frozen=True)
class BoxPart:
    """One box of a fixture."""

    centre: Array
    """In the fixture's frame, (3,) m."""
    half: Array
    """Half of its size, (3,) m."""
    quaternion: tuple[float, ...] = UPRIGHT
    """Its orientation (xyzw)."""
    colour: Colour | None = None
    """None: the fixture's."""


@dataclass(frozen=True)
class Grip:
    """An upright slab that fingers grasp from above."""

    centre: tuple[float, float]
    """(x, y) in the fixture's frame, m."""
    thickness_m: float
    """Along y, between the fingers."""
    breadth_m: float
    """Along x."""
    height_m: float
    """Height of its upper edge."""
    colour: Colour
    """Colour of the slab; the stem has the fixture's."""
    stem_m: float = 0.0
    """Length of the stem along x that joins the slab to its body; 0: no stem."""

    def boxes(self) -> list[BoxPart]:
        """Slab and stem, from just above the underside up."""
        x, y = self.centre
        half = np.array([self.breadth_m, self.thickness_m, self.height_m - THICKNESS_M]) / 2
        slab_z = half[2] + THICKNESS_M
        slab = BoxPart(np.array([x, y, slab_z]), half, colour=self.colour)
        if not self.stem_m:
            return [slab]

        stem_x = x - np.sign(x) * (self.breadth_m + self.stem_m) / 2
        stem_z = 0.4 * self.height_m
        stem = _box((stem_x, y, stem_z), (self.stem_m / 2, 0.004, 0.008))
        return [slab, stem]


@dataclass(frozen=True)
class ContainerModel:
    """A container: a floor and the walls around it, square or round (eight-sided)."""

    name: str
    side_m: float
    """Its outer width."""
    wall_m: float
    """The height of its walls."""
    colour: Colour
    """Colour of floor and walls."""
    round: bool = False
    """Whether it has eight sides, not four."""
    flare_m: float = 0.0
    """Distance by which the rim of a round one lies outside its floor."""
    mass_kg: float = 0.0
    """0: it is fixed."""
    grip: Grip | None = None
    """The grip by which it is carried."""

    def boxes(self) -> list[BoxPart]:
        """Its parts: floor, walls, grip."""
        floor_and_walls = self._round_boxes() if self.round else self._square_boxes()
        return floor_and_walls + ([] if self.grip is None else self.grip.boxes())

    def contains(self, offset: Array) -> bool:
        """Whether a point lies inside: (3,) m from the centre of the floor's underside, in the
        container's frame.
        """
        if self.round:
            across_m = float(np.linalg.norm(offset[:2]))
        else:
            across_m = float(np.abs(offset[:2]).max())
        if across_m >= self.side_m / 2:
            return False
        return bool(-0.005 < offset[2] < self.wall_m + 0.005)

    def _square_boxes(self) -> list[BoxPart]:
        half = self.side_m / 2
        thick = THICKNESS_M
        wall = self.wall_m / 2
        offset = half - thick

        along_x = (half, thick, wall)
        along_y = (thick, half, wall)
        return [
            _box((0, 0, thick), (half, half, thick)),
            _box((0, -offset, wall), along_x),
            _box((0, offset, wall), along_x),
            _box((-offset, 0, wall), along_y),
            _box((offset, 0, wall), along_y),
        ]

    def _round_boxes(self) -> list[BoxPart]:
        inner = self.side_m / 2 - self.flare_m
        floor = _octagon(inner, THICKNESS_M)
        length = float(np.hypot(self.flare_m, self.wall_m))
        lean_rad = float(np.arctan2(self.flare_m, self.wall_m))
        radius = inner + self.flare_m / 2 - THICKNESS_M / 2
        half_width = self.side_m / 2 * np.tan(np.pi / SIDES)
        half = np.array([THICKNESS_M / 2, half_width, length / 2])

        walls = []
        for angle_rad in np.arange(SIDES) * 2 * np.pi / SIDES:
            x = radius * np.cos(angle_rad)
            y = radius * np.sin(angle_rad)
            centre = np.array([x, y, self.wall_m / 2])
            walls.append(BoxPart(centre, half, quaternion_from_yaw(angle_rad, lean_rad)))
        return [*floor, *walls]


@dataclass(frozen=True)
class DrawerModel:
    """A cabinet with one drawer that slides out along +x, and a grip on its front."""

    name: str
    depth_m: float
    """Outer size of the cabinet along x."""
    width_m: float
    """Outer size of the cabinet along y."""
    height_m: float
    """Outer height of the cabinet."""
    travel_m: float
    """Distance that the drawer slides."""
    cabinet_colour: Colour
    drawer_colour: Colour
    wall_m: float = 0.026
    """The height of the drawer's walls."""
    grip: Grip = Grip(
        centre=(0.024, 0.0),
        thickness_m=0.020,
        breadth_m=0.020,
        height_m=0.050,
        colour=(0.92, 0.92, 0.90),
        stem_m=0.016,
    )
    """Its centre is measured from the cabinet's front."""

    @property
    def inside_m(self) -> Array:
        """Half size (x, y) of the drawer's inside."""
        return np.array([self.depth_m / 2 - 0.010, self.width_m / 2 - 0.012])

    def cabinet_boxes(self) -> list[BoxPart]:
        """Two sides, a back and a roof; its front is open."""
        x = self.depth_m / 2
        y = self.width_m / 2
        z = self.height_m / 2
        thick = 0.0025

        side = (x, thick, z)
        return [
            _box((0, thick - y, z), side),
            _box((0, y - thick, z), side),
            _box((thick - x, 0, z), (thick, y, z)),
            _box((0, 0, self.height_m - thick), (x, y, thick)),
        ]

    def drawer_boxes(self) -> list[BoxPart]:
        """The drawer, closed: a floor, four walls and the grip in front."""
        x = self.depth_m / 2 - 0.004
        y = self.width_m / 2 - 0.008
        centre = 0.003
        wall = self.wall_m / 2
        thick = 0.002
        low = 0.002

        side = y - thick
        end = x - thick
        height = low + wall
        along_x = (x, thick, wall)
        along_y = (thick, y, wall)
        parts = [
            _box((centre, 0, low + thick), (x, y, thick)),
            _box((centre, -side, height), along_x),
            _box((centre, side, height), along_x),
            _box((centre - end, 0, height), along_y),
            _box((centre + end, 0, height), along_y),
        ]

        front = np.array([self.depth_m / 2, 0, 0])
        grip = []
        for part in self.grip.boxes():
            grip.append(replace(part, centre=part.centre + front, colour=self.grip.colour))
        return [*parts, *grip]


@dataclass(frozen=True)
class ButtonModel:
    """A base with a cap that a spring holds up."""

    name: str
    base_m: float
    """Width of the square base."""
    height_m: float
    """Height of the base."""
    cap_m: float
    """Width of the cap."""
    travel_m: float
    """Distance that the cap moves down."""
    press_m: float
    """Distance from which it counts as pressed."""
    base_colour: Colour
    cap_colour: Colour

    def base_boxes(self) -> list[BoxPart]:
        """A square base."""
        half = self.base_m / 2
        half_height = self.height_m / 2
        return [_box((0, 0, half_height), (half, half, half_height))]

    def cap_boxes(self) -> list[BoxPart]:
        """An eight-sided cap, its underside at z = 0, 4 mm taller than its travel."""
        return _octagon(self.cap_m / 2, (self.travel_m + 0.004) / 2)


def _box(centre: tuple[float, float, float], half: tuple[float, float, float]) -> BoxPart:
    """An upright box from its centre and half of its size, m."""
    return BoxPart(np.array(centre), np.array(half))


def _octagon(apothem_m: float, half_height_m: float) -> list[BoxPart]:
    """An upright eight-sided prism standing at z = 0: four boxes, crossed, cover it exactly."""
    half_width = apothem_m * np.tan(np.pi / SIDES)
    half = np.array([apothem_m, half_width, half_height_m])
    centre = np.array([0, 0, half_height_m])
    turns = [quaternion_from_yaw(k * np.pi / 4) for k in range(4)]
    return [BoxPart(centre, half, turn) for turn in turns]


def goal_mark(radius_m: float, colour: Colour) -> list[BoxPart]:
    """A flat eight-sided mark.

    Args:
        radius_m: Distance of its sides from its centre, m.
        colour: Rgb in [0, 1].

    Returns:
        Boxes 1 mm high, their underside at z = 0.
    """
    return [replace(part, colour=colour) for part in _octagon(radius_m, 0.0005)]


def _containers(
    kind: str, split: str, sizes: list[tuple[float, float, Colour]], **shape: float | bool
) -> list[ContainerModel]:
    """Variants of a kind, from their sides, walls (m) and colours."""
    return [
        ContainerModel(
            name=f"{kind}_{split}_{index}",
            side_m=side,
            wall_m=wall,
            colour=colour,
            **shape,  # type: ignore[arg-type]
        )
        for index, (side, wall, colour) in enumerate(sizes)
    ]


TRAY = ContainerModel(
    name="tray",
    side_m=0.11,
    wall_m=0.012,
    colour=(0.45, 0.45, 0.50),
)
BOX = ContainerModel(
    name="box",
    side_m=0.11,
    wall_m=0.035,
    colour=(0.55, 0.40, 0.25),
)
BOWL = {"round": True, "flare_m": 0.018}
PLATE = {"round": True, "flare_m": 0.012}
CONTAINERS: dict[str, dict[str, list[ContainerModel]]] = {
    "train": {
        "tray": [TRAY],
        "box": [BOX],
        "bowl": _containers(
            "bowl",
            "train",
            [(0.116, 0.032, (0.85, 0.83, 0.78)), (0.122, 0.036, (0.25, 0.42, 0.55))],
            **BOWL,
        ),
        "plate": _containers(
            "plate",
            "train",
            [(0.120, 0.010, (0.90, 0.90, 0.92)), (0.130, 0.012, (0.70, 0.35, 0.25))],
            **PLATE,
        ),
        "bin": _containers(
            "bin", "train", [(0.130, 0.035, (0.35, 0.37, 0.40)), (0.124, 0.038, (0.50, 0.36, 0.22))]
        ),
    },
    "test": {
        "tray": _containers(
            "tray", "test", [(0.118, 0.014, (0.70, 0.68, 0.60)), (0.104, 0.010, (0.30, 0.40, 0.36))]
        ),
        "box": _containers(
            "box", "test", [(0.116, 0.032, (0.35, 0.38, 0.45)), (0.106, 0.038, (0.62, 0.55, 0.30))]
        ),
        "bowl": _containers("bowl", "test", [(0.120, 0.034, (0.30, 0.50, 0.35))], **BOWL),
        "plate": _containers("plate", "test", [(0.126, 0.011, (0.28, 0.30, 0.45))], **PLATE),
        "bin": _containers("bin", "test", [(0.126, 0.036, (0.58, 0.52, 0.42))]),
    },
}

_GRIP = (0.85, 0.85, 0.82)
_CARRY_GRIP = Grip(
    centre=(0.0, 0.0),
    thickness_m=0.020,
    breadth_m=0.108,
    height_m=0.070,
    colour=_GRIP,
)
_MUG_GRIP = Grip(
    centre=(-0.037, 0.0),
    thickness_m=0.020,
    breadth_m=0.020,
    height_m=0.046,
    colour=_GRIP,
    stem_m=0.007,
)
CARRY_BOXES = {
    "train": ContainerModel(
        name="carry_box",
        side_m=0.120,
        wall_m=0.030,
        colour=(0.30, 0.42, 0.62),
        mass_kg=0.08,
        grip=_CARRY_GRIP,
    ),
    "test": ContainerModel(
        name="carry_crate",
        side_m=0.124,
        wall_m=0.028,
        colour=(0.58, 0.40, 0.28),
        mass_kg=0.08,
        grip=_CARRY_GRIP,
    ),
}
MUGS = {
    "train": ContainerModel(
        name="mug",
        side_m=0.044,
        wall_m=0.050,
        colour=(0.80, 0.30, 0.25),
        round=True,
        mass_kg=0.04,
        grip=_MUG_GRIP,
    ),
    "test": ContainerModel(
        name="jug",
        side_m=0.044,
        wall_m=0.050,
        colour=(0.30, 0.55, 0.62),
        round=True,
        mass_kg=0.04,
        grip=_MUG_GRIP,
    ),
}
CUPS = {
    "train": ContainerModel(
        name="cup",
        side_m=0.076,
        wall_m=0.045,
        colour=(0.85, 0.85, 0.80),
        round=True,
    ),
    "test": ContainerModel(
        name="beaker",
        side_m=0.074,
        wall_m=0.048,
        colour=(0.40, 0.42, 0.46),
        round=True,
    ),
}
DRAWERS = {
    "train": DrawerModel(
        name="drawer",
        depth_m=0.090,
        width_m=0.100,
        height_m=0.055,
        travel_m=0.060,
        cabinet_colour=(0.52, 0.38, 0.25),
        drawer_colour=(0.68, 0.54, 0.38),
    ),
    "test": DrawerModel(
        name="drawer",
        depth_m=0.090,
        width_m=0.104,
        height_m=0.055,
        travel_m=0.062,
        cabinet_colour=(0.36, 0.40, 0.46),
        drawer_colour=(0.55, 0.60, 0.66),
    ),
}
BUTTONS = {
    "train": ButtonModel(
        name="button",
        base_m=0.070,
        height_m=0.020,
        cap_m=0.040,
        travel_m=0.010,
        press_m=0.007,
        base_colour=(0.25, 0.25, 0.28),
        cap_colour=(0.85, 0.12, 0.10),
    ),
    "test": ButtonModel(
        name="button",
        base_m=0.064,
        height_m=0.024,
        cap_m=0.036,
        travel_m=0.010,
        press_m=0.007,
        base_colour=(0.60, 0.60, 0.58),
        cap_colour=(0.15, 0.55, 0.25),
    ),
}


def container_models(kind: str, split: str) -> list[ContainerModel]:
    """The variants of a kind of container.

    Args:
        kind: 'tray', 'box', 'bowl', 'plate' or 'bin'.
        split: 'train' or 'test'.

    Returns:
        At least one model.

    Raises:
        ConfigError: The kind or the split is unknown.
    """
    if split not in CONTAINERS:
        raise unknown_name("container set", split, CONTAINERS)
    if kind not in CONTAINERS[split]:
        raise unknown_name("kind of container", kind, CONTAINERS[split])
    return CONTAINERS[split][kind]
