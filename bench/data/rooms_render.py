"""The ray caster: what each pixel of a synthetic room sees, and how far away it is.

A ray is the camera's direction at depth 1, so the parameter of a hit *is* the depth along the
optical axis. Everything on the pixel path is + − × ÷ √, comparisons and rounding: the same bits on
every processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.data.rooms_layout import NYU_CAMERA, NYU_SIZE
from bench.data.rooms_scene import Camera, Scene, Shape, Solid, Vector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int32]
    Triple = tuple[Floats, Floats, Floats]
    Rectangle = tuple[slice, slice]

ROOM_FACES = 6
"""Hits below this number are the walls x = 0, x = max, y = 0, y = max, the floor, the ceiling."""


def intrinsics(height: int, width: int) -> Doubles:
    """NYU's camera matrix for a frame of this size, (3, 3) float64; pixel centres are integers."""
    import numpy as np

    fx, fy, cx, cy = NYU_CAMERA
    down, across = height / NYU_SIZE[0], width / NYU_SIZE[1]
    matrix = np.zeros((3, 3))
    matrix[0, 0], matrix[0, 2] = fx * across, cx * across
    matrix[1, 1], matrix[1, 2] = fy * down, cy * down
    matrix[2, 2] = 1.0
    return matrix


@dataclass(frozen=True)
class View:
    """The rays of a frame.

    Attributes:
        camera: Where they start.
        u: (1, W) float64, x over depth of each column.
        v: (H, 1) float64, y over depth of each row.
        focal: Pixels a metre covers at a depth of one metre.
    """

    camera: Camera
    u: Doubles
    v: Doubles
    focal: float

    @classmethod
    def of(cls, camera: Camera, height: int, width: int) -> View:
        """The rays of a camera's frame of height × width pixels."""
        import numpy as np

        matrix = intrinsics(height, width)
        fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
        u = ((np.arange(width) - matrix[0, 2]) / fx)[None, :]
        v = ((np.arange(height) - matrix[1, 2]) / fy)[:, None]
        return cls(camera, u, v, (fx + fy) / 2)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.v.shape[0], self.u.shape[1]

    @cached_property
    def directions(self) -> Triple:
        """World direction of each ray at depth 1, three (H, W) float32."""
        import numpy as np

        camera = self.camera
        x, y, z = (
            (camera.right[k] * self.u + (camera.down[k] * self.v + camera.forward[k])).astype(
                np.float32
            )
            for k in range(3)
        )
        return x, y, z

    def rectangles(self, points: Doubles) -> list[Rectangle | None]:
        """The rectangle of the frame that the convex hull of some points falls into.

        Args:
            points: (S, K, 3) world coordinates; K points for each of S hulls.

        Returns:
            For each hull its rows and columns, None where it is out of view.
        """
        import numpy as np

        camera = self.camera
        x, y, z = (points[..., k] - camera.position[k] for k in range(3))
        right, down, depth = (
            axis[0] * x + axis[1] * y + axis[2] * z
            for axis in (camera.right, camera.down, camera.forward)
        )
        near = 0.2
        behind = depth < near
        crossing = behind.any(axis=1)
        gone = behind.all(axis=1)
        safe = np.where(behind, 1.0, depth)
        bounds = []
        for side, grid in ((right, self.u[0]), (down, self.v[:, 0])):
            ratio = side / safe
            low = np.where(behind, np.inf, ratio).min(axis=1)
            high = np.where(behind, -np.inf, ratio).max(axis=1)
            for hull in np.flatnonzero(crossing & ~gone):
                cut = _cut(side[hull], depth[hull], behind[hull], near)
                low[hull], high[hull] = min(low[hull], cut.min()), max(high[hull], cut.max())
            step = float(grid[1] - grid[0])
            first = np.clip(np.floor((low - grid[0]) / step) - 1, 0, grid.size)
            last = np.clip(np.ceil((high - grid[0]) / step) + 2, 0, grid.size)
            bounds.append((np.where(gone, 0, first), np.where(gone, 0, last)))
        (left, right_), (top, bottom) = bounds
        return [
            (slice(int(top[k]), int(bottom[k])), slice(int(left[k]), int(right_[k])))
            if bottom[k] > top[k] and right_[k] > left[k]
            else None
            for k in range(len(points))
        ]


