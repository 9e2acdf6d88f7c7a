"""Which room, seen from where, holding what: one scene from one stream of random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.data import rooms_furniture as furniture
from bench.data import rooms_materials as materials
from bench.data.rooms_scene import (
    FARTHEST,
    NEAREST,
    Camera,
    Draw,
    Glow,
    Label,
    Light,
    Material,
    Part,
    Piece,
    Scene,
    Texture,
    Vector,
    turn_of,
    unit,
)

NYU_SIZE = (480, 640)
"""Rows and columns of NYU Depth v2's frames."""
NYU_CAMERA = (518.86, 519.47, 325.58, 253.74)
"""Focal lengths along x and y and principal point (cx, cy) of its colour camera, in pixels."""

_CLEARANCE = 0.93  # no point this far from the camera is nearer than 0.7 m along the axis in view
_CANDIDATES = 3  # rooms made up for each scene; the one that shows most is taken
_ROOMS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "bedroom": ((2.8, 4.8), (3.2, 5.6)),
    "kitchen": ((2.4, 4.4), (2.8, 6.2)),
    "living_room": ((3.4, 6.0), (3.8, 8.6)),
    "office": ((2.6, 5.5), (2.8, 7.5)),
    "bathroom": ((1.9, 2.9), (2.3, 3.8)),
    "dining_room": ((3.0, 5.2), (3.4, 7.2)),
}
SCENE_TYPES = tuple(_ROOMS)

_WALLS: tuple[tuple[float, float], ...] = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
"""Inward normals of the walls x = 0, x = max, y = 0, y = max."""

_STANDING = frozenset(
    {
        Label.BATHTUB,
        Label.BED,
        Label.BOOKSHELF,
        Label.CABINET,
        Label.CHAIR,
        Label.COUNTER,
        Label.DESK,
        Label.DRESSER,
        Label.NIGHT_STAND,
        Label.PLANT,
        Label.REFRIGERATOR,
        Label.SINK,
        Label.SOFA,
        Label.STOVE,
        Label.TABLE,
        Label.TOILET,
    }
)

Box = tuple[float, float, float, float, float, float]


def make_scene(key: tuple[int, ...]) -> Scene:
    """Make up the room that belongs to a key of non-negative integers.

    The same key gives the same room everywhere, whatever else is made. The last integer is its
    number: scene types take turns, so that the first few rooms show all of them.
    """
    draw = Draw(*key)
    kind = SCENE_TYPES[key[-1] % len(SCENE_TYPES)]
    room = max((_furnished(draw, kind) for _ in range(_CANDIDATES)), key=_Room.shown)
    lamp, light = _lamp(draw, room)
    return Scene(
        kind=kind,
        size=room.size,
        surfaces=_surfaces(draw, kind),
        parts=(*room.parts, *lamp),
        camera=room.camera,
        light=light,
        glows=tuple(room.glows),
        ambient=draw.between(0.4, 0.65),
        tint=draw.pick(((1.0, 0.93, 0.8), (1.0, 0.97, 0.92), (1.0, 1.0, 1.0), (0.94, 0.98, 1.0))),
        seed=draw.below(1 << 32),
    )


def _furnished(draw: Draw, kind: str) -> _Room:
    (narrow, wide), (short, long) = _ROOMS[kind]
    size = (draw.between(narrow, wide), draw.between(short, long), draw.between(2.3, 3.1))
    room = _Room(draw, size, _camera(draw, size))
    _FURNISH[kind](room)
    return room


def _surfaces(draw: Draw, kind: str) -> tuple[Material, ...]:
    tiled = kind == "bathroom" or (kind == "kitchen" and draw.chance(0.35))
    around = materials.tiled_wall(draw) if tiled else materials.wall(draw)
    accent = around
    if not tiled and draw.chance(0.35):
        accent = materials.wall(draw)
    plain_walls = Material(Texture.PLAIN, around.colour) if accent is not around else around
    walls = [plain_walls, plain_walls, plain_walls, accent]
    ceiling = materials.plain(materials.varied(draw, (0.93, 0.92, 0.9)))
    floor = materials.floor(draw, wet=kind in ("bathroom", "kitchen"))
    return (*walls, floor, ceiling)


