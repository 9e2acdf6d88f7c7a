"""Shadows in the synthetic rooms: what hides the lamp, and what stands close by.

As in the ray caster, everything is + − × ÷ √, comparisons and rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.data.rooms_render import ROOM_FACES, Hits, Surfaces, View, corners_of
from bench.data.rooms_scene import Scene, Shape, Solid

if TYPE_CHECKING:
    from bench.data.rooms_render import Doubles, Floats, Ints, Rectangle, Triple

_OFFSET = 0.003  # metres a shadow ray starts above its surface
_REACH = 0.45  # metres over which things darken what is beside them
_PATTERN = 4  # each pixel of a 4 × 4 tile looks at another part of the lamp


def lamp_visibility(scene: Scene, view: View, hits: Hits, seen: Surfaces) -> Floats:
    """Share of the lamp that each pixel's surface sees, (H, W) float32 in [0, 1].

    Each pixel of a 4 × 4 tile looks at another part of the lamp; then each takes the mean over
    the tile about it, of the same surface only, so that shadows are soft but end at edges.
    """
    import numpy as np

    light = scene.light
    start = tuple(p + n * np.float32(_OFFSET) for p, n in zip(seen.point, seen.normal, strict=True))
    row = np.arange(view.shape[0])[:, None] % _PATTERN
    column = np.arange(view.shape[1])[None, :] % _PATTERN
    # A spread-out order, so that neighbours look at far parts of the lamp.
    across = ((row * 2 + column) % _PATTERN - 1.5) / 1.5 * light.size
    along = ((column * 2 + row) % _PATTERN - 1.5) / 1.5 * light.size
    towards = (
        (across + light.position[0]).astype(np.float32) - start[0],
        (along + light.position[1]).astype(np.float32) - start[1],
        np.float32(light.position[2]) - start[2],
    )
    visible = np.ones(view.shape, dtype=np.float32)
    casters = tuple(solid for solid in scene.solids if _throws_shadow(solid))
    if not casters:
        return visible
    rectangles = view.rectangles(_shadow_hulls(scene, casters))
    for solid, rectangle in zip(casters, rectangles, strict=True):
        if rectangle is not None:
            blocked = _blocks(solid, _crop(start, rectangle), _crop(towards, rectangle))
            visible[rectangle][blocked] = 0.0
    return _smooth(visible, hits.solid * 4 + seen.axis)


def _throws_shadow(solid: Solid) -> bool:
    return solid.material.glow == 0.0 and max(solid.half) > 0.07


def _crop(values: Any, rectangle: Rectangle) -> Any:
    return tuple(value[rectangle] for value in values)


def _shadow_hulls(scene: Scene, casters: tuple[Solid, ...]) -> Doubles:
    """Points whose convex hull holds each solid with its shadow in the room, (S, 40, 3)."""
    import numpy as np

    corners = corners_of(casters, 0.01)
    light = scene.light
    hulls = [corners]
    for side_x in (-1.0, 1.0):
        for side_y in (-1.0, 1.0):
            source = np.array(
                [
                    light.position[0] + side_x * light.size,
                    light.position[1] + side_y * light.size,
                    light.position[2],
                ]
            )
            rays = corners - source
            x, y, z = (rays[..., k] for k in range(3))
            # Down to the floor; what is as high as the lamp reaches through the whole room.
            drop = np.maximum(-z, 0.01)
            through = 14.0 / np.sqrt(x * x + y * y + z * z + 0.01)
            times = np.where(z < -0.01, np.minimum(source[2] / drop, through + 1.0), through + 1.0)
            hulls.append(source + rays * np.maximum(times, 1.0)[..., None])
    return np.concatenate(hulls, axis=1)


def _blocks(solid: Solid, start: Triple, towards: Triple) -> Any:
    """Whether a solid stands between points and the lamp; cones count as their mean cylinder."""
    import numpy as np

    cos, sin = solid.turn
    mean = (1.0 + solid.taper) / 2
    hx, hy, hz = solid.half[0] * mean, solid.half[1] * mean, solid.half[2]
    px, py, pz = (value - centre for value, centre in zip(start, solid.centre, strict=True))
    tx, ty, tz = towards
    axes = (
        ((cos / hx) * px + (sin / hx) * py, (cos / hx) * tx + (sin / hx) * ty),
        ((cos / hy) * py - (sin / hy) * px, (cos / hy) * ty - (sin / hy) * tx),
        ((1.0 / hz) * pz, (1.0 / hz) * tz),
    )
    if solid.shape is Shape.BOX:
        near, far = _slabs(axes)
    elif solid.shape is Shape.CYLINDER:
        near, far = _quadric(axes[:2])
        enter, leave = _slabs(axes[2:])
        near, far = np.maximum(near, enter), np.minimum(far, leave)
    else:
        near, far = _quadric(axes)
    return (near < far) & (near < 1.0) & (far > 0.0)


def _slabs(axes: tuple[tuple[Floats, Floats], ...]) -> tuple[Floats, Floats]:
    import numpy as np

    near: Any = None
    far: Any = None
    for origin, direction in axes:
        inverse = 1.0 / np.where(direction == 0, np.float32(1e-12), direction)
        middle, half = -origin * inverse, abs(inverse)
        enter, leave = middle - half, middle + half
        near = enter if near is None else np.maximum(near, enter, out=near)
        far = leave if far is None else np.minimum(far, leave, out=far)
    return near, far


def _quadric(axes: tuple[tuple[Floats, Floats], ...]) -> tuple[Floats, Floats]:
    """Where rays enter and leave the unit circle or ball; entering after leaving if they miss."""
    import numpy as np

    a: Any = np.float32(1e-12)
    b: Any = np.float32(0.0)
    c: Any = np.float32(-1.0)
    for origin, direction in axes:
        a = a + direction * direction
        b = b + origin * direction
        c = c + origin * origin
    inside = b * b - a * c
    root = np.sqrt(np.maximum(inside, 0.0))
    missed = inside <= 0
    near, far = (-b - root) / a, (root - b) / a
    return np.where(missed, np.float32(1.0), near), np.where(missed, np.float32(0.0), far)


def _smooth(values: Floats, surface: Ints) -> Floats:
    """Mean over the 4 × 4 pixels about each that lie on the same surface."""
    import numpy as np

    height, width = values.shape
    # Five pixels across sum to a tile of four when the outer ones count half.
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for dy, dx, share in _taps():
        rows, from_rows = _shifted(dy, height)
        columns, from_columns = _shifted(dx, width)
        same = (surface[rows, columns] == surface[from_rows, from_columns]) * np.float32(share)
        total[rows, columns] += same * values[from_rows, from_columns]
        weight[rows, columns] += same
    mean: Floats = total / weight
    return mean


def _taps() -> Iterator[tuple[int, int, float]]:
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            yield dy, dx, (0.5 if abs(dy) == 2 else 1.0) * (0.5 if abs(dx) == 2 else 1.0)


def _shifted(step: int, size: int) -> tuple[slice, slice]:
    """Slices of what has a neighbour `step` farther, and of that neighbour."""
    return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step))


def openness(scene: Scene, view: View, hits: Hits, seen: Surfaces) -> Floats:
    """How open each surface lies to light from all sides, (H, W) float32 in [0, 1].

    Corners of the room and what stands close by take light away.
    """
    import numpy as np

    open_ = np.ones(view.shape, dtype=np.float32)
    for axis in range(3):
        point, normal = seen.point[axis], seen.normal[axis]
        for distance, towards in ((point, -normal), (np.float32(scene.size[axis]) - point, normal)):
            close = np.maximum(1.0 - distance * np.float32(1 / 0.7), 0.0)
            aside = 1.0 - np.maximum(-towards, 0.0)
            open_ *= 1.0 - np.float32(0.32) * close * close * aside
    large = tuple(
        (number, solid)
        for number, solid in enumerate(scene.solids)
        if solid.material.glow == 0.0 and max(solid.half) > 0.05
    )
    if not large:
        return open_
    rectangles = view.rectangles(corners_of(tuple(solid for _, solid in large), _REACH))
    for (number, solid), rectangle in zip(large, rectangles, strict=True):
        if rectangle is not None:
            own = hits.solid[rectangle] == number + ROOM_FACES
            shade = _nearness(solid, _crop(seen.point, rectangle), _crop(seen.normal, rectangle))
            np.copyto(shade, np.float32(1.0), where=own)
            open_[rectangle] *= shade
    return open_


def _nearness(solid: Solid, point: Triple, normal: Triple) -> Floats:
    """The share of light a solid leaves to points beside it that face it."""
    import numpy as np

    cos, sin = solid.turn
    px, py, pz = (value - centre for value, centre in zip(point, solid.centre, strict=True))
    hx, hy, hz = solid.half
    x = np.maximum(abs(cos * px + sin * py) - hx, 0.0)
    y = np.maximum(abs(cos * py - sin * px) - hy, 0.0)
    z = np.maximum(abs(pz) - hz, 0.0)
    reach = min(_REACH, 0.1 + 2.0 * min(sorted(solid.half)[1], 0.3))
    distance = np.sqrt(x * x + y * y + z * z)
    close = np.maximum(1.0 - distance * np.float32(1 / reach), 0.0)
    size = (hx + hy + hz) / 3
    faces = -(normal[0] * px + normal[1] * py + normal[2] * pz) * np.float32(1.5 / size)
    shade: Floats = 1.0 - np.float32(0.45) * close * close * np.clip(faces, 0.0, 1.0)
    return shade
