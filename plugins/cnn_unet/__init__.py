"""cnn-unet: a convolutional encoder with a U-Net decoder, trained on depth. The usual baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.unet_method import UnetMethod, UnetParams

if TYPE_CHECKING:
    from torch import nn


class CnnUnet(UnetMethod):
    """A timm encoder with a U-Net decoder, trained end to end on depth."""

    name: ClassVar[str] = "cnn-unet"
    summary: ClassVar[str] = "timm encoder with a U-Net decoder, supervised"
    Params = UnetParams
    paper: ClassVar[str] = (
        "Ronneberger, Fischer & Brox, U-Net: Convolutional Networks for Biomedical Image "
        "Segmentation, MICCAI 2015, arXiv 1505.04597"
    )

    def build(self) -> nn.Module:
        """Build encoder and decoder, both at random. Raises `MethodError`."""
        from .network import build

        return build(self.params.encoder, self.params.decoder_width)


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add cnn-unet."""
    return [CnnUnet]