def _camera(draw: Draw, size: Vector) -> Camera:
    for _ in range(300):
        position = (
            draw.between(0.15, 0.85) * size[0],
            draw.between(0.06, 0.5) * size[1],
            draw.between(1.0, min(1.75, size[2] - 0.6)),
        )
        # Looks roughly at the middle of the far part, so that walls do not fill the frame.
        aim = (draw.between(0.2, 0.8) * size[0], draw.between(0.7, 1.05) * size[1])
        cos, sin = unit(aim[1] - position[1], aim[0] - position[0])
        pitch = turn_of(draw.between(-0.21, 0.03))
        camera = _oriented(position, (cos, sin), pitch, draw.turn(0.02))
        if _in_range(camera, size):
            return camera
    middle = (size[0] / 2, 0.3, min(1.3, size[2] / 2))
    return _oriented(middle, (1.0, 0.0), (1.0, 0.0), (1.0, 0.0))


def _oriented(
    position: Vector,
    yaw: tuple[float, float],
    pitch: tuple[float, float],
    roll: tuple[float, float],
) -> Camera:
    (cy, sy), (cp, sp), (cr, sr) = yaw, pitch, roll
    right, down = (cy, -sy, 0.0), (sy * sp, cy * sp, -cp)
    return Camera(
        position,
        right=_mix(cr, right, sr, down),
        down=_mix(cr, down, -sr, right),
        forward=(sy * cp, cy * cp, sp),
    )


def _mix(a: float, p: Vector, b: float, q: Vector) -> Vector:
    return (a * p[0] + b * q[0], a * p[1] + b * q[1], a * p[2] + b * q[2])


def frame_corners() -> tuple[tuple[float, float], ...]:
    """(u, v) at depth 1 of the frame's four corners."""
    (rows, columns), (fx, fy, cx, cy) = NYU_SIZE, NYU_CAMERA
    us, vs = (-cx / fx, (columns - cx) / fx), (-cy / fy, (rows - cy) / fy)
    return tuple((u, v) for u in us for v in vs)


def _in_range(camera: Camera, size: Vector) -> bool:
    """Whether every point of the empty room in view lies within the depth range."""
    rays = [camera.ray(u, v) for u, v in frame_corners()]
    for axis in range(3):
        # Towards a plane the depth is the distance over a function linear in (u, v): the
        # nearest point of the plane in view is at a corner of the frame.
        above = max(ray[axis] for ray in rays)
        below = -min(ray[axis] for ray in rays)
        if size[axis] - camera.position[axis] < (NEAREST + 0.03) * above:
            return False
        if camera.position[axis] < (NEAREST + 0.03) * below:
            return False
    if _ahead(camera, size) < min(2.1, 0.6 * size[1]):
        return False
    corners = [(x, y, z) for x in (0.0, size[0]) for y in (0.0, size[1]) for z in (0.0, size[2])]
    return all(_depth(camera, corner) < FARTHEST - 0.2 for corner in corners)


def _ahead(camera: Camera, size: Vector) -> float:
    """How far the nearest wall is straight ahead."""
    distances = [
        ((side if towards > 0 else 0.0) - at) / towards
        for side, at, towards in zip(size, camera.position, camera.forward, strict=True)
        if towards != 0.0
    ]
    return min(distances[:2])


def _depth(camera: Camera, point: Vector) -> float:
    (x, y, z), (px, py, pz) = point, camera.position
    return _along((x - px, y - py, z - pz), camera.forward)


def _along(offset: Vector, axis: Vector) -> float:
    return offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]


def _lamp(draw: Draw, room: _Room) -> tuple[list[Part], Light]:
    width, length, height = room.size
    x, y = draw.between(0.35, 0.65) * width, draw.between(0.45, 0.7) * length
    if room.lamp_at:
        x, y = room.lamp_at
    hang = draw.between(0.3, 0.6) if room.lamp_at or draw.chance(0.3) else 0.05
    piece = furniture.ceiling_lamp(draw, hang)
    below = height - piece.height - 0.05
    parts: list[Part] = []
    if _distance((x, y, x, y), room.camera.position) > 1.3:
        parts = [_moved(part, x, y, height, (1.0, 0.0)) for part in piece.parts]
    light = Light((x, y, below), draw.between(0.1, 0.3), draw.between(2.2, 4.0))
    return parts, light


def _moved(part: Part, x: float, y: float, z: float, turn: tuple[float, float]) -> Part:
    return Part(part.label, tuple(solid.placed(x, y, z, turn) for solid in part.solids))


