from __future__ import annotations

import hashlib
import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from bench.errors import ProtocolError
from bench.protocols.base import SCORABLE, Protocol, check_output
from bench.protocols.presets import FULL, NYU_EIGEN, NYU_STUDY, PROTOCOLS
from bench.types import Output, Window

SETTINGS: dict[str, Any] = {
    "version": 1,
    "frame": None,
    "view": None,
    "region": None,
    "valid_min": 0.001,
    "valid_max": 10.0,
    "valid_bounds": "exclusive",
    "flip": False,
    "clamp_each": None,
    "average": "before-resize",
    "resize": "bilinear",
    "align_corners": True,
    "clamp": [0.001, 10.0],
    "alignment": "none",
    "nonfinite": "worst",
    "averaging": "images",
    "mask": "ground-truth",
    "disparity_min": None,
    "negative_scale": "worst",
}
STUDY_WINDOW = {"rows": [56, 472], "cols": [60, 604]}
EIGEN = SETTINGS | {"frame": [480, 640], "region": {"rows": [45, 471], "cols": [41, 601]}}
GOLDEN = {
    "full": SETTINGS,
    "nyu-eigen": EIGEN,
    "nyu-study": SETTINGS
    | {
        "frame": [480, 640],
        "view": STUDY_WINDOW,
        "region": STUDY_WINDOW,
        "flip": True,
        "clamp_each": [0.0, 10.0],
    },
    "nyu-depthclip": SETTINGS
    | {
        "frame": [480, 640],
        "view": STUDY_WINDOW,
        "region": {"rows": [56, 471], "cols": [60, 601]},
        "flip": True,
        "mask": "prediction-positive",
    },
    "nyu-bts": EIGEN | {"nonfinite": "clamp"},
    "nyu-adabins": EIGEN | {"flip": True, "clamp_each": [0.001, 10.0], "nonfinite": "clamp"},
    "nyu-zoedepth": EIGEN | {"flip": True, "nonfinite": "clamp"},
    "nyu-marigold": EIGEN | {"alignment": "lstsq-affine-depth"},
    "nyu-affine-disparity": EIGEN | {"alignment": "lstsq-affine-disparity", "disparity_min": 0.001},
    "nyu-moge-affine-disparity": SETTINGS
    | {
        "valid_min": 0.0,
        "valid_max": None,
        "clamp": [1e-6, 1000.0],
        "alignment": "lstsq-affine-disparity",
        "disparity_min": "ground-truth-max",
    },
}
SHA256 = {
    "full": "58dc0325ae33b6a46d661b354641e8731ee6ce379c5c8ccdfce192e14292728c",
    "nyu-eigen": "c08a0afc7732a42985b91291b41660719816317403f37b2fb8981e9b763c4c54",
    "nyu-study": "966a9da215a873a655a23a7fa8c5dd66a9f911887a0d1148de0caf901b0eaba3",
    "nyu-depthclip": "c6145b99c093d13b686af1caf41d428b0e212a38331990f0df95b42feb0600f4",
    "nyu-bts": "fa7836c5fe94dd4cebe38ed4650b5ed9a909f110c6e5214fc391e5cd180bb43e",
    "nyu-adabins": "fe327abb91769cbcac4acea22c70888c8fb12e36dc0a9c66cc9c256e85d1bc37",
    "nyu-zoedepth": "e625e178d47d2c12261d3338071fa503822c361baf2ecca2ecb5958d5e151188",
    "nyu-marigold": "aa01a7448c97d87bf61464e1fe06870ea1e01648a048fb8fdc2c5762cd9a0622",
    "nyu-affine-disparity": "03c954f1c186a19698e67287176dd2e06d88f1ee3b381cf32c1c66ccfe454dd2",
    "nyu-moge-affine-disparity": "2153807b4a11eaf57ff66c1963412ec8fd0406702f7f254fb18b8f561550294b",
}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_presets_are_what_was_published(protocol: Protocol) -> None:
    """Figures in records hang on these. A preset that has to change gets `version=` one higher.

    Then (and when a new setting is added, whose default keeps the old behaviour) write the new
    settings and hash here: records made before stay apart from those made after.
    """
    assert protocol.settings == GOLDEN[protocol.name]
    assert protocol.sha256 == SHA256[protocol.name]


def test_presets_are_all_pinned_and_described() -> None:
    assert [protocol.name for protocol in PROTOCOLS] == list(GOLDEN) == list(SHA256)
    assert all(protocol.description.endswith(".") for protocol in PROTOCOLS)


