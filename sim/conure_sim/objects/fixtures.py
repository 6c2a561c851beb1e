"""What stands on the table beside the objects: containers, a carry box, cups, a drawer, a button, a
goal mark.

All of it is made here from boxes, so that every part is convex and a few hundred triangles show it
all. Lengths m, colours rgb in [0, 1]; the underside of every model lies at z = 0, its middle above
the origin.
"""

from dataclasses import dataclass, replace

import numpy as np

from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_sim.orientation import turned

Colour = tuple[float, float, float]
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
SIDES = 8
THICKNESS_M = 0.003


@dataclass(frozen=True)
class BoxPart:
    """One box of a fixture: centre (3,) and half size (3,), m, quaternion (xyzw); without a colour,
    the fixture's.
    """

    centre: Array
    half: Array
    quaternion: tuple[float, ...] = UPRIGHT
    colour: Colour | None = None


@dataclass(frozen=True)
class Grip:
    """An upright slab that fingers take from above.

    Its middle (x, y), thickness along y, between the fingers, breadth along x, height; a stem along
    x, `stem_m` long, joins it to its body.
    """

    middle: tuple[float, float]
    thickness_m: float
    breadth_m: float
    height_m: float
    colour: Colour
    stem_m: float = 0.0

    def boxes(self) -> list[BoxPart]:
        """Slab and stem, from just above the underside up."""
        x, y = self.middle
        half = np.array([self.breadth_m, self.thickness_m, self.height_m - THICKNESS_M]) / 2
        slab = BoxPart(np.array([x, y, half[2] + THICKNESS_M]), half, colour=self.colour)
        if not self.stem_m:
            return [slab]
        middle = x - np.sign(x) * (self.breadth_m + self.stem_m) / 2
        stem = BoxPart(
            np.array([middle, y, 0.4 * self.height_m]), np.array([self.stem_m / 2, 0.004, 0.008])
        )
        return [slab, stem]


@dataclass(frozen=True)
class ContainerModel:
    """A container: a floor and the walls around it, square or round (eight-sided).

    `side_m` is its outer width, `wall_m` the height of its walls, `flare_m` how far the rim of a
    round one lies outside its floor. `mass_kg` 0: it stands fixed. `grip`: a wall in its middle by
    which it is carried.
    """

    name: str
    side_m: float
    wall_m: float
    colour: Colour
    round: bool = False
    flare_m: float = 0.0
    mass_kg: float = 0.0
    grip: Grip | None = None

    def boxes(self) -> list[BoxPart]:
        """Its parts: floor, walls, grip."""
        floor_and_walls = self._round_boxes() if self.round else self._square_boxes()
        return floor_and_walls + ([] if self.grip is None else self.grip.boxes())

    def holds(self, offset: Array) -> bool:
        """Whether a point, (3,) m from the middle of the floor's underside in the container's
        frame, lies inside.
        """
        across = (
            float(np.linalg.norm(offset[:2])) if self.round else float(np.abs(offset[:2]).max())
        )
        return bool(across < self.side_m / 2 and -0.005 < offset[2] < self.wall_m + 0.005)

    def _square_boxes(self) -> list[BoxPart]:
        half, thick, wall = self.side_m / 2, THICKNESS_M, self.wall_m / 2
        floor = BoxPart(np.array([0, 0, thick]), np.array([half, half, thick]))
        along_x = [
            (np.array([0, s * (half - thick), wall]), np.array([half, thick, wall]))
            for s in (-1, 1)
        ]
        along_y = [
            (np.array([s * (half - thick), 0, wall]), np.array([thick, half, wall]))
            for s in (-1, 1)
        ]
        return [floor, *(BoxPart(*part) for part in [*along_x, *along_y])]

    def _round_boxes(self) -> list[BoxPart]:
        inner = self.side_m / 2 - self.flare_m
        floor = octagon(inner, THICKNESS_M)
        length, lean = (
            float(np.hypot(self.flare_m, self.wall_m)),
            float(np.arctan2(self.flare_m, self.wall_m)),
        )
        middle = inner + self.flare_m / 2 - THICKNESS_M / 2
        half = np.array([THICKNESS_M / 2, self.side_m / 2 * np.tan(np.pi / SIDES), length / 2])
        walls = []
        for angle in np.arange(SIDES) * 2 * np.pi / SIDES:
            centre = np.array([middle * np.cos(angle), middle * np.sin(angle), self.wall_m / 2])
            walls.append(BoxPart(centre, half, turned(angle, lean)))
        return [*floor, *walls]


@dataclass(frozen=True)
class DrawerModel:
    """A cabinet with one drawer that slides out along +x, and a grip on its front. Sizes are outer
    ones.
    """

    name: str
    depth_m: float
    width_m: float
    height_m: float
    travel_m: float
    cabinet_colour: Colour
    drawer_colour: Colour
    wall_m: float = 0.026
    grip: Grip = Grip((0.024, 0.0), 0.020, 0.020, 0.050, (0.92, 0.92, 0.90), stem_m=0.016)

    @property
    def inside_m(self) -> Array:
        """Half size (x, y) of the drawer's inside."""
        return np.array([self.depth_m / 2 - 0.010, self.width_m / 2 - 0.012])

    def cabinet_boxes(self) -> list[BoxPart]:
        """Two sides, a back and a roof; its front is open."""
        x, y, z, thick = self.depth_m / 2, self.width_m / 2, self.height_m / 2, 0.0025
        sides = [
            BoxPart(np.array([0, s * (y - thick), z]), np.array([x, thick, z])) for s in (-1, 1)
        ]
        back = BoxPart(np.array([thick - x, 0, z]), np.array([thick, y, z]))
        roof = BoxPart(np.array([0, 0, self.height_m - thick]), np.array([x, y, thick]))
        return [*sides, back, roof]

    def drawer_boxes(self) -> list[BoxPart]:
        """The drawer, closed: a floor, four walls and the grip before its front."""
        x, y = self.depth_m / 2 - 0.004, self.width_m / 2 - 0.008
        middle, wall, thick, low = 0.003, self.wall_m / 2, 0.002, 0.002
        floor = BoxPart(np.array([middle, 0, low + thick]), np.array([x, y, thick]))
        walls = [
            BoxPart(np.array([middle, s * (y - thick), low + wall]), np.array([x, thick, wall]))
            for s in (-1, 1)
        ]
        ends = [
            BoxPart(np.array([middle + s * (x - thick), 0, low + wall]), np.array([thick, y, wall]))
            for s in (-1, 1)
        ]
        grip = [
            replace(part, centre=part.centre + [self.depth_m / 2, 0, 0], colour=self.grip.colour)
            for part in self.grip.boxes()
        ]
        return [floor, *walls, *ends, *grip]


