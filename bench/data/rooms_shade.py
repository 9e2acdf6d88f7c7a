"""Colour of the synthetic rooms: textures under light, exposed and stored as a camera would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.data.rooms_render import (
    Hits,
    Surfaces,
    View,
)
from bench.data.rooms_scene import Material, Scene, Texture
from bench.data.rooms_shadow import lamp_visibility, openness
from bench.data.rooms_texture import Surface, hashed, paint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Rgb = tuple[Floats, Floats, Floats]

_MEAN = 0.38  # mean of the exposed light before the curve
_SHINE = 4  # squarings of the highlight's cosine: its 16th power


def materials_of(scene: Scene) -> tuple[Material, ...]:
    """The material of each hit number."""
    return (*scene.surfaces, *(solid.material for solid in scene.solids))


def colour(
    scene: Scene, view: View, hits: Hits, seen: Surfaces, grain: Floats
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return the picture and how bright each surface itself is.

    Args:
        scene: The room.
        view: The rays.
        hits: What they hit.
        seen: The surfaces there.
        grain: (3, H, W) float32 noise to add, in units of 1/255.

    Returns:
        The picture, (3, H, W) uint8, and the reflectance, (H, W) float32 in [0, 1].
    """
    import numpy as np

    albedo, glow = _painted(scene, view, hits, seen)
    diffuse, shine = _light(scene, view, hits, seen)
    channels = [
        a * (diffuse * np.float32(t) + glow * np.float32(2.2)) + shine * np.float32(t)
        for a, t in zip(albedo, scene.tint, strict=True)
    ]
    exposure = _exposure(channels, glow)
    picture = np.empty((3, *view.shape), dtype=np.uint8)
    for target, channel, noise in zip(picture, channels, grain, strict=True):
        light = channel * exposure
        curved = light * (1.0 + light * np.float32(0.2)) / (1.0 + light)
        target[...] = np.clip(np.sqrt(curved) * 255.0 + noise + 0.5, 0.0, 255.0)
    brightness = albedo[0] * 0.3 + albedo[1] * 0.6 + albedo[2] * 0.1
    return picture, brightness


def _exposure(channels: list[Floats], glow: Floats) -> Any:
    """The factor that brings the mean to `_MEAN`; summed in integers, whose order is no matter."""
    import numpy as np

    bright = np.minimum((channels[0] + channels[1] + channels[2]) * np.float32(256.0), 65535.0)
    counted = np.where(glow > 0, np.float32(0.0), bright).astype(np.int64)
    pixels = max(int((glow == 0).sum()), 1)
    mean = max(int(counted.sum()), 1) / (pixels * 3 * 256.0)
    return np.float32(_MEAN / mean)


def _painted(scene: Scene, view: View, hits: Hits, seen: Surfaces) -> tuple[Rgb, Floats]:
    """Reflectance of each channel, and the light given off relative to it."""
    import numpy as np

    materials = materials_of(scene)
    index = hits.solid
    present = np.zeros(len(materials), dtype=bool)
    present[index.ravel()] = True
    texture = np.array([material.texture for material in materials], dtype=np.int32)
    numbers = np.arange(len(materials), dtype=np.uint32)
    seeds = hashed(numbers, numbers, np.uint32(scene.seed))
    columns = {
        name: np.array([getattr(material, name) for material in materials], dtype=np.float32)
        for name in ("colour", "other", "scale", "glow")
    }
    albedo = np.empty((3, index.size), dtype=np.float32)
    flat = index.ravel()
    glow = columns["glow"][flat]
    kind = texture[flat]
    footprint = (hits.depth / np.maximum(seen.facing, np.float32(0.08))).ravel()
    footprint = footprint * np.float32(1.0 / view.focal)
    axis, local, half = seen.axis.ravel(), _flat(seen.local), _flat(seen.half)
    for each in np.unique(texture[present]):
        where = np.flatnonzero(kind == each)
        number = flat[where]
        along = axis[where]
        lx, ly, lz = (value[where] for value in local)
        hx, hy, hz = (value[where] for value in half)
        surface = Surface(
            u=np.where(along == 0, ly, lx),
            v=np.where(along == 2, ly, lz),
            half_u=np.where(along == 0, hy, hx),
            half_v=np.where(along == 2, hy, hz),
            front=along == 1,
            upright=along != 2,
            footprint=footprint[where],
            colour=tuple(columns["colour"][number, k] for k in range(3)),
            other=tuple(columns["other"][number, k] for k in range(3)),
            scale=columns["scale"][number],
            seed=seeds[number],
        )
        painted, lit = paint(Texture(int(each)), surface)
        for channel, value in zip(albedo, painted, strict=True):
            shown = np.clip(value, 0.02, 0.98)
            channel[where] = shown * shown
        if lit is not None:
            glow[where] *= lit
    red, green, blue = (channel.reshape(index.shape) for channel in albedo)
    return (red, green, blue), glow.reshape(index.shape)