def _distance(area: tuple[float, float, float, float], point: Vector) -> float:
    """Horizontal distance from an area (x0, y0, x1, y1) to a point."""
    dx = max(area[0] - point[0], point[0] - area[2], 0.0)
    dy = max(area[1] - point[1], point[1] - area[3], 0.0)
    return math.sqrt(dx * dx + dy * dy)


@dataclass
class _Room:
    """A room being furnished: what stands where, and what is still free."""

    draw: Draw
    size: Vector
    camera: Camera
    parts: list[Part] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)
    glows: list[Glow] = field(default_factory=list)
    lamp_at: tuple[float, float] | None = None

    def shown(self) -> float:
        """How much there is to see: things in view, those on the floor counting double."""
        (left, top), *_, (right, bottom) = frame_corners()
        score = 0.0
        for part in self.parts:
            x, y, z = part.solids[0].centre
            px, py, pz = self.camera.position
            offset = (x - px, y - py, z - pz)
            depth = _along(offset, self.camera.forward)
            if depth <= 0.0:
                continue
            u = _along(offset, self.camera.right) / depth
            v = _along(offset, self.camera.down) / depth
            if left < u < right and top < v < bottom:
                score += 2.0 if part.label in _STANDING else 0.7
        return min(score, 14.0)

    def add(
        self,
        piece: Piece,
        x: float,
        y: float,
        turn: tuple[float, float],
        z: float = 0.0,
        gap: float = 0.0,
        flat: bool = False,
        under: Box | None = None,
    ) -> bool:
        """Place a piece if it fits: inside, off the camera, clear of all but what it is under."""
        cos, sin = turn
        half_x = (abs(cos) * piece.width + abs(sin) * piece.depth) / 2
        half_y = (abs(sin) * piece.width + abs(cos) * piece.depth) / 2
        area = (x - half_x, y - half_y, x + half_x, y + half_y)
        if area[0] < -0.001 or area[1] < -0.001:
            return False
        if area[2] > self.size[0] + 0.001 or area[3] > self.size[1] + 0.001:
            return False
        top = z + piece.height
        if top > self.size[2] or not (flat or self._leaves_view(area, top)):
            return False
        if not flat:
            wide: Box = (area[0] - gap, area[1] - gap, z, area[2] + gap, area[3] + gap, top)
            if any(other is not under and _overlap(wide, other) for other in self.taken):
                return False
            self.taken.append((area[0], area[1], z, area[2], area[3], top))
        self.parts += [_moved(part, x, y, z, turn) for part in piece.parts]
        return True

    def _leaves_view(self, area: tuple[float, float, float, float], top: float) -> bool:
        """Whether it is far enough from the camera, and farther if it would block the view."""
        clearance = _CLEARANCE + 0.03
        if top > self.camera.position[2] - 0.35:
            clearance = min(1.6, 0.4 * self.size[1])
        return _distance(area, self.camera.position) > max(clearance, _CLEARANCE + 0.03)

    def against(
        self,
        piece: Piece,
        wall: int | None = None,
        z: float = 0.0,
        off: float = 0.02,
        gap: float = 0.02,
        tries: int = 14,
    ) -> tuple[int, float, float] | None:
        """Place a piece with its back to a wall in view; return the wall and (x, y), if it fits."""
        for _ in range(tries):
            chosen = self.visible_wall() if wall is None else wall
            nx, ny = _WALLS[chosen]
            run = self.size[0] if nx == 0.0 else self.size[1]
            span = run - piece.width
            if span < 0:
                continue
            along = piece.width / 2 + self.draw.between(0.0, 1.0) * span
            x, y = self.beside(chosen, along, piece.depth / 2 + off)
            if self.add(piece, x, y, (ny, -nx), z, gap):
                return chosen, x, y
        return None

    def beside(self, wall: int, along: float, off: float) -> tuple[float, float]:
        """The point `along` metres along a wall and `off` metres from it."""
        nx, ny = _WALLS[wall]
        if nx != 0.0:
            return (off if nx > 0 else self.size[0] - off), along
        return along, (off if ny > 0 else self.size[1] - off)

    def visible_wall(self) -> int:
        """A wall, the likelier the more it faces the camera."""
        fx, fy, _ = self.camera.forward
        weights = [max(0.3 - (nx * fx + ny * fy), 0.0) for nx, ny in _WALLS]
        weights[2] = 0.0
        left = self.draw.between(0.0, 1.0) * sum(weights)
        for wall, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return wall
        return 3

    def somewhere(self, piece: Piece, largest_turn: float = 1.0, tries: int = 14) -> bool:
        """Place a piece anywhere on the floor ahead of the camera."""
        for _ in range(tries):
            x = self.draw.between(0.1, 0.9) * self.size[0]
            y = self.camera.position[1] + self.draw.between(0.15, 1.0) * (
                self.size[1] - self.camera.position[1]
            )
            if self.add(piece, x, y, self.draw.turn(largest_turn), gap=0.05):
                return True
        return False

    def front_of(self, placed: tuple[int, float, float], distance: float) -> tuple[float, float]:
        """The point `distance` metres before the centre of what was placed against a wall."""
        nx, ny = _WALLS[placed[0]]
        return placed[1] + nx * distance, placed[2] + ny * distance

    def rug(
        self, x: float, y: float, width: float, depth: float, turn: tuple[float, float]
    ) -> None:
        """Lay a rug about (x, y), under whatever stands there; not where it does not fit."""
        self.add(furniture.rug(self.draw, width, depth), x, y, turn, flat=True)

    def hang(self, piece: Piece, low: float, high: float, wall: int | None = None) -> None:
        """Hang a piece on a wall with its lower edge between two heights."""
        self.against(piece, wall, z=self.draw.between(low, high), off=0.0, gap=0.06)

    def windows(self, most: int) -> None:
        """Put in a window or more, and their light."""
        night = self.draw.chance(0.15)
        for _ in range(1 + self.draw.below(most)):
            width, high = self.draw.between(0.8, 1.7), self.draw.between(0.9, 1.3)
            piece = furniture.window(self.draw, width, high, night)
            z = min(self.draw.between(0.85, 1.0), self.size[2] - high - 0.25)
            placed = self.against(piece, z=z, off=0.0, gap=0.05)
            if placed and not night:
                x, y = self.front_of(placed, 0.15)
                facing = _WALLS[placed[0]]
                power = self.draw.between(1.0, 2.2) * width
                self.glows.append(Glow((x, y, z + high / 2), (*facing, 0.0), power))

    def finish(self, pictures: int, most_windows: int = 2) -> None:
        """Add what every room may have: windows, a door, pictures, a clock, small things."""
        if most_windows:
            self.windows(most_windows)
        if self.draw.chance(0.5):
            self.against(furniture.door(self.draw), off=0.0)
        for _ in range(self.draw.below(pictures + 1)):
            self.hang(furniture.picture(self.draw), 1.25, 1.55)
        if self.draw.chance(0.2):
            self.hang(furniture.clock(), 1.7, 1.85)

    def maybe(self, probability: float, make: furniture.Maker) -> None:
        """Stand a piece against a wall in view, with the given probability."""
        if self.draw.chance(probability):
            self.against(make(self.draw))