@dataclass(frozen=True)
class ButtonModel:
    """A base with a cap that a spring holds up; pressed when the cap is `press_m` of its `travel_m`
    down.
    """

    name: str
    base_m: float
    height_m: float
    cap_m: float
    travel_m: float
    press_m: float
    base_colour: Colour
    cap_colour: Colour

    def base_boxes(self) -> list[BoxPart]:
        """A square foot."""
        half = np.array([self.base_m, self.base_m, self.height_m]) / 2
        return [BoxPart(np.array([0, 0, half[2]]), half)]

    def cap_boxes(self) -> list[BoxPart]:
        """An eight-sided cap, its underside at z = 0, a hair into the base when pressed."""
        return octagon(self.cap_m / 2, (self.travel_m + 0.004) / 2)


def octagon(apothem_m: float, half_height_m: float) -> list[BoxPart]:
    """An upright eight-sided prism standing at z = 0: four boxes, crossed, cover it exactly."""
    half = np.array([apothem_m, apothem_m * np.tan(np.pi / SIDES), half_height_m])
    middle = np.array([0, 0, half_height_m])
    return [BoxPart(middle, half, turned(k * np.pi / 4)) for k in range(4)]


def goal_mark(radius_m: float, colour: Colour) -> list[BoxPart]:
    """A flat eight-sided mark, to be seen only."""
    return [
        BoxPart(part.centre, part.half, part.quaternion, colour)
        for part in octagon(radius_m, 0.0005)
    ]


def _containers(
    kind: str, split: str, sizes: list[tuple[float, float, Colour]], **shape: float | bool
) -> list[ContainerModel]:
    return [
        ContainerModel(f"{kind}_{split}_{index}", side, wall, colour, **shape)  # type: ignore[arg-type]
        for index, (side, wall, colour) in enumerate(sizes)
    ]


TRAY = ContainerModel("tray", 0.11, 0.012, (0.45, 0.45, 0.50))
BOX = ContainerModel("box", 0.11, 0.035, (0.55, 0.40, 0.25))
BOWL, PLATE = {"round": True, "flare_m": 0.018}, {"round": True, "flare_m": 0.012}
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
_CARRY_GRIP = Grip((0.0, 0.0), 0.020, 0.108, 0.070, _GRIP)
_MUG_GRIP = Grip((-0.037, 0.0), 0.020, 0.020, 0.046, _GRIP, stem_m=0.007)
CARRY_BOXES = {
    "train": ContainerModel(
        "carry_box", 0.120, 0.030, (0.30, 0.42, 0.62), mass_kg=0.08, grip=_CARRY_GRIP
    ),
    "test": ContainerModel(
        "carry_crate", 0.124, 0.028, (0.58, 0.40, 0.28), mass_kg=0.08, grip=_CARRY_GRIP
    ),
}
MUGS = {
    "train": ContainerModel(
        "mug", 0.044, 0.050, (0.80, 0.30, 0.25), round=True, mass_kg=0.04, grip=_MUG_GRIP
    ),
    "test": ContainerModel(
        "jug", 0.044, 0.050, (0.30, 0.55, 0.62), round=True, mass_kg=0.04, grip=_MUG_GRIP
    ),
}
CUPS = {
    "train": ContainerModel("cup", 0.076, 0.045, (0.85, 0.85, 0.80), round=True),
    "test": ContainerModel("beaker", 0.074, 0.048, (0.40, 0.42, 0.46), round=True),
}
DRAWERS = {
    "train": DrawerModel(
        "drawer", 0.090, 0.100, 0.055, 0.060, (0.52, 0.38, 0.25), (0.68, 0.54, 0.38)
    ),
    "test": DrawerModel(
        "drawer", 0.090, 0.104, 0.055, 0.062, (0.36, 0.40, 0.46), (0.55, 0.60, 0.66)
    ),
}
BUTTONS = {
    "train": ButtonModel(
        "button", 0.070, 0.020, 0.040, 0.010, 0.007, (0.25, 0.25, 0.28), (0.85, 0.12, 0.10)
    ),
    "test": ButtonModel(
        "button", 0.064, 0.024, 0.036, 0.010, 0.007, (0.60, 0.60, 0.58), (0.15, 0.55, 0.25)
    ),
}


def container_models(kind: str, split: str) -> list[ContainerModel]:
    """The variants of a kind of container in a split, 'train' or 'test'. Raises: ConfigError for
    other names.
    """
    if split not in CONTAINERS:
        raise unknown_name("container set", split, CONTAINERS)
    if kind not in CONTAINERS[split]:
        raise unknown_name("kind of container", kind, CONTAINERS[split])
    return CONTAINERS[split][kind]