def _cut(side: Doubles, depth: Doubles, behind: Any, near: float) -> Doubles:
    """Where the lines between points before and behind the near plane cross it, over its depth."""
    a_side, a_depth = side[~behind][:, None], depth[~behind][:, None]
    b_side, b_depth = side[behind][None, :], depth[behind][None, :]
    share = (a_depth - near) / (a_depth - b_depth)
    crossing: Doubles = (a_side + share * (b_side - a_side)) / near
    return crossing


@dataclass(frozen=True)
class Solids:
    """The room's faces and its solids as arrays, row k for hit number k; all (S,) float32.

    Attributes:
        shape: `Shape` of each; faces of the room are boxes seen from inside.
        centre: Three arrays.
        half: Three arrays.
        cos: Of the turn about the vertical.
        sin: Of the turn about the vertical.
        taper: Top radius over bottom radius.
    """

    shape: Ints
    centre: Triple
    half: Triple
    cos: Floats
    sin: Floats
    taper: Floats

    @classmethod
    def of(cls, scene: Scene) -> Solids:
        """The table of a scene."""
        import numpy as np

        room: tuple[float, ...] = tuple(side / 2 for side in scene.size)
        rows = [(Shape.BOX, *room, *room, 1.0, 0.0, 1.0)] * ROOM_FACES + [
            (solid.shape, *solid.centre, *solid.half, *solid.turn, solid.taper)
            for solid in scene.solids
        ]
        table = np.array(rows, dtype=np.float64).astype(np.float32)
        columns = [np.ascontiguousarray(table[:, k]) for k in range(table.shape[1])]
        return cls(
            columns[0].astype(np.int32),
            (columns[1], columns[2], columns[3]),
            (columns[4], columns[5], columns[6]),
            *columns[7:10],
        )


@dataclass(frozen=True)
class Hits:
    """What each pixel sees.

    Attributes:
        depth: (H, W) float32 metres along the optical axis.
        solid: (H, W) int32, the room's face or `ROOM_FACES` + the number of the solid.
    """

    depth: Floats
    solid: Ints


def cast(scene: Scene, view: View) -> Hits:
    """Find the nearest surface along each ray."""
    import numpy as np

    depth, solid = _cast_room(scene.size, view)
    if not scene.solids:
        return Hits(depth, solid)
    rectangles = view.rectangles(corners_of(scene.solids))
    u32, v32 = view.u.astype(np.float32), view.v.astype(np.float32)
    for number, (item, rectangle) in enumerate(zip(scene.solids, rectangles, strict=True)):
        if rectangle is None:
            continue
        rows, columns = rectangle
        if item.shape is Shape.BOX:
            near, hit = _cast_box(item, view.camera, u32[:, columns], v32[rows])
        else:
            near, hit = _cast_round(item, view.camera, view.u[:, columns], view.v[rows])
        window = depth[rectangle]
        hit &= near < window
        np.copyto(window, near, where=hit)
        solid[rectangle][hit] = number + ROOM_FACES
    return Hits(depth, solid)


def corners_of(solids: tuple[Solid, ...], margin: float = 0.0) -> Doubles:
    """The corners of each solid's box, grown by a margin on all sides, (S, 8, 3) world metres."""
    import numpy as np

    signs = np.array([(i, j, k) for i in (-1.0, 1.0) for j in (-1.0, 1.0) for k in (-1.0, 1.0)])
    rows = np.array(
        [(*s.centre, *s.half, *s.turn, max(1.0, s.taper)) for s in solids], dtype=np.float64
    )[:, :, None]
    x, y, z, hx, hy, hz, cos, sin, wide = (rows[:, k] for k in range(9))
    dx = signs[:, 0] * (hx * wide + margin)
    dy = signs[:, 1] * (hy * wide + margin)
    dz = signs[:, 2] * (hz + margin)
    return np.stack([x + cos * dx - sin * dy, y + sin * dx + cos * dy, z + dz], axis=2)


