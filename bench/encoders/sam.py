"""Segment Anything: a checkpoint becomes a network, an image becomes a map of segments.

A checkpoint is read without running code from it, and its tensors tell the architecture: the three
published ones and smaller ones go the same way, and no file name is trusted.

Source: A. Kirillov et al., "Segment Anything", ICCV 2023; the `segment_anything` package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from bench.data.segments import SamSettings
from bench.encoders.state import load_into, load_state
from bench.errors import DataError

# What all published checkpoints share and no shape of the image encoder tells.
_MLP_RATIO = 4
_MASK_CHANNELS = 16
_MASKS_A_POINT = 3
_DECODER = {"depth": 2, "mlp_dim": 2048, "num_heads": 8}
_PROMPT_STEP = 16  # the decoder's cross-attention halves the width and splits it into 8 heads
_IOU_HEAD = {"iou_head_depth": 3, "iou_head_hidden_dim": 256}

_PUBLISHED_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_POSITIONS = "image_encoder.pos_embed"
_PATCHES = "image_encoder.patch_embed.proj.weight"
_NECK = "image_encoder.neck.0.weight"
_ENCODER = (_POSITIONS, _PATCHES, _NECK)
_RELATIVE = "image_encoder.blocks.{}.attn.rel_pos_h"
_BLOCK = re.compile(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h")


@dataclass(frozen=True)
class SamArchitecture:
    """The sizes that tell one SAM from another.

    Attributes:
        width: Channels of the image encoder.
        heads: Its attention heads.
        patch: Pixels a token, along each side.
        grid: Tokens along each side; images are scaled to ``grid * patch`` pixels.
        windows: For each block the tokens along the side of its attention window; `grid` where it
            attends to the whole image.
        prompt_width: Channels of the prompt encoder and the mask decoder.
    """

    width: int
    heads: int
    patch: int
    grid: int
    windows: tuple[int, ...]
    prompt_width: int

    @property
    def name(self) -> str:
        """``vit_b``, ``vit_l``, ``vit_h``, or ``custom``."""
        return _PUBLISHED_WIDTHS.get(self.width, "custom")

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], what: str) -> SamArchitecture:
        """Read the sizes off a checkpoint's tensors.

        Args:
            state: Tensors by name.
            what: How to call the checkpoint in the error.

        Raises:
            DataError: Tensors that every SAM has are missing, or contradict each other.
        """
        blocks = sum(_BLOCK.fullmatch(name) is not None for name in state)
        relative = [_RELATIVE.format(index) for index in range(max(blocks, 1))]
        _check_present(state, {**dict.fromkeys(_ENCODER, 4), **dict.fromkeys(relative, 2)}, what)
        _, rows, columns, width = state[_POSITIONS].shape
        head_width = state[relative[0]].shape[1]
        patch, prompt_width = state[_PATCHES].shape[-1], len(state[_NECK])
        sizes_fit = rows == columns and head_width and width % head_width == 0
        if not (sizes_fit and rows and patch and prompt_width) or prompt_width % _PROMPT_STEP:
            shapes = (f"{name} {tuple(state[name].shape)}" for name in (*_ENCODER, relative[0]))
            raise DataError(
                f"{what} is no SAM checkpoint: the shapes of {', '.join(shapes)} do not fit "
                "together"
            )
        return cls(
            width=width,
            heads=width // head_width,
            patch=patch,
            grid=rows,
            windows=tuple((len(state[name]) + 1) // 2 for name in relative),
            prompt_width=prompt_width,
        )

    def build(self) -> Sam:
        """Build the network with random weights, on the CPU, in eval mode."""
        side = self.grid * self.patch
        local = [window for window in self.windows if window != self.grid]
        encoder = ImageEncoderViT(
            img_size=side,
            patch_size=self.patch,
            embed_dim=self.width,
            depth=len(self.windows),
            num_heads=self.heads,
            mlp_ratio=_MLP_RATIO,
            out_chans=self.prompt_width,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=local[0] if local else 0,
            global_attn_indexes=tuple(
                index for index, window in enumerate(self.windows) if window == self.grid
            ),
        )
        prompts = PromptEncoder(
            embed_dim=self.prompt_width,
            image_embedding_size=(self.grid, self.grid),
            input_image_size=(side, side),
            mask_in_chans=_MASK_CHANNELS,
        )
        decoder = MaskDecoder(
            num_multimask_outputs=_MASKS_A_POINT,
            transformer=TwoWayTransformer(embedding_dim=self.prompt_width, **_DECODER),
            transformer_dim=self.prompt_width,
            **_IOU_HEAD,
        )
        return Sam(encoder, prompts, decoder).eval()


def _check_present(state: Mapping[str, Tensor], wanted: Mapping[str, int], what: str) -> None:
    missing = [name for name in wanted if name not in state]
    if missing:
        raise DataError(
            f"{what} is no SAM checkpoint: it holds no {missing[0]}; "
            "use sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth"
        )
    for name, dimensions in wanted.items():
        if state[name].ndim != dimensions:
            raise DataError(
                f"{what} is no SAM checkpoint: {name} has the shape {tuple(state[name].shape)}, "
                f"not {dimensions} dimensions"
            )


def load_sam(checkpoint: Path, device: torch.device) -> tuple[Sam, SamArchitecture]:
    """Read a checkpoint in the published layout; nothing in the file is run.

    Args:
        checkpoint: A state dict (``sam_vit_b_01ec64.pth``), as a torch file or as safetensors.
        device: Where the network goes.

    Returns:
        The network, frozen and in eval mode, and its architecture.

    Raises:
        DataError: The file cannot be read, could run code, or is no SAM checkpoint.
        MethodError: Tensors are missing, unexpected or of another shape; it says which.
    """
    what = f"'{checkpoint}'"
    state = load_state(checkpoint)
    architecture = SamArchitecture.of_state(state, what)
    sam = architecture.build()
    load_into(sam, state, f"SAM checkpoint {what}")
    return sam.requires_grad_(False).to(device), architecture


class Segmenter:
    """Cuts images into segments with `SamAutomaticMaskGenerator`."""

    def __init__(self, sam: Sam, settings: SamSettings) -> None:
        """Take a network and what the generator is to keep.

        Args:
            sam: The network, on the device it is to run on.
            settings: The point grid and the thresholds.
        """
        self._generator = SamAutomaticMaskGenerator(sam, **settings.model_dump())

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """Segment one image.

        Args:
            image: (3, H, W) uint8 RGB.

        Returns:
            (H, W) int32 labels; see `label_map`.
        """
        found = self._generator.generate(np.ascontiguousarray(image.transpose(1, 2, 0)))
        height, width = image.shape[1:]
        return label_map([mask["segmentation"] for mask in found], height, width)


def label_map(
    masks: Sequence[npt.NDArray[np.bool_]], height: int, width: int
) -> npt.NDArray[np.int32]:
    """Paint masks over each other, largest first, so that smaller ones stay on top.

    Args:
        masks: (H, W) each; they may overlap.
        height: Rows (H).
        width: Columns (W).

    Returns:
        (H, W) int32: 1 for the largest mask, 2 for the next, ...; masks of one size in the order
        given; 0 where there is none.
    """
    labels = np.zeros((height, width), dtype=np.int32)
    by_area = sorted(masks, key=lambda mask: -int(mask.sum()))
    for label, mask in enumerate(by_area, start=1):
        labels[mask] = label
    return labels
