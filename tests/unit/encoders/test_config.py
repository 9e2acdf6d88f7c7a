from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.encoders.config import ClipConfig, ClipParams, architecture


def message(**params: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        ClipParams(**params)
    text = caught.value.errors()[0]["msg"]
    assert "\n" not in text
    return text


def test_open_clip_architectures_are_known_by_name() -> None:
    assert architecture("RN50").token_channels == 2048
    assert architecture("RN50").embed_dim == 1024
    assert architecture("ViT-B-16").token_channels == 512
    assert architecture("ViT-B-16-quickgelu").quick_gelu


def test_an_unknown_encoder_is_refused_with_the_nearest_name() -> None:
    assert "did you mean 'ViT-B-16'?" in message(encoder="ViT-B16")


def test_an_encoder_of_another_kind_is_refused() -> None:
    assert "is not a plain CLIP" in message(encoder="convnext_base")


def test_an_inline_encoder_is_validated(tiny: dict[str, Any]) -> None:
    assert ClipParams(encoder=tiny).encoder == ClipConfig.model_validate(tiny)
    assert "vision_cfg.depth: Extra inputs" in message(
        encoder=tiny | {"vision_cfg": tiny["vision_cfg"] | {"depth": 3}}
    )
    assert "text_cfg.vocab_size" in message(
        encoder=tiny | {"text_cfg": tiny["text_cfg"] | {"vocab_size": 100}}
    )
    assert "image_size must be a multiple" in message(
        encoder=tiny | {"vision_cfg": tiny["vision_cfg"] | {"image_size": 70}}
    )


def test_text_wider_than_the_tokens_is_refused(tiny_resnet: dict[str, Any]) -> None:
    assert "256 channels" in message(encoder=tiny_resnet | {"embed_dim": 512})


@pytest.mark.parametrize("encoder", [3, ["RN50"], None])
def test_an_encoder_is_a_name_or_a_mapping(encoder: object) -> None:
    assert "expected a name or a mapping" in message(encoder=encoder)


def test_there_is_a_bin_centre_for_each_distance() -> None:
    assert "bin_centres has 2 values, distances has 7" in message(bin_centres=[1, 2])
    params = ClipParams(distances=["near", "far"], bin_centres=[1, 4])
    assert params.bin_centres == (1.0, 4.0)


@pytest.mark.parametrize(
    "template", ["no field", "{distance} {colour}", "{distance", "{distance!r}", "{}"]
)
def test_a_template_must_have_the_distance_and_nothing_unknown(template: str) -> None:
    assert repr(template) in message(templates=[template])


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"bin_centres": [0] * 7},
        {"templates": []},
    ],
)
def test_numbers_out_of_range_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClipParams(**params)


def test_prompts_are_the_papers() -> None:
    assert ClipParams().sentences() == [
        [
            "This object is giant",
            "This object is extremely close",
            "This object is close",
            "This object is not in distance",
            "This object is a little remote",
            "This object is far",
            "This object is unseen",
        ]
    ]


def test_one_template_may_be_given_bare() -> None:
    params = ClipParams(templates="A {object}, {distance}", object="chair")
    assert params.sentences()[0][0] == "A chair, giant"


def test_parameters_survive_a_record(tiny: dict[str, Any]) -> None:
    params = ClipParams(encoder=tiny, weights="random-init")
    assert ClipParams.model_validate(params.model_dump(mode="json")) == params
