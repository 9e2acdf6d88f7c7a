from __future__ import annotations

import pytest

from bench.protocols.presets import PROTOCOLS
from bench.report import wording
from tests.unit.report.making import SETTINGS, make_protocol, make_record


def test_the_study_protocol_in_words() -> None:
    assert wording.protocol(make_protocol("nyu-study").settings) == (
        "The method sees rows 56:472, columns 60:604 of the 480×640 frame, and its mirror image. "
        "Predictions: each clamped to [0, 10] m, the two averaged, "
        "resized to the view (bilinear, align corners: yes), clamped to [0.001, 10] m; "
        "alignment: none. Scored: all of that, where 0.001 < ground truth < 10 m. "
        "Pixels not finite count as the worst value; figures are means over images."
    )


def test_the_eigen_protocol_in_words() -> None:
    words = wording.protocol(make_protocol("nyu-eigen").settings)
    assert words.startswith("The method sees the whole image. ")
    assert "Scored: rows 45:471, columns 41:601, where" in words
    assert "averaged" not in words


def test_the_order_of_averaging_and_resizing_is_told() -> None:
    late = wording.protocol(SETTINGS | {"flip": True, "average": "after-resize"})
    assert late.index("resized") < late.index("averaged") < late.index("clamped")
    soon = wording.protocol(SETTINGS | {"flip": True})
    assert soon.index("averaged") < soon.index("resized")


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_every_preset_has_its_words(protocol: object) -> None:
    framed = protocol.at(480, 640)  # type: ignore[attr-defined]
    words = wording.protocol(framed.settings)
    assert words.startswith("The method sees")
    later = {"mask", "disparity_min", "negative_scale"}
    assert framed.settings.keys() == SETTINGS.keys() | later, "the stand-in settings are old"


def test_settings_on_record_from_before_there_were_others_still_have_their_words() -> None:
    now = {"mask": "ground-truth", "disparity_min": None, "negative_scale": "worst"}
    assert wording.protocol(SETTINGS) == wording.protocol(SETTINGS | now)


def test_alignments_and_faults_in_words() -> None:
    words = {item.name: wording.protocol(item.at(480, 640).settings) for item in PROTOCOLS}
    assert "scale and shift that fit the image's depth" in words["nyu-marigold"]
    assert "scale is negative counts as the worst there is" in words["nyu-marigold"]
    assert "raised to 0.001 1/m, inverted to depth, clamped" in words["nyu-affine-disparity"]
    assert "1 / the image's greatest" in words["nyu-moge-affine-disparity"]
    assert "without upper bound" in words["nyu-moge-affine-disparity"]
    assert "gains where it fails" in words["nyu-depthclip"]
    assert sum("gains where it fails" in text for text in words.values()) == 1
    assert "NaN the low one" in words["nyu-bts"]
    fallback = {"alignment": "lstsq-scale", "negative_scale": "median"}
    assert "ratio of medians" in wording.protocol(SETTINGS | fallback)


def test_other_settings_give_other_words() -> None:
    base = wording.protocol(SETTINGS)
    others = {
        "view": {"rows": [0, 9], "cols": [0, 9]},
        "region": {"rows": [0, 9], "cols": [0, 9]},
        "valid_min": 0.5,
        "valid_max": 80.0,
        "valid_bounds": "inclusive",
        "flip": True,
        "resize": "nearest",
        "align_corners": False,
        "clamp": [1, 2],
        "alignment": "median",
        "nonfinite": "fail",
        "averaging": "pixels",
        "mask": "prediction-positive",
        "disparity_min": 1e-3,
        "a_later_setting": 3,
    }
    told = {name: wording.protocol({**SETTINGS, name: value}) for name, value in others.items()}
    assert len({base, *told.values()}) == len(others) + 1
    flipped = SETTINGS | {"flip": True}
    assert "[0, 1]" in wording.protocol(flipped | {"clamp_each": [0, 1]})
    assert "a later setting: 3" in told["a_later_setting"]


def test_settings_of_another_kind_are_named() -> None:
    assert wording.protocol({"some_key": {"a": [1, 2.5]}, "x": None}) == (
        "some key: a [1, 2.5]; x: none"
    )


def test_images_and_depth() -> None:
    subset = make_record(dataset={"test_images": 9}).dataset
    assert wording.images(subset) == "9 of 654 test images"
    assert wording.depth_variant(subset) == "raw depth"