def _overlap(a: Box, b: Box) -> bool:
    return all(a[k] < b[k + 3] and b[k] < a[k + 3] for k in range(3))


def _bedroom(room: _Room) -> None:
    draw = room.draw
    bed = furniture.bed(draw)
    placed = room.against(bed, tries=30)
    if placed:
        nx, ny = _WALLS[placed[0]]
        stand = furniture.night_stand(draw)
        for side in (-1, 1):
            if draw.chance(0.75):
                reach = side * (bed.width / 2 + stand.width / 2 + 0.06)
                back = stand.depth / 2 + 0.02 - bed.depth / 2 - 0.02
                x = placed[1] + ny * reach + nx * back
                y = placed[2] - nx * reach + ny * back
                room.add(stand, x, y, (ny, -nx))
        if draw.chance(0.6):
            x, y = room.front_of(placed, 0.6)
            room.rug(x, y, draw.between(1.9, 2.6), draw.between(1.3, 1.8), (ny, -nx))
    room.maybe(0.8, furniture.wardrobe)
    room.maybe(0.6, furniture.dresser)
    room.maybe(0.3, furniture.bookshelf)
    _desk_and_chair(room, 0.35)
    room.finish(3)
    room.maybe(0.35, furniture.plant)
    room.maybe(0.3, furniture.floor_lamp)
    room.maybe(0.3, furniture.cartons)
    room.maybe(0.25, furniture.armchair)


