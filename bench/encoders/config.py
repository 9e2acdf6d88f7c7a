"""What a CLIP encoder is made of, and the parameters its users share.

Plugins import this while planning: it needs neither torch nor open_clip.
"""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from bench.encoders import prompts
from bench.encoders.weights import CUSTOM, PRETRAINED, Weights, WeightsChoice
from bench.errors import suggestion
from bench.method import Params

RESNET_STRIDE = 32
Normalization = Literal["imagenet", "clip"]
_Count = Annotated[int, Field(ge=1)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VisionConfig(_Config):
    """An image tower, in open_clip's words.

    Four `layers` make a ModifiedResNet (`width` channels after the stem, 32 times that at the
    end); one number makes a vision transformer with that many blocks.
    """

    layers: _Count | tuple[_Count, _Count, _Count, _Count]
    width: _Count
    image_size: _Count = 224
    patch_size: _Count | None = None
    head_width: _Count = 64
    mlp_ratio: float = Field(4.0, gt=0)

    @property
    def stride(self) -> int:
        """Pixels a token, along each side."""
        return RESNET_STRIDE if self.patch_size is None else self.patch_size

    @property
    def is_resnet(self) -> bool:
        """Whether it is a ModifiedResNet."""
        return isinstance(self.layers, tuple)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.is_resnet == (self.patch_size is not None):
            raise ValueError(
                "a transformer (one number of layers) needs patch_size, a ResNet (four) has none"
            )
        if self.image_size % self.stride:
            raise ValueError(f"image_size must be a multiple of {self.stride}")
        if self.width % 2:
            raise ValueError("width must be even")
        if self.width * (RESNET_STRIDE if self.is_resnet else 1) % self.head_width:
            raise ValueError(f"head_width {self.head_width} must divide the width of attention")
        return self


class TextConfig(_Config):
    """A text tower, in open_clip's words."""

    width: _Count
    heads: _Count
    layers: _Count
    context_length: _Count = 77
    vocab_size: Literal[49408] = 49408

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.width % self.heads:
            raise ValueError("text width must be a multiple of heads")
        return self


class ClipConfig(_Config):
    """A CLIP, as in open_clip's model configurations: ``{embed_dim, vision_cfg, text_cfg}``."""

    embed_dim: _Count
    vision_cfg: VisionConfig
    text_cfg: TextConfig
    quick_gelu: bool = False

    @property
    def token_channels(self) -> int:
        """Channels of an image token: a ResNet's last stage, a transformer's projection."""
        return self.vision_cfg.width * 32 if self.vision_cfg.is_resnet else self.embed_dim

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.token_channels < self.embed_dim:
            raise ValueError(
                f"embed_dim {self.embed_dim} must be at most the image tokens' "
                f"{self.token_channels} channels (32 × width)"
            )
        return self


@lru_cache(maxsize=1)
def _architecture_files() -> dict[str, Path]:
    """open_clip's model configurations by name, found without importing it."""
    spec = importlib.util.find_spec("open_clip")
    places = (spec.submodule_search_locations or []) if spec is not None else []
    files = [file for place in places for file in Path(place, "model_configs").glob("*.json")]
    return {file.stem: file for file in sorted(files)}


def architecture(name: str) -> ClipConfig:
    """The configuration of an open_clip architecture.

    Raises:
        ValueError: open_clip has no such architecture, or it is not a plain CLIP with a
            ModifiedResNet or a vision transformer.
    """
    files = _architecture_files()
    if name not in files:
        raise ValueError(f"open_clip has no architecture '{name}'{_near(name)}")
    try:
        return ClipConfig.model_validate(json.loads(files[name].read_text(encoding="utf-8")))
    except ValidationError as error:
        odd = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ValueError(
            f"encoder '{name}' is not a plain CLIP ResNet or transformer (its '{odd}'); "
            "try RN50 or ViT-B-16"
        ) from None


def _near(name: str) -> str:
    near = suggestion(name, _architecture_files())
    return near if "did you mean" in near else "; try RN50 or ViT-B-16"


def _encoder(value: object) -> object:
    if isinstance(value, str):
        architecture(value)
        return str(value)
    try:
        return ClipConfig.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'expected a name or a mapping'}: {first['msg']}") from None


Encoder = Annotated[str | ClipConfig, BeforeValidator(_encoder)]
"""The type of an `encoder` parameter: an open_clip architecture's name, or a `ClipConfig`."""


def _tuple(value: object) -> object:
    return (str(value),) if isinstance(value, str) else value


class ClipParams(Params):
    """The parameters of methods that compare a frozen CLIP's tokens with distance prompts."""

    encoder: Encoder = Field(
        "RN50", description="An open_clip architecture (RN50, ViT-B-16), or a configuration."
    )
    weights: WeightsChoice = Field(
        PRETRAINED,
        description="pretrained (OpenAI's), an open_clip tag, a file, or random-init.",
    )
    normalization: Normalization = Field(
        "imagenet", description="Mean and standard deviation the image is normalised with."
    )
    temperature: float = Field(0.1, gt=0, allow_inf_nan=False)
    distances: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        prompts.DISTANCES, min_length=2, description="Words for the depth bins."
    )
    bin_centres: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        prompts.BIN_CENTRES, description="Metres for the distances, one each."
    )
    templates: Annotated[
        tuple[Annotated[str, AfterValidator(prompts.check_template)], ...],
        BeforeValidator(_tuple),
    ] = Field(prompts.TEMPLATES, min_length=1, description="Sentences, averaged over.")
    object: Annotated[str, Field(min_length=1)] = Field(
        prompts.OBJECT, description="What stands for {object} in the templates."
    )

    @model_validator(mode="after")
    def _a_centre_a_distance(self) -> Self:
        if len(self.bin_centres) != len(self.distances):
            raise ValueError(
                f"bin_centres has {len(self.bin_centres)} values, distances has "
                f"{len(self.distances)}: they must be as many"
            )
        return self

    @property
    def config(self) -> ClipConfig:
        """The encoder's configuration, looked up if it was named."""
        return architecture(self.encoder) if isinstance(self.encoder, str) else self.encoder

    @property
    def clip_weights(self) -> Weights:
        """The encoder's weights; ``pretrained`` is OpenAI's."""
        name = self.encoder if isinstance(self.encoder, str) else CUSTOM
        return Weights("open_clip", name, self.weights, default_tag="openai")

    def sentences(self) -> list[list[str]]:
        """The prompts: for each template one sentence a distance."""
        return [
            prompts.prompts(template, self.object, self.distances) for template in self.templates
        ]


def as_settings(config: ClipConfig) -> dict[str, Any]:
    """The configuration as open_clip's `CLIP` takes it."""
    settings: dict[str, Any] = config.model_dump()
    return settings
