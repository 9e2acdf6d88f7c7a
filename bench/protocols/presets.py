"""The protocols the harness ships. A change to one of them needs a new version number."""

from __future__ import annotations

from bench.protocols.base import Protocol
from bench.protocols.geometry import Crop

_EIGEN_REGION = Crop(rows=(45, 471), cols=(41, 601))
_STUDY_WINDOW = Crop(rows=(56, 472), cols=(60, 604))

FULL = Protocol(
    name="full",
    description="The method sees the whole image, and every pixel with depth is scored.",
)

NYU_EIGEN = Protocol(
    name="nyu-eigen",
    description="The method sees the whole image; the score leaves out Eigen's border.",
    region=_EIGEN_REGION,
)

NYU_STUDY = Protocol(
    name="nyu-study",
    description="The method sees only a 416×544 crop, also mirrored; all of the crop is scored.",
    view=_STUDY_WINDOW,
    region=_STUDY_WINDOW,
    flip=True,
    clamp_each=(0.0, 10.0),
)

NYU_DEPTHCLIP = Protocol(
    name="nyu-depthclip",
    description="The 416×544 crop, also mirrored; a pixel predicted at 1 mm or less is not scored "
    "(a fault kept to reproduce published figures: a method gains by failing there).",
    source="DepthCLIP's evaluation (Zhang et al. 2022): its crop, its part of Eigen's region, its "
    "mask on the prediction. It drops NaN pixels too; here they count as the worst value.",
    view=_STUDY_WINDOW,
    region=Crop(rows=(56, 471), cols=(60, 601)),
    flip=True,
    mask="prediction-positive",
)

NYU_BTS = Protocol(
    name="nyu-bts",
    description="The whole image, Eigen's region, one pass; infinity counts as 10 m, NaN as 1 mm.",
    source="BTS's evaluation (Lee et al. 2019).",
    region=_EIGEN_REGION,
    nonfinite="clamp",
)

NYU_ADABINS = Protocol(
    name="nyu-adabins",
    description="The whole image, also mirrored, each pass clamped before they are averaged; "
    "Eigen's region.",
    source="AdaBins' evaluation (Bhat et al. 2021).",
    region=_EIGEN_REGION,
    flip=True,
    clamp_each=(1e-3, 10.0),
    nonfinite="clamp",
)

NYU_ZOEDEPTH = Protocol(
    name="nyu-zoedepth",
    description="The whole image, also mirrored, passes averaged as they are; Eigen's region.",
    source="ZoeDepth's evaluation (Bhat et al. 2023).",
    region=_EIGEN_REGION,
    flip=True,
    nonfinite="clamp",
)

NYU_MARIGOLD = Protocol(
    name="nyu-marigold",
    description="Scale and shift of each image fitted in depth by least squares; Eigen's region.",
    source="Marigold's evaluation (Ke et al. 2024), full resolution. It does not look at the sign "
    "of the scale; here a negative one makes the image count as the worst.",
    region=_EIGEN_REGION,
    alignment="lstsq-affine-depth",
)

NYU_AFFINE_DISPARITY = Protocol(
    name="nyu-affine-disparity",
    description="Scale and shift of each image fitted in disparity by least squares; Eigen's "
    "region.",
    source="Marigold's evaluation (Ke et al. 2024) of methods that predict disparity: raised to "
    "1e-3 1/m, inverted, clamped. A negative scale makes the image count as the worst.",
    region=_EIGEN_REGION,
    alignment="lstsq-affine-disparity",
    disparity_min=1e-3,
)

NYU_MOGE_AFFINE_DISPARITY = Protocol(
    name="nyu-moge-affine-disparity",
    description="Scale and shift fitted in disparity over all ground truth, no border left out "
    "and no cap at 10 m: not comparable with the other tables.",
    source="MoGe's evaluation (Wang et al. 2025) of disparity up to scale and shift: unweighted "
    "least squares, disparity raised to 1 / the image's greatest depth. Nothing finite is clamped "
    "beyond that but to [1e-6, 1000] m, and predictions are resized as in all presets here.",
    valid_min=0.0,
    valid_max=None,
    clamp=(1e-6, 1000.0),
    alignment="lstsq-affine-disparity",
    disparity_min="ground-truth-max",
)

PROTOCOLS: tuple[Protocol, ...] = (
    FULL,
    NYU_EIGEN,
    NYU_STUDY,
    NYU_DEPTHCLIP,
    NYU_BTS,
    NYU_ADABINS,
    NYU_ZOEDEPTH,
    NYU_MARIGOLD,
    NYU_AFFINE_DISPARITY,
    NYU_MOGE_AFFINE_DISPARITY,
)
