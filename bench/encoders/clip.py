"""One frozen CLIP for all methods: image tokens, feature pyramid, text embeddings.

Axes: B batch, C channels, h×w pixels, h'×w' tokens, K sentences, D text channels. Always in eval
mode, in float32, without gradients for its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders.config import ClipConfig, Normalization, architecture, as_settings
from bench.encoders.state import is_torchscript, load_into, load_state
from bench.encoders.weights import CUSTOM, Weights
from bench.errors import MethodError

RANDOM_INIT_SEED = 0
_MEAN_STD = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
# What OpenAI's archives hold besides tensors of the network.
_ARCHIVE_EXTRAS = ("input_resolution", "context_length", "vocab_size")


def normalise(image: Tensor, normalization: Normalization) -> Tensor:
    """Subtract the mean and divide by the standard deviation of ImageNet, or of CLIP's images.

    Args:
        image: (B, 3, h, w) RGB in [0, 1].
        normalization: Whose statistics.
    """
    mean, std = (image.new_tensor(values).view(1, 3, 1, 1) for values in _MEAN_STD[normalization])
    return (image - mean) / std


def fit_to_stride(image: Tensor, stride: int) -> Tensor:
    """Resize to the nearest size whose sides are multiples of a stride (bilinear, antialiased).

    The encoder then covers the whole image; 416×544 and 480×640 pass as they are.

    Args:
        image: (B, 3, h, w).
        stride: Pixels a token.
    """
    height, width = (max(1, round(side / stride)) * stride for side in image.shape[-2:])
    if (height, width) == tuple(image.shape[-2:]):
        return image
    return F.interpolate(
        image, (height, width), mode="bilinear", align_corners=False, antialias=True
    )


class FrozenClip(nn.Module):
    """An open_clip CLIP that does not learn.

    Attributes:
        config: What it is made of.
        clip: open_clip's network.
    """

    def __init__(self, config: ClipConfig) -> None:
        """Make the network with random weights from the current random state."""
        super().__init__()
        from open_clip import CLIP

        self.config = config
        self.clip = CLIP(**as_settings(config)).requires_grad_(False).eval()
        self._text: dict[tuple[tuple[str, ...], ...], Tensor] = {}

    @classmethod
    def build(
        cls, encoder: str | ClipConfig, weights: Weights, device: torch.device | str = "cpu"
    ) -> Self:
        """Make an encoder with its weights; torch's global random state is left as it was.

        QuickGELU is used where the weights were trained with it: where the architecture's name or
        configuration says so, for OpenAI's tag and for OpenAI's archives. (A bare state dict does
        not tell: name the architecture ``ViT-B-16-quickgelu`` if it was.)

        Args:
            encoder: An open_clip architecture, or a configuration.
            weights: Its weights; random-init comes from a fixed seed.
            device: Where it shall be.

        Raises:
            BlockedError: The weights cannot be had.
            DataError: The weights file cannot be read.
            MethodError: The weights are of another architecture.
        """
        config = architecture(encoder) if isinstance(encoder, str) else encoder
        path = weights.fetch()
        if path is not None and (weights.tag == "openai" or is_torchscript(path)):
            config = config.model_copy(update={"quick_gelu": True})
        # Nothing could be trained through parameters made in inference mode.
        with torch.inference_mode(False):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(RANDOM_INIT_SEED)
                frozen = cls(config)
            if path is not None:
                frozen._load(path, weights)
            return frozen.to(device)

    def _load(self, path: Path, weights: Weights) -> None:
        name = "the configured encoder" if weights.architecture == CUSTOM else weights.architecture
        what = f"weights '{path}' for {name}"
        load_into(self.clip, load_state(path), what, ignore=_ARCHIVE_EXTRAS)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: batch norm uses its running statistics, whatever the parent does."""
        return super().train(False)

    def tokens(self, image: Tensor) -> Tensor:
        """Image tokens on their grid.

        ResNet: the last residual stage, stride 32, without attention pooling (RN50: C = 2048).
        Transformer: patch tokens after the last LayerNorm and the projection (ViT-B-16: C = 512,
        stride 16); the positional embeddings' grid is resized in 2-D (bicubic, antialiased), the
        class token's apart. Sides that are no multiple of the stride: see `fit_to_stride`.

        Args:
            image: (B, 3, h, w), normalised.

        Returns:
            (B, C, h', w').
        """
        image = fit_to_stride(image, self.config.vision_cfg.stride)
        if not self.config.vision_cfg.is_resnet:
            return self._patch_tokens(image)
        visual = self.clip.visual
        tokens: Tensor = self._stages(visual.avgpool(self._stem(image)))[-1]
        return tokens

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """Features of a ResNet at six scales.

        Args:
            image: (B, 3, h, w), normalised.

        Returns:
            d0 to d5, for RN50 at 416×544: the image (3, 416×544), the stem before its average pool
            (64, 208×272), the residual stages (256, 104×136), (512, 52×68), (1024, 26×34),
            (2048, 13×17). Sides that are no multiple of 32: see `fit_to_stride`.

        Raises:
            MethodError: The encoder is a transformer.
        """
        if not self.config.vision_cfg.is_resnet:
            raise MethodError("a feature pyramid needs a ResNet encoder (RN50), not a transformer")
        image = fit_to_stride(image, self.config.vision_cfg.stride)
        stem = self._stem(image)
        return [image, stem, *self._stages(self.clip.visual.avgpool(stem))]

    def _stem(self, image: Tensor) -> Tensor:
        visual = self.clip.visual
        features = image
        for number in (1, 2, 3):
            convolution, norm, activation = (
                getattr(visual, f"{part}{number}") for part in ("conv", "bn", "act")
            )
            features = activation(norm(convolution(features)))
        return features

    def _stages(self, features: Tensor) -> list[Tensor]:
        visual = self.clip.visual
        stages = []
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            features = stage(features)
            stages.append(features)
        return stages

    def _patch_tokens(self, image: Tensor) -> Tensor:
        visual = self.clip.visual
        patches = visual.conv1(image)
        grid = (patches.shape[2], patches.shape[3])
        sequence = patches.flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(image), 1, -1)
        sequence = torch.cat([first, sequence], dim=1) + self._positions(grid)
        sequence = visual.transformer(visual.ln_pre(sequence))
        tokens: Tensor = visual.ln_post(sequence[:, 1:]) @ visual.proj
        return tokens.transpose(1, 2).reshape(len(image), -1, *grid)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Positional embeddings (1 + h'·w', C) for a grid: the class token's, then row by row."""
        visual = self.clip.visual
        native = tuple(visual.grid_size)
        embedding: Tensor = visual.positional_embedding
        if native == grid:
            return embedding
        resized = F.interpolate(
            embedding[1:].T.reshape(1, -1, *native),
            grid,
            mode="bicubic",
            align_corners=False,
            antialias=True,
        )
        return torch.cat([embedding[:1], resized[0].flatten(1).T])

    def text_embeddings(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """One unit vector a distance: encode, L2-normalise, mean over templates, L2-normalise.

        Computed once for the same sentences.

        Args:
            sentences: For each template one sentence a distance (`ClipParams.sentences`).

        Returns:
            (K, D) float32, without gradient.

        Raises:
            MethodError: A sentence is longer than the text tower reads.
        """
        key = tuple(tuple(row) for row in sentences)
        if key not in self._text:
            with torch.inference_mode(False), torch.no_grad():
                self._text[key] = self._encode_text(key)
        return self._text[key]

    def _encode_text(self, sentences: tuple[tuple[str, ...], ...]) -> Tensor:
        device = self.clip.text_projection.device
        rows = []
        for row in sentences:
            embedded = self.clip.encode_text(self._tokenise(row).to(device))
            rows.append(F.normalize(embedded, dim=-1))
        return F.normalize(torch.stack(rows).mean(dim=0), dim=-1)

    def _tokenise(self, sentences: Sequence[str]) -> Tensor:
        from open_clip.tokenizer import SimpleTokenizer

        tokenizer = SimpleTokenizer()
        length = self.config.text_cfg.context_length
        for sentence in sentences:
            # The tokenizer would cut silently; its two marks need room too.
            if len(tokenizer.encode(sentence)) + 2 > length:
                raise MethodError(
                    f"the sentence {sentence!r} is longer than the {length} tokens "
                    "the encoder reads"
                )
        tokens: Tensor = tokenizer(list(sentences), context_length=length)
        return tokens
