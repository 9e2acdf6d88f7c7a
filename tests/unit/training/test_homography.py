from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.training.homography import (
    Matrix,
    camera_matrix,
    decompose,
    in_view,
    overlap,
    rotation,
    target_to_source,
)
from bench.types import Window

ANGLES = st.floats(-10, 10)
SHIFTS = st.tuples(st.floats(-10, 10), st.floats(-10, 10))
STUDY_VIEW = Window(51, 53, 416, 544, 480, 640)
CENTRE = (319.5, 239.5)


def at(homography: Matrix, x: float, y: float) -> Matrix:
    point = homography @ [x, y, 1]
    return np.asarray(point[:2] / point[2])


def test_a_quarter_turn_and_a_shift_by_hand() -> None:
    # Turned counter-clockwise about (2, 2), then moved 1 right and 3 down: what stood above the
    # centre, at (2, 0), is to its left at (0, 2), then at (1, 5).
    homography = target_to_source(90, (1, 3), (2, 2))
    np.testing.assert_allclose(at(homography, 1, 5), (2, 0), atol=1e-12)
    np.testing.assert_allclose(at(homography, 3, 5), (2, 2), atol=1e-12)


@given(ANGLES, SHIFTS)
@settings(max_examples=30, deadline=None)
def test_it_is_opencvs_rotation_then_the_shift(degrees: float, shift: tuple[float, float]) -> None:
    there = np.vstack([cv2.getRotationMatrix2D(CENTRE, degrees, 1.0), [0, 0, 1]])
    there[:2, 2] += shift
    found = target_to_source(degrees, shift, CENTRE)
    np.testing.assert_allclose(found @ there, np.eye(3), atol=1e-9)


def test_a_view_has_coordinates_of_its_own() -> None:
    homography = target_to_source(7, (4, -6), CENTRE)
    inside = in_view(homography, STUDY_VIEW)
    x, y = 100.0, 30.0
    wanted = at(homography, x + 53, y + 51) - (53, 51)
    np.testing.assert_allclose(at(inside, x, y), wanted, atol=1e-9)


@given(ANGLES, SHIFTS)
@settings(max_examples=100, deadline=None)
def test_the_decomposition_is_the_turn_about_the_optical_axis(
    degrees: float, shift: tuple[float, float]
) -> None:
    """R and t by hand: the turn itself, and where the view's centre goes, over the focal length."""
    homography = in_view(target_to_source(degrees, shift, CENTRE), STUDY_VIEW)
    camera = camera_matrix(416, 544)
    motion = decompose(homography, camera)
    np.testing.assert_allclose(motion.rotation, rotation(degrees), atol=1e-12)
    moved = at(homography, 271.5, 207.5) - (271.5, 207.5)
    np.testing.assert_allclose(motion.translation, [*moved / 0.015, 0], atol=1e-9)


@given(ANGLES, SHIFTS)
@settings(max_examples=100, deadline=None)
def test_points_at_one_metre_move_as_the_homography_says(
    degrees: float, shift: tuple[float, float]
) -> None:
    homography = in_view(target_to_source(degrees, shift, CENTRE), STUDY_VIEW)
    camera = camera_matrix(416, 544)
    motion = decompose(homography, camera)
    for x, y in ((0.0, 0.0), (543.0, 0.0), (20.0, 415.0), (271.5, 207.5)):
        point = np.linalg.solve(camera, [x, y, 1.0])
        seen = camera @ (motion.rotation @ point + motion.translation)
        np.testing.assert_allclose(seen[:2] / seen[2], at(homography, x, y), atol=1e-8)


def test_nothing_moved_is_no_motion() -> None:
    motion = decompose(np.eye(3), camera_matrix(416, 544))
    np.testing.assert_allclose(motion.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(motion.translation, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("degrees", "shift"), [(5, (3, -7)), (-9.5, (-10, 10)), (0.3, (-0.2, 4)), (10, (0, 0))]
)
def test_of_opencvs_solutions_it_is_the_one_that_faces_the_camera_and_turns_as_known(
    degrees: float, shift: tuple[float, float]
) -> None:
    homography = in_view(target_to_source(degrees, shift, CENTRE), STUDY_VIEW)
    camera = camera_matrix(416, 544)
    _, turns, translations, normals = cv2.decomposeHomographyMat(homography, camera)
    facing = [index for index, normal in enumerate(normals) if normal[2, 0] > 0]
    assert len(facing) == 2
    best = min(facing, key=lambda i: float(np.linalg.norm(turns[i] - rotation(degrees))))
    motion = decompose(homography, camera)
    np.testing.assert_allclose(motion.rotation, turns[best], atol=1e-6)
    np.testing.assert_allclose(motion.translation, translations[best][:, 0], atol=1e-6)


@pytest.mark.parametrize(("degrees", "shift"), [(0, (3, -2)), (10, (0, 0)), (-4, (1, 1))])
def test_the_overlap_is_what_both_views_show(degrees: float, shift: tuple[float, float]) -> None:
    homography = target_to_source(degrees, shift, (9.5, 7.5))
    seen = overlap(homography, 16, 20)
    for row, column in np.ndindex(16, 20):
        x, y = at(homography, column, row)
        assert seen[row, column] == (0 <= x <= 19 and 0 <= y <= 15)
    assert 0.7 < seen.mean() < 1