def _desk_and_chair(room: _Room, probability: float) -> None:
    draw = room.draw
    if not draw.chance(probability):
        return
    desk = furniture.desk(draw)
    placed = room.against(desk)
    if placed:
        nx, ny = _WALLS[placed[0]]
        x, y = room.front_of(placed, desk.depth / 2 + draw.between(0.3, 0.45))
        # Faces the desk, not quite straight.
        cos, sin = draw.turn(0.3)
        turn = (-ny * cos - nx * sin, nx * cos - ny * sin)
        room.add(furniture.office_chair(draw), x, y, turn)


def _kitchen(room: _Room) -> None:
    draw = room.draw
    wall = room.visible_wall()
    _kitchen_run(room, wall)
    others = [w for w in (0, 1, 3) if w != wall]
    if draw.chance(0.4):
        _kitchen_run(room, draw.pick(others), corner=0.8)
    room.maybe(0.6, furniture.refrigerator)
    if draw.chance(0.65):
        _table_with_chairs(room, furniture.dining_table(draw), chairs=4)
    room.finish(2)
    room.maybe(0.3, furniture.bin_)
    room.maybe(0.25, furniture.plant)
    room.maybe(0.2, furniture.cartons)


def _kitchen_run(room: _Room, wall: int, corner: float = 0.02) -> None:
    """A row of counters with a stove, perhaps a refrigerator at its end, cupboards above."""
    draw = room.draw
    nx, ny = _WALLS[wall]
    run = room.size[0] if nx == 0.0 else room.size[1]
    colour = furniture.varied_wood(draw)
    stone = draw.pick(
        ((0.32, 0.31, 0.32), (0.78, 0.74, 0.68), (0.55, 0.5, 0.45), (0.85, 0.84, 0.83))
    )
    slab = Material(Texture.STONE, stone, materials.shade(stone, 0.7), 0.03, 0.2)
    end = run - corner if wall == 3 else run - (corner + 0.02)
    at = end - min(draw.between(2.0, 4.0), end - 0.05)
    units: list[tuple[Piece, bool]] = []
    left = end - at
    if draw.chance(0.6):
        units.append((furniture.refrigerator(draw), False))
    units.append((furniture.stove(draw), True))
    left -= sum(piece.width for piece, _ in units)
    while left > 0.4:
        width = min(draw.between(0.6, 1.4), left)
        if left - width < 0.4:
            width = left
        units.insert(
            draw.below(len(units) + 1), (furniture.counter(draw, width, colour, slab), True)
        )
        left -= width
    above = draw.chance(0.8)
    for piece, low in units:
        along = at + piece.width / 2
        at += piece.width
        x, y = room.beside(wall, along, piece.depth / 2 + 0.01)
        if not room.add(piece, x, y, (ny, -nx), gap=-0.01):
            continue
        if low and above:
            cupboard = furniture.wall_cupboard(draw, piece.width, colour)
            x, y = room.beside(wall, along, cupboard.depth / 2)
            room.add(cupboard, x, y, (ny, -nx), z=1.45, gap=-0.01)


def _table_with_chairs(room: _Room, table: Piece, chairs: int) -> bool:
    draw = room.draw
    for _ in range(20):
        x = draw.between(0.25, 0.75) * room.size[0]
        y = draw.between(0.4, 0.8) * room.size[1]
        turn = draw.turn(0.12) if draw.chance(0.6) else draw.turn(0.5)
        if room.add(table, x, y, turn, gap=0.3):
            break
    else:
        return False
    standing = room.taken[-1]
    cos, sin = turn
    frame = materials.wood(draw)
    seat = materials.fabric(draw) if draw.chance(0.5) else None
    reach_x, reach_y = table.width / 2 + 0.12, table.depth / 2 + 0.12
    third = table.width / 4
    places = [(0.0, reach_y, 2), (0.0, -reach_y, 0), (reach_x, 0.0, 1), (-reach_x, 0.0, 3)]
    if chairs > 4 and table.width > 1.25:
        places = [(s * third, t * reach_y, 1 + t) for s in (-1, 1) for t in (-1, 1)] + places[2:]
    for dx, dy, quarter in places:
        if draw.chance(0.12):
            continue
        # A quarter turn at a time, so that each chair faces the table.
        face = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[quarter]
        chair = furniture.chair_of(frame, seat, draw)
        px, py = x + cos * dx - sin * dy, y + sin * dx + cos * dy
        facing = _compose(_compose(turn, face), draw.turn(0.08))
        room.add(chair, px, py, facing, under=standing)
    return True


