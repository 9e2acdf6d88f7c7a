"""Procedural textures on the surfaces of the synthetic rooms.

Each texture maps points of surfaces to colours. Only + − × ÷ √, comparisons, floor and integer
hashing are used, all of which give the same bits on every processor. What is finer than a pixel
fades into its mean, so that far surfaces do not alias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.data.rooms_scene import Texture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Words = npt.NDArray[np.uint32]
    Rgb = tuple[Floats, Floats, Floats]


@dataclass(frozen=True, slots=True)
class Surface:
    """Points on surfaces that share a texture; every array has shape (P,).

    Attributes:
        u: Metres along the face, from its middle.
        v: Metres up the face (or across it, if it is level), from its middle.
        half_u: Half the face's extent along u.
        half_v: Half the face's extent along v.
        front: Whether the face looks along its solid's y axis.
        upright: Whether the face is vertical.
        footprint: Metres a pixel covers on the surface.
        colour: The material's colour.
        other: The material's other colour.
        scale: The material's period in metres.
        seed: The seed of the solid.
    """

    u: Floats
    v: Floats
    half_u: Floats
    half_v: Floats
    front: npt.NDArray[np.bool_]
    upright: npt.NDArray[np.bool_]
    footprint: Floats
    colour: Rgb
    other: Rgb
    scale: Floats
    seed: Words


def paint(texture: Texture, surface: Surface) -> tuple[Rgb, Floats | None]:
    """Return displayed colours in [0, 1], and how much each point glows (None: as its material)."""
    if texture is Texture.WINDOW:
        return _window(surface)
    return _TEXTURES[texture](surface), None


def hashed(x: Words, y: Words, seed: Words | np.uint32) -> Words:
    """Mix three 32-bit words into one."""
    import numpy as np

    word = (x * np.uint32(0x9E3779B1)) ^ (y * np.uint32(0x85EBCA77)) ^ seed
    word ^= word >> np.uint32(15)
    word *= np.uint32(0x2C1B3C6D)
    word ^= word >> np.uint32(12)
    word *= np.uint32(0x297A2D39)
    word ^= word >> np.uint32(15)
    return word


def _fraction(word: Words) -> Floats:
    import numpy as np

    return (word >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / (1 << 24))


def _cell(value: Floats) -> tuple[Floats, Words]:
    """The position within its unit cell, and the cell's number as a word."""
    import numpy as np

    whole = np.floor(value)
    return value - whole, whole.astype(np.int32).view(np.uint32)


def noise(x: Floats, y: Floats, seed: Words | np.uint32) -> Floats:
    """Smooth value noise in [0, 1] with a period of 1; any equal shapes."""
    import numpy as np

    fx, ix = _cell(x)
    fy, iy = _cell(y)
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    one = np.uint32(1)
    low = _fraction(hashed(ix, iy, seed))
    low += fx * (_fraction(hashed(ix + one, iy, seed)) - low)
    high = _fraction(hashed(ix, iy + one, seed))
    high += fx * (_fraction(hashed(ix + one, iy + one, seed)) - high)
    low += fy * (high - low)
    return low


def _random(x: Words, y: Words, seed: Words) -> Floats:
    return _fraction(hashed(x, y, seed))


def _fade(period: Floats, footprint: Floats) -> Floats:
    """1 where a pixel is well below the period, 0 where it is not."""
    import numpy as np

    return np.clip((period / footprint - 1.0) * 0.5, 0.0, 1.0)


def _line(distance: Floats, half_width: Floats | float, footprint: Floats) -> Floats:
    """Share of the pixel covered by a line at this distance."""
    import numpy as np

    sharp: Floats = np.clip((half_width - distance) / footprint + 0.5, 0.0, 1.0)
    share: Floats = np.minimum(2.0 * half_width / footprint, 1.0)
    return sharp * share


def _from_edge(fraction: Floats) -> Floats:
    import numpy as np

    nearest: Floats = np.minimum(fraction, 1.0 - fraction)
    return nearest


def _blend(a: Rgb, b: Rgb, share: Floats) -> Rgb:
    red, green, blue = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return red, green, blue


def _times(a: Rgb, factor: Floats) -> Rgb:
    return a[0] * factor, a[1] * factor, a[2] * factor


def _grain(s: Surface) -> tuple[Floats, Floats]:
    """Coordinates along and across the longer side of the face."""
    import numpy as np

    lies = s.half_u >= s.half_v
    return np.where(lies, s.u, s.v), np.where(lies, s.v, s.u)


def _plain(s: Surface) -> Rgb:
    return _times(s.colour, 0.95 + 0.07 * noise(s.u * 2.5, s.v * 2.5, s.seed))