def _flat(values: Rgb) -> Rgb:
    return values[0].ravel(), values[1].ravel(), values[2].ravel()


def _light(scene: Scene, view: View, hits: Hits, seen: Surfaces) -> tuple[Floats, Floats]:
    """Irradiance of each surface, and the light its gloss throws towards the camera."""
    import numpy as np

    nx, ny, nz = seen.normal
    open_ = openness(scene, view, hits, seen)
    total = np.float32(scene.ambient) * open_ * (0.85 + 0.15 * nz)
    lamp = scene.light
    x, y, z = (np.float32(c) - p for c, p in zip(lamp.position, seen.point, strict=True))
    square = x * x + y * y + z * z + np.float32(0.15)
    distance = np.sqrt(square)
    facing = np.maximum(nx * x + ny * y + nz * z, 0.0) / distance
    visible = lamp_visibility(scene, view, hits, seen)
    # Falls off more slowly than a bare bulb: the room throws light back.
    direct = np.float32(lamp.power) * visible * facing / (square * 0.5 + distance * 0.5 + 0.5)
    total += direct * (0.5 + 0.5 * open_)
    for glow in scene.glows:
        gx, gy, gz = (np.float32(c) - p for c, p in zip(glow.position, seen.point, strict=True))
        far = gx * gx + gy * gy + gz * gz + np.float32(0.4)
        root = np.sqrt(far)
        lit = np.maximum(nx * gx + ny * gy + nz * gz, 0.0) / root
        sent = (
            np.maximum(-(glow.facing[0] * gx + glow.facing[1] * gy + glow.facing[2] * gz), 0.0)
            / root
        )
        total += np.float32(glow.power) * lit * (0.25 + 0.75 * sent) / (far + 0.6) * open_
    return total, _highlights(
        scene, view, hits, seen, (x / distance, y / distance, z / distance), visible
    )


def _highlights(
    scene: Scene, view: View, hits: Hits, seen: Surfaces, towards: Rgb, visible: Floats
) -> Floats:
    import numpy as np

    gloss = np.array([m.gloss for m in materials_of(scene)], dtype=np.float32)[hits.solid]
    rays = view.directions
    length = np.sqrt(rays[0] * rays[0] + rays[1] * rays[1] + rays[2] * rays[2])
    hx, hy, hz = (t - r / length for t, r in zip(towards, rays, strict=True))
    between = np.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-6)
    nx, ny, nz = seen.normal
    cosine = np.maximum((nx * hx + ny * hy + nz * hz) / between, 0.0)
    for _ in range(_SHINE):
        cosine = cosine * cosine
    # Flat gloss also mirrors some of the room at grazing angles.
    grazing = 1.0 - seen.facing
    sheen = grazing * grazing * grazing * np.float32(0.25)
    shine: Floats = gloss * (cosine * visible * np.float32(1.2) + sheen * np.float32(scene.ambient))
    return shine
