"""What a structured-light depth sensor would have made of a synthetic room.

It sees a pattern thrown from a projector 7.5 cm beside its camera, and measures disparity in steps
of an eighth of a pixel: depth comes in steps that grow with its square, and is missing where the
projector does not reach, at grazing angles, on dark or glossy surfaces, far away, at the border.

Source: K. Khoshelham, S. O. Elberink, "Accuracy and Resolution of Kinect Depth Data for Indoor
Mapping Applications", Sensors 12(2), 2012.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.data.rooms_layout import NYU_CAMERA, NYU_SIZE
from bench.data.rooms_texture import noise

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Mask = npt.NDArray[np.bool_]

BASELINE = 0.075
"""Metres between projector and camera."""
STEPS = 8
"""Disparity steps a pixel of a 640-pixel row."""
BORDER = (7, 8, 14, 10)
"""Pixels of a 480 × 640 frame without depth at the top, bottom, left and right."""


def measure(depth: Floats, facing: Floats, brightness: Floats, gloss: Floats, seed: int) -> Floats:
    """Return depth as the sensor gives it.

    Args:
        depth: (H, W) float32 exact metres.
        facing: (H, W) float32 cosine between surface normal and line of sight.
        brightness: (H, W) float32 reflectance in [0, 1].
        gloss: (H, W) float32 share of light mirrored, in [0, 1].
        seed: Seeds where unsure pixels fail, 32 bits.

    Returns:
        (H, W) float32 metres, 0 where the sensor sees nothing.
    """
    import numpy as np

    disparity = np.float32(NYU_CAMERA[0] * BASELINE * STEPS)
    raw: Floats = disparity / np.floor(disparity / depth + 0.5)
    lost = _unlit(depth) | _border(*depth.shape)
    risk = 1.1 * np.maximum(1.0 - facing * np.float32(1 / 0.22), 0.0)
    risk += 0.55 * np.maximum(1.0 - brightness * np.float32(1 / 0.035), 0.0)
    risk += np.where(gloss > 0.25, gloss * np.float32(0.9), np.float32(0.0))
    risk += np.clip((depth - 5.0) * np.float32(0.09), 0.0, 0.4)
    lost |= _blotches(depth.shape[0], depth.shape[1], seed) < risk
    raw[lost] = 0.0
    return raw


def _unlit(depth: Floats) -> Mask:
    """Where something nearer stands between the projector, to the left, and the surface."""
    import numpy as np

    height, width = depth.shape
    shift = np.float32(NYU_CAMERA[0] * BASELINE * width / NYU_SIZE[1])
    # Column of the projector's image. Along a row it grows unless something nearer hides what
    # follows.
    pattern = np.arange(width, dtype=np.float32)[None, :] + shift / depth
    hidden = np.zeros((height, width), dtype=bool)
    reached = np.maximum.accumulate(pattern, axis=1)
    hidden[:, 1:] = pattern[:, 1:] < reached[:, :-1]
    return hidden


def _border(height: int, width: int) -> Mask:
    import numpy as np

    top, bottom, left, right = BORDER
    rows, columns = NYU_SIZE
    border = np.ones((height, width), dtype=bool)
    border[
        -(-top * height // rows) : height - (-(-bottom * height // rows)),
        -(-left * width // columns) : width - (-(-right * width // columns)),
    ] = False
    return border


def _blotches(height: int, width: int, seed: int) -> Floats:
    """Noise in [0, 1] that clusters, the same at every size of frame."""
    import numpy as np

    x = (np.arange(width, dtype=np.float32) * np.float32(NYU_SIZE[1] / width))[None, :]
    y = (np.arange(height, dtype=np.float32) * np.float32(NYU_SIZE[0] / height))[:, None]
    x, y = np.broadcast_arrays(x, y)
    word = np.uint32(seed)
    coarse = noise(x * np.float32(1 / 40), y * np.float32(1 / 40), word)
    fine = noise(x * np.float32(1 / 9), y * np.float32(1 / 9), word ^ np.uint32(0x5BD1E995))
    return 0.6 * coarse + 0.4 * fine