def _wood(s: Surface) -> Rgb:
    along, across = _grain(s)
    wave = across / s.scale + 1.5 * noise(along * 1.8, across * 9.0, s.seed)
    rings = noise(along * 1.2, wave * 1.7, s.seed)
    fine = noise(along * 7.0, across * 160.0, s.seed) * _fade(s.scale * 0.2, s.footprint)
    return _blend(s.colour, s.other, 0.75 * rings * rings + 0.2 * fine)


def _planks(s: Surface) -> Rgb:
    import numpy as np

    # Planks run along the longer side of the face, but upwards on walls.
    along = np.where(s.upright | (s.half_v > s.half_u), s.v, s.u)
    across = np.where(s.upright | (s.half_v > s.half_u), s.u, s.v)
    fx, ix = _cell(across / s.scale)
    length = s.scale * 9.0
    shift = _random(ix, ix, s.seed) * length
    fy, iy = _cell((along + shift) / length)
    tone = (_random(ix, iy, s.seed) - 0.5) * _fade(s.scale, s.footprint)
    grain = noise(along * 2.5 + tone * 40.0, across * 45.0, s.seed) * _fade(
        s.scale * 0.3, s.footprint
    )
    seam = np.maximum(
        _line(_from_edge(fx) * s.scale, 0.003, s.footprint),
        _line(_from_edge(fy) * length, 0.003, s.footprint),
    )
    board = _times(_blend(s.colour, s.other, 0.2 + 0.45 * grain), 1.0 + 0.32 * tone)
    return _times(board, 1.0 - 0.6 * seam)


def _tiles(s: Surface) -> Rgb:
    import numpy as np

    fx, ix = _cell(s.u / s.scale)
    fy, iy = _cell(s.v / s.scale)
    fade = _fade(s.scale, s.footprint)
    odd = ((ix ^ iy) & np.uint32(1)).astype(np.float32)
    other = np.where(s.upright, 0.0, 0.5 + (odd - 0.5) * fade)
    tone = 1.0 + 0.08 * fade * (_random(ix, iy, s.seed) - 0.5)
    veins = noise(s.u * 9.0, s.v * 9.0, s.seed)
    joint = np.maximum(
        _line(_from_edge(fx) * s.scale, 0.004, s.footprint),
        _line(_from_edge(fy) * s.scale, 0.004, s.footprint),
    )
    tile = _times(_blend(s.colour, s.other, other), tone * (0.95 + 0.07 * veins))
    return _times(tile, 1.0 - 0.35 * joint)


def _half_tiles(s: Surface) -> Rgb:
    import numpy as np

    # Measured from the floor: the faces are walls.
    height = s.v + s.half_v
    trim = _line(np.abs(height - 1.42), 0.03, s.footprint)
    below = _times(_tiles(s), 1.0 - 0.4 * trim)
    above = _times(s.other, 0.95 + 0.07 * noise(s.u * 2.5, s.v * 2.5, s.seed))
    return _blend(below, above, (height > 1.45).astype(np.float32))


def _carpet(s: Surface) -> Rgb:
    tufts = noise(s.u / (s.scale * 0.5), s.v / (s.scale * 0.5), s.seed)
    fine = (tufts - 0.5) * _fade(s.scale, s.footprint)
    trodden = noise(s.u * 1.6, s.v * 1.6, s.seed)
    return _blend(s.colour, s.other, 0.15 + 0.6 * trodden + 0.7 * fine)


def _stripes(s: Surface) -> Rgb:
    fx, _ = _cell(s.u / s.scale)
    half = s.scale * 0.25
    middle = abs(fx - 0.5) * s.scale
    share = _line(middle, half, s.footprint)
    fade = _fade(s.scale, s.footprint)
    thin = _line(abs(middle - half * 1.6), s.scale * 0.03, s.footprint)
    return _blend(s.colour, s.other, 0.5 + (share + 0.6 * thin - 0.5) * fade)


def _pattern(s: Surface) -> Rgb:
    import numpy as np

    fy, iy = _cell(s.v / s.scale)
    shift = (iy & np.uint32(1)).astype(np.float32) * 0.5
    fx, _ = _cell(s.u / s.scale + shift)
    x, y = abs(fx - 0.5) * s.scale, abs(fy - 0.5) * s.scale
    flower = np.sqrt(x * x + y * y)
    petals = _line(flower, s.scale * 0.13, s.footprint)
    ring = _line(abs(flower - s.scale * 0.2), s.scale * 0.02, s.footprint)
    lattice = _line(abs(x + y - s.scale * 0.46), s.scale * 0.025, s.footprint)
    figure = np.minimum(petals + ring + lattice, 1.0)
    return _blend(s.colour, s.other, 0.25 + (figure - 0.25) * _fade(s.scale * 0.5, s.footprint))


