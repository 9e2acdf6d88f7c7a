"""What a synthetic room is made of: solids, materials, a camera and a lamp.

World coordinates are metres: x to the right along the back wall, y from the wall behind the camera
to the back wall, z up from the floor. Everything here is plain Python floats under + − × ÷ √, so a
scene is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")
Vector = tuple[float, float, float]
Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1] as displayed; the renderer squares it to get reflectance."""

NEAREST = 0.7
FARTHEST = 10.0
"""The depth range of every pixel, in metres."""


class Label(IntEnum):
    """Object classes, by their numbers in NYU Depth v2."""

    BOTTLE = 2
    CABINET = 3
    CEILING = 4
    CHAIR = 5
    COUNTER = 7
    FLOOR = 11
    BIN = 12
    PAPER = 15
    REFRIGERATOR = 17
    TABLE = 19
    WALL = 21
    BOWL = 22
    SINK = 24
    BOX = 26
    DOOR = 28
    CUP = 35
    DESK = 36
    WHITEBOARD = 45
    KEYBOARD = 47
    MONITOR = 49
    CLOCK = 56
    WINDOW = 59
    PICTURE = 64
    VASE = 78
    PLANT = 82
    SOFA = 83
    BOOKS = 85
    BOOKSHELF = 88
    CURTAIN = 89
    PILLOW = 119
    MIRROR = 122
    TOILET = 124
    RUG = 130
    TOWEL = 135
    BATHTUB = 136
    LAMP = 144
    BED = 157
    NIGHT_STAND = 158
    DRESSER = 169
    TELEVISION = 172
    STOVE = 242


class Shape(IntEnum):
    """The kinds of solid."""

    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