def test_hash_is_of_the_settings_as_json() -> None:
    text = json.dumps(NYU_STUDY.settings, sort_keys=True, separators=(",", ":"))
    assert NYU_STUDY.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_hash_ignores_prose_and_holds_everything_else() -> None:
    prose = NYU_EIGEN.model_copy(update={"name": "other", "description": "Other words."})
    assert prose.sha256 == NYU_EIGEN.sha256
    changed = [
        {"version": 2},
        {"view": STUDY_WINDOW},
        {"region": STUDY_WINDOW},
        {"valid_min": 0.5},
        {"valid_max": 80},
        {"flip": True},
        {"flip": True, "clamp_each": [0, 10]},
        {"flip": True, "average": "after-resize"},
        {"align_corners": False},
        {"clamp": [0.001, 80]},
        {"valid_max": None},
        {"valid_bounds": "inclusive"},
        {"valid_bounds": "upper-inclusive"},
        {"mask": "prediction-positive"},
        {"nonfinite": "clamp"},
        {"alignment": "median-scale"},
        {"alignment": "lstsq-scale"},
        {"alignment": "lstsq-scale", "negative_scale": "median"},
        {"alignment": "lstsq-affine-depth"},
        {"alignment": "lstsq-affine-disparity", "disparity_min": 0.001},
        {"alignment": "lstsq-affine-disparity", "disparity_min": "ground-truth-max"},
    ]
    hashes = {Protocol.model_validate({"name": "x"} | change).sha256 for change in changed}
    assert len(hashes | {FULL.sha256}) == len(changed) + 1


def test_two_ways_to_say_the_same_have_one_hash() -> None:
    whole = {"rows": [0, 480], "cols": [0, 640]}
    spelled = Protocol.model_validate(
        {"name": "x", "view": whole, "region": whole, "valid_max": 10}
    )
    assert spelled.sha256 == FULL.sha256
    view = Protocol.model_validate({"name": "x", "view": STUDY_WINDOW})
    both = Protocol.model_validate({"name": "x", "view": STUDY_WINDOW, "region": STUDY_WINDOW})
    assert view.sha256 == both.sha256


def test_settings_given_in_a_suite_as_yaml_reads_them() -> None:
    protocol = Protocol.model_validate(
        {"name": "mine", "valid_min": "1e-3", "clamp": ["1e-3", 10], "view": STUDY_WINDOW}
    )
    assert protocol.valid_min == 0.001
    assert protocol.clamp == (0.001, 10.0)


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"colour": 1}, "colour", "Extra inputs"),
        ({"name": "Upper"}, "name", "pattern"),
        ({"name": "x-scaled"}, "name", "leave it out"),
        ({"description": "two\nlines"}, "description", "one line"),
        ({"version": 0}, "version", "greater than or equal to 1"),
        ({"valid_min": -1}, "valid_min", "greater than or equal to 0"),
        ({"valid_max": "inf"}, "valid_max", "finite"),
        ({"valid_min": 10, "valid_max": 10}, "", "valid_min 10 must be below valid_max 10"),
        ({"clamp": [10, 1]}, "clamp", r"\[lowest, highest\], not \[10.0, 1.0\]"),
        ({"clamp": [0, 10]}, "clamp", "1e-6 m or above"),
        ({"clamp": [1]}, "clamp.1", "Field required"),
        ({"clamp": None}, "clamp", "valid tuple"),
        ({"flip": "maybe"}, "flip", "valid boolean"),
        ({"flip": True, "clamp_each": [5, 5]}, "clamp_each", "lowest, highest"),
        ({"clamp_each": [0, 10]}, "", "set flip"),
        ({"average": "after-resize"}, "", "set flip"),
        ({"average": "never"}, "average", "'before-resize' or 'after-resize'"),
        ({"alignment": "median"}, "alignment", "'median-scale'"),
        ({"alignment": "lstsq-affine-disparity"}, "", "needs disparity_min"),
        ({"alignment": "lstsq-scale", "disparity_min": 1e-3}, "", "belongs to alignment"),
        ({"negative_scale": "median"}, "", "set alignment"),
        ({"alignment": "lstsq-scale", "flip": True, "clamp_each": [0, 1]}, "", "clamp_each"),
        ({"alignment": "lstsq-scale", "mask": "prediction-positive"}, "", "alignment: none only"),
        ({"source": "two\nlines"}, "source", "one line"),
        ({"view": {"rows": [0, 481], "cols": [0, 640]}}, "view.rows.1", "480"),
        ({"view": {"rows": [-1, 4], "cols": [0, 640]}}, "view.rows.0", "0"),
        ({"view": {"rows": [0.5, 4], "cols": [0, 640]}}, "view.rows.0", "integer"),
        ({"view": {"rows": [4, 4], "cols": [0, 640]}}, "view", r"rows \[4, 4\] hold nothing"),
        ({"view": {"rows": [0, 4]}}, "view.cols", "Field required"),
        ({"view": STUDY_WINDOW, "region": {"rows": [45, 471], "cols": [60, 601]}}, "", "inside"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], place: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Protocol.model_validate({"name": "x"} | settings)
    errors = refused.value.errors()
    assert ".".join(str(part) for part in errors[0]["loc"]) == place
    assert all("\n" not in error["msg"] for error in errors)