def _fabric(s: Surface) -> Rgb:
    weave = noise(s.u / s.scale, s.v / s.scale, s.seed) - 0.5
    folds = noise(s.u * 5.0, s.v * 5.0, s.seed)
    return _blend(s.colour, s.other, 0.8 * folds + weave * _fade(s.scale, s.footprint))


def _checks(s: Surface) -> Rgb:
    fade = _fade(s.scale, s.footprint)
    fx, _ = _cell(s.u / s.scale)
    fy, _ = _cell(s.v / s.scale)
    across = _line(abs(fx - 0.5) * s.scale, s.scale * 0.25, s.footprint)
    down = _line(abs(fy - 0.5) * s.scale, s.scale * 0.25, s.footprint)
    return _blend(s.colour, s.other, 0.5 + (0.5 * (across + down) - 0.5) * fade)


def _brick(s: Surface) -> Rgb:
    import numpy as np

    high = s.scale * 0.32
    fy, iy = _cell(s.v / high)
    shift = (iy & np.uint32(1)).astype(np.float32) * 0.5
    fx, ix = _cell(s.u / s.scale + shift)
    fade = _fade(high, s.footprint)
    joint = np.maximum(
        _line(_from_edge(fx) * s.scale, 0.006, s.footprint),
        _line(_from_edge(fy) * high, 0.006, s.footprint),
    )
    tone = 1.0 + 0.35 * fade * (_random(ix, iy, s.seed) - 0.5)
    rough = 0.9 + 0.2 * noise(s.u * 40.0, s.v * 40.0, s.seed)
    return _blend(_times(s.colour, tone * rough), s.other, joint)


def _cabinet(s: Surface) -> Rgb:
    import numpy as np

    along, across = _grain(s)
    rings = noise(along * 1.5, across * 30.0, s.seed)
    body = _times(s.colour, 0.9 + 0.12 * rings)
    wide = np.maximum(np.floor(2.0 * s.half_u / s.scale + 0.5), 1.0)
    high = np.maximum(np.floor(2.0 * s.half_v / (s.scale * 1.7) + 0.5), 1.0)
    fx, _ = _cell((s.u / s.half_u * 0.5 + 0.5) * wide * 0.9999)
    fy, _ = _cell((s.v / s.half_v * 0.5 + 0.5) * high * 0.9999)
    x, y = 2.0 * s.half_u / wide, 2.0 * s.half_v / high
    edge = np.minimum(_from_edge(fx) * x, _from_edge(fy) * y)
    gap = _line(edge, 0.006, s.footprint)
    groove = _line(abs(edge - 0.05), 0.005, s.footprint)
    kx, ky = (fx - 0.88) * x, (fy - 0.5) * y
    knob = _line(np.sqrt(kx * kx + ky * ky), 0.018, s.footprint)
    dark = np.where(s.front, np.minimum(gap + 0.45 * groove + 0.8 * knob, 1.0), 0.0)
    return _blend(body, s.other, dark)


def _books(s: Surface) -> Rgb:
    import numpy as np

    fx, ix = _cell(s.u / s.scale)
    zero = np.zeros_like(ix)
    red, green, blue = (
        0.15 + 0.7 * _random(ix, zero + np.uint32(channel), s.seed) for channel in range(3)
    )
    light = 0.55 + 0.6 * _random(ix, zero + np.uint32(7), s.seed)
    gap = _line(_from_edge(fx) * s.scale, 0.0025, s.footprint)
    title = _random(ix, zero + np.uint32(9), s.seed) * 0.5
    band = _line(abs(s.v / s.half_v - title), 0.14, s.footprint / s.half_v)
    spine = _blend(
        (red * light, green * light, blue * light), (light, light, light * 0.9), 0.6 * band
    )
    pages = np.where(s.upright, 0.0, 0.6).astype(np.float32)
    cream = (light * 0 + 0.85, light * 0 + 0.8, light * 0 + 0.7)
    return _times(_blend(spine, cream, pages), 1.0 - 0.7 * gap)


