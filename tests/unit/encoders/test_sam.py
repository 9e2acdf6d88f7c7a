from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

from bench.data.segments import SamSettings
from bench.encoders.sam import SamArchitecture, Segmenter, label_map, load_sam
from bench.errors import DataError, MethodError
from tests.unit.encoders.tiny_sam import GENEROUS, tiny_sam, write_tiny_sam

CPU = torch.device("cpu")


def picture(height: int = 60, width: int = 80) -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).integers(0, 256, (3, height, width), dtype=np.uint8)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_a_published_checkpoint_tells_its_architecture(name: str) -> None:
    with torch.device("meta"):
        published = sam_model_registry[name]()
    architecture = SamArchitecture.of_state(published.state_dict(), name)
    with torch.device("meta"):
        ours = architecture.build()
    assert architecture.name == name
    shapes = {key: tensor.shape for key, tensor in published.state_dict().items()}
    assert {key: tensor.shape for key, tensor in ours.state_dict().items()} == shapes
    for mine, theirs in zip(ours.image_encoder.blocks, published.image_encoder.blocks, strict=True):
        assert mine.window_size == theirs.window_size
        assert mine.attn.num_heads == theirs.attn.num_heads
        assert mine.norm1.eps == theirs.norm1.eps
    assert ours.image_encoder.img_size == published.image_encoder.img_size
    assert ours.prompt_encoder.input_image_size == published.prompt_encoder.input_image_size


def test_segments_are_those_of_the_real_generator_painted_largest_first(tmp_path: Path) -> None:
    checkpoint = write_tiny_sam(tmp_path / "sam.pth")
    sam, architecture = load_sam(checkpoint, CPU)
    labels = Segmenter(sam, GENEROUS)(picture())

    generator = SamAutomaticMaskGenerator(tiny_sam(), **GENEROUS.model_dump())
    found = generator.generate(picture().transpose(1, 2, 0))
    assert len(found) > 5
    expected = np.zeros((60, 80), int)
    for row in range(60):
        for column in range(80):
            covering = [
                (item["area"], -index)
                for index, item in enumerate(found)
                if item["segmentation"][row, column]
            ]
            if covering:
                smallest = min(covering)
                larger = sum((item["area"], -index) > smallest for index, item in enumerate(found))
                expected[row, column] = larger + 1
    assert labels.dtype == np.int32
    assert len(np.unique(labels)) > 5
    np.testing.assert_array_equal(labels, expected)
    assert architecture.name == "custom"


def test_the_network_is_frozen_and_in_eval_mode(tmp_path: Path) -> None:
    sam, _ = load_sam(write_tiny_sam(tmp_path / "sam.pth"), CPU)
    assert not sam.training
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_where_no_mask_passes_the_thresholds_there_is_no_segment() -> None:
    strict = SamSettings(points_per_side=3, pred_iou_thresh=1, stability_score_thresh=1)
    labels = Segmenter(tiny_sam(), strict)(picture())
    assert labels.shape == (60, 80)
    assert not labels.any()


def test_small_masks_lie_on_top_and_equal_ones_in_the_order_given() -> None:
    small, large, other_large = (np.zeros((3, 4), bool) for _ in range(3))
    small[1, 1] = True
    large[:2] = True
    other_large[1:] = True
    expected = [[1, 1, 1, 1], [2, 3, 2, 2], [2, 2, 2, 2]]
    np.testing.assert_array_equal(label_map([small, large, other_large], 3, 4), expected)
    np.testing.assert_array_equal(label_map([], 3, 4), np.zeros((3, 4)))


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def test_a_checkpoint_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"image_encoder.pos_embed": Hostile()}, tmp_path / "sam_vit_b_01ec64.pth")
    with pytest.raises(DataError, match="could run code"):
        load_sam(tmp_path / "sam_vit_b_01ec64.pth", CPU)
    assert not (tmp_path / "ran").exists()


def test_weights_of_something_else_are_named_as_such(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth' is no SAM.*image_encoder\.pos_embed"):
        load_sam(tmp_path / "other.pth", CPU)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("image_encoder.pos_embed", torch.zeros(3)),
        ("image_encoder.pos_embed", torch.zeros(1, 6, 5, 48)),
        ("image_encoder.pos_embed", torch.zeros(1, 0, 0, 48)),
        ("image_encoder.blocks.0.attn.rel_pos_h", torch.zeros(7, 0)),
        ("image_encoder.blocks.0.attn.rel_pos_h", torch.zeros(7, 13)),
        ("image_encoder.patch_embed.proj.weight", torch.zeros(48, 3, 0, 0)),
        ("image_encoder.neck.0.weight", torch.zeros(0, 48, 1, 1)),
        ("image_encoder.neck.0.weight", torch.zeros(33, 48, 1, 1)),
    ],
)
def test_shapes_no_sam_has_are_refused(tmp_path: Path, name: str, tensor: torch.Tensor) -> None:
    torch.save({**tiny_sam().state_dict(), name: tensor}, tmp_path / "sam.pth")
    with pytest.raises(DataError, match=rf"no SAM checkpoint: .*{name}"):
        load_sam(tmp_path / "sam.pth", CPU)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = tiny_sam().state_dict()
    del state["mask_decoder.iou_token.weight"]
    state["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, 33)
    state["mask_decoder.hf_token.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(MethodError) as caught:
        load_sam(tmp_path / "sam.pth", CPU)
    for told in ("sam.pth", "iou_token", "no_mask_embed.weight is 1×33, not 1×32", "hf_token"):
        assert told in str(caught.value)


def test_blocks_with_a_gap_are_named(tmp_path: Path) -> None:
    state = tiny_sam().state_dict()
    gap = {key.replace("blocks.0.", "blocks.5."): tensor for key, tensor in state.items()}
    torch.save(gap, tmp_path / "sam.pth")
    with pytest.raises(DataError, match=r"holds no image_encoder\.blocks\.0\.attn\.rel_pos_h"):
        load_sam(tmp_path / "sam.pth", CPU)