def _cast_room(size: Vector, view: View) -> tuple[Floats, Ints]:
    import numpy as np

    depth = np.full(view.shape, np.inf, dtype=np.float32)
    face = np.zeros(view.shape, dtype=np.int32)
    for axis, direction in enumerate(view.directions):
        ahead = direction >= 0
        distance = np.where(
            ahead,
            np.float32(size[axis] - view.camera.position[axis]),
            np.float32(view.camera.position[axis]),
        )
        near = distance / np.maximum(abs(direction), np.float32(1e-12))
        closer = near < depth
        np.copyto(depth, near, where=closer)
        np.copyto(face, 2 * axis + ahead.astype(np.int32), where=closer)
    return depth, face


def _local_rays(solid: Solid, camera: Camera) -> list[tuple[float, float, float, float]]:
    """Origin and direction along the solid's axes, scaled to half extents of 1.

    The direction is three coefficients: of u, of v and of 1.
    """
    cos, sin = solid.turn

    def local(vector: Vector) -> Vector:
        x, y, z = vector
        hx, hy, hz = solid.half
        return (cos * x + sin * y) / hx, (cos * y - sin * x) / hy, z / hz

    cx, cy, cz = solid.centre
    px, py, pz = camera.position
    origin = local((px - cx, py - cy, pz - cz))
    return list(
        zip(origin, local(camera.right), local(camera.down), local(camera.forward), strict=True)
    )


def _cast_box(solid: Solid, camera: Camera, u: Floats, v: Floats) -> tuple[Floats, Any]:
    import numpy as np

    near: Any = None
    far: Any = None
    for origin, right, down, forward in _local_rays(solid, camera):
        direction = right * u + (down * v + forward)
        np.copyto(direction, 1e-12, where=direction == 0)
        inverse = 1.0 / direction
        middle, half = inverse * -origin, abs(inverse)
        enter, leave = middle - half, middle + half
        near = enter if near is None else np.maximum(near, enter, out=near)
        far = leave if far is None else np.minimum(far, leave, out=far)
    return near, (near <= far) & (near > 0)


def _cast_round(solid: Solid, camera: Camera, u: Doubles, v: Doubles) -> tuple[Floats, Any]:
    import numpy as np

    (ox, *x), (oy, *y), (oz, *z) = _local_rays(solid, camera)
    dx, dy, dz = (c[0] * u + (c[1] * v + c[2]) for c in (x, y, z))
    if solid.shape is Shape.ELLIPSOID:
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        inside = b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)
        near = (-b - np.sqrt(np.maximum(inside, 0.0))) / a
        return near.astype(np.float32), (inside > 0) & (near > 0)
    near = _cone(solid.taper, (ox, oy, oz), (dx, dy, dz))
    return near.astype(np.float32), near < np.inf


def _cone(taper: float, origin: Vector, direction: tuple[Doubles, Doubles, Doubles]) -> Doubles:
    """Depth of the first hit with a cone of radius 1 at z = −1 and `taper` at z = 1."""
    import numpy as np

    (ox, oy, oz), (dx, dy, dz) = origin, direction
    slope = (taper - 1.0) / 2
    start = (taper + 1.0) / 2 + slope * oz
    a = dx * dx + dy * dy - slope * slope * dz * dz
    a = np.where(a == 0, 1e-12, a)
    b = ox * dx + oy * dy - start * slope * dz
    inside = b * b - a * (ox * ox + oy * oy - start * start)
    root = np.sqrt(np.maximum(inside, 0.0))
    near = np.full(a.shape, np.inf)
    for sign in (-1.0, 1.0):
        t = (sign * root - b) / a
        level = oz + t * dz
        hit = (inside > 0) & (abs(level) <= 1.0) & (t > 0) & (t < near)
        np.copyto(near, t, where=hit)
    level_dz = np.where(dz == 0, 1e-12, dz)
    for cap, radius in ((-1.0, 1.0), (1.0, taper)):
        t = (cap - oz) / level_dz
        x, y = ox + t * dx, oy + t * dy
        hit = (x * x + y * y <= radius * radius) & (t > 0) & (t < near)
        np.copyto(near, t, where=hit)
    return near