def _compose(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return a[0] * b[0] - a[1] * b[1], a[1] * b[0] + a[0] * b[1]


def _living_room(room: _Room) -> None:
    draw = room.draw
    sofa = furniture.sofa(draw)
    placed = room.against(sofa, tries=30)
    if placed:
        nx, ny = _WALLS[placed[0]]
        distance = sofa.depth / 2 + draw.between(0.55, 0.8)
        x, y = room.front_of(placed, distance)
        if draw.chance(0.7):
            room.rug(x, y, draw.between(1.6, 2.4), draw.between(1.2, 1.7), (ny, -nx))
        room.add(furniture.coffee_table(draw), x, y, (ny, -nx))
        room.hang(furniture.picture(draw), 1.25, 1.5, placed[0])
    else:
        room.somewhere(sofa, 0.3)
    room.maybe(0.65, furniture.television)
    for _ in range(draw.below(3)):
        room.somewhere(furniture.armchair(draw))
    room.maybe(0.6, furniture.bookshelf)
    room.maybe(0.3, furniture.bookshelf)
    room.finish(3)
    room.maybe(0.5, furniture.floor_lamp)
    room.maybe(0.5, furniture.plant)
    room.maybe(0.3, furniture.dresser)


def _office(room: _Room) -> None:
    draw = room.draw
    for probability in (1.0, 0.6, 0.35):
        _desk_and_chair(room, probability)
    if draw.chance(0.5):
        room.hang(furniture.whiteboard(draw), 0.95, 1.15)
    room.maybe(0.85, furniture.bookshelf)
    room.maybe(0.5, furniture.bookshelf)
    room.finish(2)
    if draw.chance(0.3):
        _table_with_chairs(room, furniture.dining_table(draw), chairs=4)
    room.maybe(0.4, furniture.dresser)
    room.maybe(0.6, furniture.bin_)
    room.maybe(0.5, furniture.plant)
    room.maybe(0.5, furniture.cartons)
    if draw.chance(0.3):
        room.somewhere(furniture.office_chair(draw))


def _bathroom(room: _Room) -> None:
    draw = room.draw
    room.against(furniture.bathtub(draw), tries=30)
    room.against(furniture.toilet(draw), tries=30)
    stand = furniture.wash_stand(draw)
    placed = room.against(stand, tries=30)
    if placed:
        glass = furniture.mirror(draw)
        nx, ny = _WALLS[placed[0]]
        x, y = room.front_of(placed, -stand.depth / 2 - 0.02 + glass.depth / 2)
        room.add(glass, x, y, (ny, -nx), z=draw.between(1.1, 1.25))
        x, y = room.front_of(placed, stand.depth / 2 + 0.3)
        room.rug(x, y, draw.between(0.6, 0.9), 0.5, (ny, -nx))
    if draw.chance(0.6):
        room.hang(furniture.towel_rail(draw), 0.8, 1.1)
    room.finish(1, most_windows=1)
    room.maybe(0.4, furniture.bin_)
    room.maybe(0.2, furniture.plant)
    room.maybe(0.3, furniture.dresser)


def _dining_room(room: _Room) -> None:
    draw = room.draw
    table = furniture.dining_table(draw)
    if _table_with_chairs(room, table, chairs=6) and draw.chance(0.7):
        first = room.taken[0]
        room.lamp_at = ((first[0] + first[3]) / 2, (first[1] + first[4]) / 2)
    room.maybe(0.8, furniture.dresser)
    room.maybe(0.4, furniture.wardrobe)
    room.maybe(0.3, furniture.bookshelf)
    room.finish(3)
    room.maybe(0.6, furniture.plant)
    room.maybe(0.3, furniture.floor_lamp)
    if draw.chance(0.3):
        room.somewhere(furniture.armchair(draw))


_FURNISH: dict[str, Callable[[_Room], None]] = {
    "bedroom": _bedroom,
    "kitchen": _kitchen,
    "living_room": _living_room,
    "office": _office,
    "bathroom": _bathroom,
    "dining_room": _dining_room,
}
