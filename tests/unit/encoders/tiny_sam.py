"""A random-init SAM small enough for tests, built from `segment_anything`'s own modules."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

from bench.data.segments import SamSettings

GENEROUS = SamSettings(
    points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1
)
"""Keeps every mask: those of random weights are neither stable nor apart."""


def tiny_sam(seed: int = 0) -> Sam:
    """Images of 96×96 pixels, 6×6 tokens; one block with windows of 4×4, one without."""
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=96,
        patch_size=16,
        embed_dim=48,
        depth=2,
        num_heads=3,
        out_chans=32,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(1,),
    )
    prompts = PromptEncoder(
        embed_dim=32, image_embedding_size=(6, 6), input_image_size=(96, 96), mask_in_chans=16
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=2048, num_heads=8),
        transformer_dim=32,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    return Sam(encoder, prompts, decoder).eval()


def write_tiny_sam(path: Path, seed: int = 0) -> Path:
    """Write its state dict, as the published checkpoints are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tiny_sam(seed).state_dict(), path)
    return path
