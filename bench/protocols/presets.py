"""The protocols the harness ships. A change to one of them needs a new version number."""

from __future__ import annotations

from bench.protocols.base import Protocol
from bench.protocols.geometry import Crop

FULL = Protocol(
    name="full",
    description="The method sees the whole image, and every pixel with depth is scored.",
)

NYU_EIGEN = Protocol(
    name="nyu-eigen",
    description="The method sees the whole image; the score leaves out Eigen's border.",
    region=Crop(rows=(45, 471), cols=(41, 601)),
)

_STUDY_WINDOW = Crop(rows=(56, 472), cols=(60, 604))

NYU_STUDY = Protocol(
    name="nyu-study",
    description="The method sees only a 416×544 crop, also mirrored; all of the crop is scored.",
    view=_STUDY_WINDOW,
    region=_STUDY_WINDOW,
    flip=True,
    clamp_each=(0.0, 10.0),
)

PROTOCOLS: tuple[Protocol, ...] = (FULL, NYU_EIGEN, NYU_STUDY)