def test_at_the_reference_frame_nothing_is_scaled() -> None:
    framed = NYU_STUDY.at(480, 640)
    assert framed.view == framed.region == Window(56, 60, 416, 544, 480, 640)
    assert (framed.name, framed.sha256, framed.version) == ("nyu-study", NYU_STUDY.sha256, 1)
    assert framed.settings == NYU_STUDY.settings
    assert framed.flip


def test_windows_are_scaled_to_other_frames_and_the_name_says_so() -> None:
    framed = NYU_EIGEN.at(120, 160)
    assert framed.name == "nyu-eigen-scaled"
    assert framed.view == Window.whole(120, 160)
    assert framed.region == Window(11, 10, 118 - 11, 150 - 10, 120, 160)
    assert framed.settings["frame"] == [120, 160]
    assert framed.settings["view"] is None
    assert framed.settings["region"] == {"rows": [11, 118], "cols": [10, 150]}
    study = NYU_STUDY.at(120, 160)
    assert study.view == study.region == Window(14, 15, 104, 136, 120, 160)


def test_every_frame_size_has_a_hash_of_its_own() -> None:
    sizes = [(480, 640), (120, 160), (240, 320), (480, 641)]
    hashes = {NYU_EIGEN.at(*size).sha256 for size in sizes}
    assert len(hashes) == len(sizes)


@pytest.mark.parametrize("size", [(1, 1), (120, 160), (480, 640)])
def test_a_protocol_without_crops_is_the_same_in_every_frame(size: tuple[int, int]) -> None:
    framed = FULL.at(*size)
    assert (framed.name, framed.sha256) == ("full", FULL.sha256)
    assert framed.view == framed.region == Window.whole(*size)


def test_a_crop_that_vanishes_is_refused_with_the_frame_and_what_to_do() -> None:
    protocol = Protocol.model_validate(
        {"name": "narrow", "region": {"rows": [0, 480], "cols": [300, 304]}}
    )
    with pytest.raises(ProtocolError, match=r"'narrow'.*cols \[300, 304\].*12×16.*use larger"):
        protocol.at(12, 16)


@pytest.mark.parametrize("height", [7, 50, 121, 375, 1080])
@pytest.mark.parametrize("width", [9, 77, 163, 1242, 1920])
def test_the_region_stays_inside_the_view(height: int, width: int) -> None:
    protocol = Protocol.model_validate(
        {
            "name": "depthclip",
            "view": STUDY_WINDOW,
            "region": {"rows": [56, 471], "cols": [60, 601]},
        }
    )
    framed = protocol.at(height, width)
    for inner, outer in (
        (framed.region.rows, framed.view.rows),
        (framed.region.columns, framed.view.columns),
    ):
        assert outer.start <= inner.start < inner.stop <= outer.stop


ALLOWED = {
    "none": "metric",
    "median-scale": "metric scale",
    "lstsq-scale": "metric scale",
    "lstsq-affine-depth": "metric scale affine-depth",
    "lstsq-affine-disparity": "metric scale affine-disparity",
}


@pytest.mark.parametrize("alignment", ALLOWED)
@pytest.mark.parametrize("output", get_args(Output))
def test_the_output_decides_which_alignments_are_allowed(alignment: str, output: Output) -> None:
    lowest = 1e-3 if alignment == "lstsq-affine-disparity" else None
    protocol = Protocol.model_validate(
        {"name": "x", "alignment": alignment, "disparity_min": lowest}
    )
    if output in ALLOWED[alignment].split():
        check_output(protocol, output)
        return
    with pytest.raises(ProtocolError, match=f"'x'.*{alignment}.*'m'.*'{output}'.*leave") as refused:
        check_output(protocol.at(480, 640), output, "method 'm'")
    assert "\n" not in str(refused.value)


def test_every_output_can_be_scored_under_some_preset() -> None:
    for output in get_args(Output):
        assert any(output in SCORABLE[protocol.alignment] for protocol in PROTOCOLS)


def test_presets_say_whom_they_follow_and_flag_a_mask_on_the_prediction() -> None:
    for protocol in PROTOCOLS[3:]:
        assert protocol.source
    for protocol in PROTOCOLS:
        assert ("gains by failing" in protocol.description) == (protocol.mask != "ground-truth")
