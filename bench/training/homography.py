"""Two views of one image: the homography between them, and the camera motion it stands for.

Homographies map points (x, y, 1) in pixels, columns before rows, pixel centres at whole numbers;
those here take a point of the target view to the same point of the source view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.types import Window

Matrix = npt.NDArray[np.float64]

STUDY_FOCAL = 0.015
"""The study's fx = fy, taken as pixels. (Its origin is presumably a lens of 15 mm.) For rotations
about the optical axis and shifts it cancels: see `Motion`."""
PLANE_DEPTH = 1.0
"""Metres to the plane that `decompose` takes the picture to lie on."""


@dataclass(frozen=True)
class Motion:
    """How a point in the target camera's coordinates moves to the source camera's: R X + t.

    For a rotation by R₂ about the view's centre c and a shift s, R is R₂ about the optical axis
    and t = PLANE_DEPTH·(s/f, 0), f the focal length. A point at depth d then lands at
    c + R₂(p − c) + s·PLANE_DEPTH/d: whatever f is, the right depth is PLANE_DEPTH everywhere.

    Attributes:
        rotation: (3, 3).
        translation: (3,) metres.
    """

    rotation: Matrix
    translation: Matrix


def camera_matrix(height: int, width: int, focal: float = STUDY_FOCAL) -> Matrix:
    """Intrinsics (3, 3) of a camera whose optical axis meets the centre of the view.

    Args:
        height: Rows of the view.
        width: Columns of the view.
        focal: fx = fy in pixels.
    """
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rotation(degrees: float) -> Matrix:
    """The (3, 3) matrix of a turn that takes image points back, clockwise as seen.

    It undoes a counter-clockwise rotation of the image by `degrees` (rows count downwards).
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def target_to_source(
    degrees: float, shift: tuple[float, float], centre: tuple[float, float]
) -> Matrix:
    """Where the points of a rotated, then shifted image come from.

    Args:
        degrees: The image is turned counter-clockwise by this much about `centre`.
        shift: It is then moved by this many pixels (right, down).
        centre: (x, y).

    Returns:
        Homography (3, 3): p ↦ R(p − centre − shift) + centre.
    """
    middle, moved = np.array(centre), np.add(centre, shift)
    homography = rotation(degrees)
    homography[:2, 2] = middle - homography[:2, :2] @ moved
    return homography


def in_view(homography: Matrix, view: Window) -> Matrix:
    """The homography of the frame in the coordinates of one view that is cut from both images."""
    offset = np.eye(3)
    offset[:2, 2] = view.left, view.top
    back = np.eye(3)
    back[:2, 2] = -view.left, -view.top
    return back @ homography @ offset


def overlap(homography: Matrix, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which pixels of the target view show what the source view shows too: (height, width).

    Args:
        homography: In view coordinates.
        height: Rows of both views.
        width: Columns of both views.
    """
    rows, columns = np.indices((height, width), dtype=np.float64)
    x, y, scale = np.tensordot(homography, np.stack([columns, rows, np.ones_like(rows)]), axes=1)
    x, y = x / scale, y / scale
    inside: npt.NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside


def decompose(homography: Matrix, camera: Matrix) -> Motion:
    """The camera motion of which a homography is the picture, for a plane at `PLANE_DEPTH`.

    A homography is K (R + t nᵀ/depth) K⁻¹ for up to four motions and planes (Malis & Vargas 2007,
    INRIA RR-6303). For a turn about the optical axis and a shift, the one whose plane faces the
    camera (n = (0, 0, 1)) and whose R is the turn itself can be read off; general solvers such as
    OpenCV's give the same one among others, and NaN for some shifts without a turn.

    Args:
        homography: (3, 3), target to source: a rotation and a shift of the view.
        camera: (3, 3) intrinsics of both views.
    """
    calibrated = np.linalg.solve(camera, homography @ camera)
    turn = np.eye(3)
    turn[:2, :2] = calibrated[:2, :2]
    return Motion(rotation=turn, translation=PLANE_DEPTH * (calibrated - turn)[:, 2])