class Texture(IntEnum):
    """The procedural textures; `rooms_texture` says how each looks."""

    PLAIN = 0
    WOOD = 1
    PLANKS = 2
    TILES = 3
    CARPET = 4
    STRIPES = 5
    PATTERN = 6
    FABRIC = 7
    CHECKS = 8
    CABINET = 9
    BOOKS = 10
    WINDOW = 11
    PICTURE = 12
    CURTAIN = 13
    LEAF = 14
    MIRROR = 15
    STONE = 16
    HALF_TILES = 17
    BRICK = 18


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface looks.

    Attributes:
        texture: Its pattern.
        colour: Its main colour.
        other: The second colour of the pattern.
        scale: The pattern's period in metres.
        gloss: Share of light mirrored, in [0, 1]; the depth sensor loses glossy surfaces.
        glow: Light it gives off, relative to its colour.
    """

    texture: Texture
    colour: Colour
    other: Colour = (0.5, 0.5, 0.5)
    scale: float = 0.1
    gloss: float = 0.0
    glow: float = 0.0


@dataclass(frozen=True, slots=True)
class Solid:
    """A box, an upright cylinder or cone, or an ellipsoid, turned about the vertical.

    Attributes:
        shape: Its kind.
        centre: Its centre.
        half: Half its extents along its own axes.
        material: How its surface looks.
        turn: Cosine and sine of the angle from the world's x axis to its own.
        taper: For cylinders, the top's radius relative to the bottom's, which has `half`.
    """

    shape: Shape
    centre: Vector
    half: Vector
    material: Material
    turn: tuple[float, float] = (1.0, 0.0)
    taper: float = 1.0

    def placed(self, x: float, y: float, z: float, turn: tuple[float, float]) -> Solid:
        """Return it turned about the origin, then moved by (x, y, z)."""
        cos, sin = turn
        own_cos, own_sin = self.turn
        own_x, own_y, own_z = self.centre
        centre = (x + cos * own_x - sin * own_y, y + sin * own_x + cos * own_y, z + own_z)
        turned = (cos * own_cos - sin * own_sin, sin * own_cos + cos * own_sin)
        return Solid(self.shape, centre, self.half, self.material, turned, self.taper)


@dataclass(frozen=True, slots=True)
class Part:
    """An object instance: the solids of one thing, with its class."""

    label: Label
    solids: tuple[Solid, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of furniture with what lies on it, about an origin on the floor, facing +y.

    Attributes:
        width: Extent along x.
        depth: Extent along y.
        height: Extent along z.
        parts: Its instances.
    """

    width: float
    depth: float
    height: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: Where it is.
        right: Unit vector of growing columns.
        down: Unit vector of growing rows.
        forward: Unit vector of the optical axis, along which depth is measured.
    """

    position: Vector
    right: Vector
    down: Vector
    forward: Vector

    def ray(self, u: float, v: float) -> Vector:
        """Return the direction through (u, v) at depth 1; a point at depth t is t times it."""
        return tuple(  # type: ignore[return-value]
            u * r + v * d + f for r, d, f in zip(self.right, self.down, self.forward, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Light:
    """A square lamp parallel to the floor that throws soft shadows.

    Attributes:
        position: Its centre.
        size: Half its side, in metres.
        power: Irradiance at 1 m, facing it.
    """

    position: Vector
    size: float
    power: float


@dataclass(frozen=True, slots=True)
class Glow:
    """A window's or shaded lamp's light, without shadows: like `Light`, but faces a direction."""

    position: Vector
    facing: Vector
    power: float


@dataclass(frozen=True)
class Scene:
    """A furnished room.

    Attributes:
        kind: The scene type (`bedroom`).
        size: Extents of the room.
        surfaces: Materials of the walls x = 0, x = max, y = 0, y = max, the floor, the ceiling.
        parts: What stands and hangs in it.
        camera: Where it is seen from.
        light: The lamp.
        glows: Further lights.
        ambient: Irradiance from all sides.
        tint: Colour of the light.
        seed: Seeds the textures, 32 bits.
    """

    kind: str
    size: Vector
    surfaces: tuple[Material, ...]
    parts: tuple[Part, ...]
    camera: Camera
    light: Light
    glows: tuple[Glow, ...]
    ambient: float
    tint: Colour
    seed: int
    solids: tuple[Solid, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "solids", tuple(s for part in self.parts for s in part.solids))


class Draw:
    """Random choices from PCG64 uniforms, the only source of chance in a scene."""

    def __init__(self, *key: int) -> None:
        """Start the stream that belongs to `key` (non-negative integers)."""
        import numpy as np

        self._random: np.random.Generator = np.random.Generator(np.random.PCG64(list(key)))

    def between(self, low: float, high: float) -> float:
        """A number from [low, high)."""
        return low + (high - low) * self._random.random()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random.random() < probability

    def below(self, count: int) -> int:
        """An integer from 0 to count − 1."""
        return int(self._random.random() * count)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def turn(self, largest_tangent: float) -> tuple[float, float]:
        """Cosine and sine of an angle whose half has a tangent up to the given one, either way."""
        return turn_of(self.between(-largest_tangent, largest_tangent))

    def grain(self, height: int, width: int, largest: float) -> npt.NDArray[np.float32]:
        """(3, H, W) noise within ±`largest`, likelier the smaller: the sum of two uniforms."""
        import numpy as np

        shape = (3, height, width)
        one = self._random.random(shape, dtype=np.float32)
        two = self._random.random(shape, dtype=np.float32)
        return (one + two - np.float32(1.0)) * np.float32(largest)


def turn_of(half_tangent: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has this tangent, without trigonometry."""
    square = half_tangent * half_tangent
    return (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)


def unit(x: float, y: float) -> tuple[float, float]:
    """(x, y) at length 1."""
    length = math.sqrt(x * x + y * y)
    return x / length, y / length


def box(
    x: float, y: float, z: float, width: float, depth: float, height: float, material: Material
) -> Solid:
    """A box whose bottom face has its centre at (x, y, z)."""
    half = (width / 2, depth / 2, height / 2)
    return Solid(Shape.BOX, (x, y, z + height / 2), half, material)


def cylinder(
    x: float,
    y: float,
    z: float,
    radius: float,
    height: float,
    material: Material,
    taper: float = 1.0,
) -> Solid:
    """An upright cylinder or cone whose bottom face has its centre at (x, y, z)."""
    half = (radius, radius, height / 2)
    return Solid(Shape.CYLINDER, (x, y, z + height / 2), half, material, taper=taper)


def ball(
    x: float, y: float, z: float, rx: float, ry: float, rz: float, material: Material
) -> Solid:
    """An ellipsoid with its centre at (x, y, z)."""
    return Solid(Shape.ELLIPSOID, (x, y, z), (rx, ry, rz), material)