@dataclass(frozen=True)
class Surfaces:
    """The surface at each pixel; (H, W) arrays.

    Attributes:
        point: World coordinates in metres.
        normal: Unit normal towards the camera's side.
        local: Coordinates about the solid's centre along its own axes, metres.
        half: The solid's half extents.
        axis: The solid's axis that the surface faces most: 0, 1 or 2.
        facing: Cosine between normal and line of sight.
    """

    point: Triple
    normal: Triple
    local: Triple
    half: Triple
    axis: Ints
    facing: Floats


def surfaces(view: View, hits: Hits, solids: Solids) -> Surfaces:
    """Work out points and normals of what was hit."""
    import numpy as np

    rays, index = view.directions, hits.solid
    px, py, pz = (
        hits.depth * ray + np.float32(start)
        for ray, start in zip(rays, view.camera.position, strict=True)
    )
    cos, sin = solids.cos[index], solids.sin[index]
    cx, cy, cz = (column[index] for column in solids.centre)
    hx, hy, hz = (column[index] for column in solids.half)
    half = (hx, hy, hz)
    dx, dy, dz = px - cx, py - cy, pz - cz
    local = lx, ly, lz = cos * dx + sin * dy, cos * dy - sin * dx, dz
    sx, sy, sz = abs(lx) / hx, abs(ly) / hy, abs(lz) / hz
    axis = np.where((sx >= sy) & (sx >= sz), 0, np.where(sy >= sz, 1, 2)).astype(np.int32)
    inside = index < ROOM_FACES
    np.copyto(axis, index // 2, where=inside)
    outward = np.where(inside, np.float32(-1.0), np.float32(1.0))
    nx, ny, nz = (
        np.where(axis == k, np.copysign(outward, outward * value), np.float32(0.0))
        for k, value in enumerate(local)
    )
    _round_normals(solids, index, (sx, sy, sz), local, half, (nx, ny, nz), axis)
    normal = wx, wy, wz = cos * nx - sin * ny, sin * nx + cos * ny, nz
    length = np.sqrt(rays[0] * rays[0] + rays[1] * rays[1] + rays[2] * rays[2])
    facing = abs(wx * rays[0] + wy * rays[1] + wz * rays[2]) / length
    return Surfaces((px, py, pz), normal, local, half, axis, facing)


def _round_normals(
    solids: Solids,
    index: Ints,
    scaled: Triple,
    local: Triple,
    half: Triple,
    normal: Triple,
    axis: Ints,
) -> None:
    """Replace the normals (and main axes) on cylinders and ellipsoids, in place."""
    import numpy as np

    shape = solids.shape[index]
    cap = scaled[2] > 0.9995
    for kind in (Shape.CYLINDER, Shape.ELLIPSOID):
        where = (shape == kind) if kind is Shape.ELLIPSOID else (shape == kind) & ~cap
        if not where.any():
            continue
        x, y, z = (q[where] / (h[where] * h[where]) for q, h in zip(local, half, strict=True))
        if kind is Shape.CYLINDER:
            # The side leans by the change of radius over height.
            lean = (1.0 - solids.taper[index[where]]) / (2.0 * half[2][where])
            across = np.sqrt(x * x + y * y)
            z = across * half[0][where] * lean
        length = np.sqrt(x * x + y * y + z * z)
        for target, value in zip(normal, (x, y, z), strict=True):
            target[where] = value / length
        x, y, z = abs(x), abs(y), abs(z)
        axis[where] = np.where((x >= y) & (x >= z), 0, np.where(y >= z, 1, 2))
    level = (shape == Shape.CYLINDER) & cap
    axis[level] = 2
    for target, value in zip(normal, (0.0, 0.0, 1.0), strict=True):
        target[level] = value
    normal[2][level] = np.copysign(np.float32(1.0), local[2][level])