def _window(s: Surface) -> tuple[Rgb, Floats]:
    import numpy as np

    a, b = abs(s.u), s.v
    bar = np.maximum(
        np.maximum((a > s.half_u - 0.055), abs(b) > s.half_v - 0.055),
        np.maximum(a < 0.022, abs(b - 0.3 * s.half_v) < 0.018),
    )
    pane = np.where(bar | ~s.front, 0.0, 1.0).astype(np.float32)
    height = b / s.half_v
    day = (s.other[0] > 0.5).astype(np.float32)
    clouds = noise(s.u * 2.0, s.v * 4.0, s.seed)
    sky = _blend(
        s.other, (day, day, day), day * np.clip(0.3 + 0.5 * clouds - 0.3 * height, 0.0, 1.0)
    )
    leaves = noise(s.u * 9.0, s.v * 9.0, s.seed)
    skyline = -0.3 + 0.7 * noise(s.u * 3.0, s.u * 0.0, s.seed)
    green = (
        (0.25 + 0.35 * leaves) * day,
        (0.36 + 0.35 * leaves) * day,
        (0.2 + 0.22 * leaves) * day,
    )
    view = _blend(sky, green, (height < skyline).astype(np.float32) * 0.85)
    return _blend(s.colour, view, pane), pane


def _picture(s: Surface) -> Rgb:
    import numpy as np

    edge = np.minimum(s.half_u - abs(s.u), s.half_v - abs(s.v))
    x, y = s.u / s.half_u, s.v / s.half_v
    zero = np.zeros_like(s.seed)

    def pick(slot: int) -> Floats:
        return _random(zero + np.uint32(slot), zero, s.seed)

    sky = (0.4 + 0.5 * pick(1), 0.4 + 0.5 * pick(2), 0.4 + 0.5 * pick(3))
    land = (0.1 + 0.6 * pick(4), 0.1 + 0.6 * pick(5), 0.1 + 0.5 * pick(6))
    horizon = -0.4 + 0.8 * noise(x * 1.5 + 9.0 * pick(7), x * 0.0, s.seed)
    scene = _blend(sky, land, (y < horizon).astype(np.float32))
    sx, sy = (x - pick(8) + 0.5) * s.half_u, (y - 0.5 * pick(9)) * s.half_v
    disc = (sx * sx + sy * sy < 0.012).astype(np.float32)
    accent = (0.2 + 0.8 * pick(10), 0.2 + 0.7 * pick(11), 0.2 + 0.6 * pick(12))
    scene = _blend(scene, accent, disc)
    scene = _times(scene, 0.75 + 0.5 * noise(x * 5.0, y * 5.0, s.seed))
    margin = np.where(pick(13) > 0.5, 0.09, 0.03).astype(np.float32)
    scene = _blend(scene, s.other, (edge < margin).astype(np.float32))
    rim = np.where(edge < 0.028, 1.0, 0.0) + np.where(s.front, 0.0, 1.0)
    return _blend(scene, s.colour, np.minimum(rim, 1.0).astype(np.float32))


def _curtain(s: Surface) -> Rgb:
    fx, _ = _cell(s.u / s.scale + 0.3 * noise(s.u * 4.0, s.v * 1.5, s.seed))
    fold = abs(fx - 0.5) * 2.0
    fade = _fade(s.scale, s.footprint)
    return _blend(s.colour, s.other, 0.4 + (fold * fold - 0.4) * fade)


def _leaf(s: Surface) -> Rgb:
    leaves = noise(s.u / s.scale, s.v / s.scale, s.seed)
    small = noise(s.u / s.scale * 2.7, s.v / s.scale * 2.7, s.seed)
    share = 1.6 * leaves + 0.6 * small - 0.6
    return _blend(s.colour, s.other, share.clip(0.0, 1.0))


def _mirror(s: Surface) -> Rgb:
    import numpy as np

    fx, _ = _cell((s.u + s.v) * 1.3)
    return _blend(s.colour, s.other, np.clip(1.4 - 4.0 * abs(fx - 0.5), 0.0, 1.0))


def _stone(s: Surface) -> Rgb:
    grains = noise(s.u / s.scale, s.v / s.scale, s.seed) * _fade(s.scale, s.footprint)
    clouds = noise(s.u * 6.0, s.v * 6.0, s.seed)
    return _blend(s.colour, s.other, 0.6 * grains + 0.4 * clouds)


_TEXTURES: dict[Texture, Callable[[Surface], Rgb]] = {
    Texture.PLAIN: _plain,
    Texture.WOOD: _wood,
    Texture.PLANKS: _planks,
    Texture.TILES: _tiles,
    Texture.CARPET: _carpet,
    Texture.STRIPES: _stripes,
    Texture.PATTERN: _pattern,
    Texture.FABRIC: _fabric,
    Texture.CHECKS: _checks,
    Texture.CABINET: _cabinet,
    Texture.BOOKS: _books,
    Texture.PICTURE: _picture,
    Texture.CURTAIN: _curtain,
    Texture.LEAF: _leaf,
    Texture.MIRROR: _mirror,
    Texture.STONE: _stone,
    Texture.HALF_TILES: _half_tiles,
    Texture.BRICK: _brick,
}
