"""Where published weights are: file names, addresses and hashes, known without torch.

Weights folders are looked through in this order, and a file is known by its name:

1. ``$BENCH_DATA/weights/``: what a person put there;
2. ``$BENCH_CACHE/weights/``: what bench downloaded;
3. ``~/.cache/clip/``: what open_clip or OpenAI's own package downloaded;
4. the Hugging Face cache, by its own layout.

OpenAI's archives keep their names (``RN50.pt``, ``ViT-B-16.pt``, ``ViT-L-14-336px.pt``), Segment
Anything's too (``sam_vit_b_01ec64.pth``); all others are called ``ARCHITECTURE.TAG`` with one of
the endings in `ENDINGS` (``ViT-B-16.laion2b_s34b_b88k.safetensors``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.store import cache_root, data_root

Library = Literal["open_clip", "timm", "segment-anything"]

ENDINGS = (".safetensors", ".pt", ".pth", ".bin")

_OPENAI_URL = "https://openaipublic.azureedge.net/clip/models"
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

# Architecture: SHA-256 of the archive, its Hugging Face twin (the same tensors as safetensors).
_OPENAI = {
    "RN50": (
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        "timm/resnet50_clip.openai",
    ),
    "RN101": (
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
        "timm/resnet101_clip.openai",
    ),
    "RN50x4": (
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
        "timm/resnet50x4_clip.openai",
    ),
    "RN50x16": (
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
        "timm/resnet50x16_clip.openai",
    ),
    "RN50x64": (
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
        "timm/resnet50x64_clip.openai",
    ),
    "ViT-B-32": (
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "timm/vit_base_patch32_clip_224.openai",
    ),
    "ViT-B-16": (
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "timm/vit_base_patch16_clip_224.openai",
    ),
    "ViT-L-14": (
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "timm/vit_large_patch14_clip_224.openai",
    ),
    "ViT-L-14-336": (
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        "timm/vit_large_patch14_clip_336.openai",
    ),
}
# The file names end in the first six digits of the SHA-256.
_SAM = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
_QUICK_GELU = "-quickgelu"
TIMM_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
OPEN_CLIP_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Source:
    """Where one set of published weights can be had.

    Attributes:
        files: File names it goes by in a weights folder, the publisher's own first.
        url: Where to download it; "" where it is only on the hub.
        sha256: SHA-256 of the file at `url`, or its first digits; "" where not published.
        hub: Hugging Face repository; "" where there is none or it is not known without the library.
        hub_files: File names in that repository, best first.
    """

    files: tuple[str, ...]
    url: str = ""
    sha256: str = ""
    hub: str = ""
    hub_files: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        """Whether the whole SHA-256 was published, which can then stand for the weights."""
        return len(self.sha256) == 64

    def file_name(self, url: str) -> str:
        """The name under which a weights folder is searched for what is at an address."""
        return next(name for name in self.files if name.endswith(Path(url).suffix))


def published(library: Library, architecture: str, tag: str) -> Source | None:
    """What is known of a tag without importing its library; None where it is known not to exist.

    Args:
        library: Whose name the architecture is.
        architecture: ``RN50``, ``resnet50``, ``vit_b``.
        tag: ``openai``, ``a1_in1k``; "" for timm's and Segment Anything's own default.
    """
    if library == "segment-anything":
        file = _SAM.get(architecture)
        if file is None or tag:
            return None
        return Source((file,), f"{_SAM_URL}/{file}", Path(file).stem.rpartition("_")[2])
    if library == "open_clip" and tag == "openai":
        return _openai(architecture.removesuffix(_QUICK_GELU))
    stem = f"{architecture}.{tag}" if tag else architecture
    files = tuple(f"{stem}{ending}" for ending in ENDINGS)
    if library == "timm":
        return Source(files, hub=f"timm/{stem}", hub_files=TIMM_HUB_FILES)
    return Source(files)


def _openai(architecture: str) -> Source | None:
    if architecture not in _OPENAI:
        return None
    sha256, hub = _OPENAI[architecture]
    file = f"{architecture}px.pt" if architecture.endswith("-336") else f"{architecture}.pt"
    files = (file, *(f"{architecture}.openai{ending}" for ending in ENDINGS))
    return Source(files, f"{_OPENAI_URL}/{sha256}/{file}", sha256, hub, OPEN_CLIP_HUB_FILES)


def openai_architectures() -> tuple[str, ...]:
    """The architectures OpenAI published weights for."""
    return tuple(_OPENAI)


def weights_folder() -> Path:
    """Where a person puts weights files: ``$BENCH_DATA/weights``."""
    return data_root().absolute() / "weights"


def download_folder() -> Path:
    """Where bench puts what it downloads: ``$BENCH_CACHE/weights``."""
    return cache_root().absolute() / "weights"


def file_in_folders(source: Source) -> Path | None:
    """The first file of that name in the weights folders; None where there is none."""
    return next((path for path in _places(source) if path.is_file()), None)


def _places(source: Source) -> Iterator[Path]:
    for folder in (weights_folder(), download_folder(), Path.home() / ".cache" / "clip"):
        for name in source.files:
            yield folder / name


def hub_cache() -> Path:
    """The Hugging Face cache, by its environment variables."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME")
    if home is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
        home = str(caches / "huggingface")
    return Path(home).expanduser() / "hub"


def file_in_hub_cache(source: Source) -> Path | None:
    """The file in the Hugging Face cache; None where it is not there."""
    cache = hub_cache()
    if not source.hub or not (cache / f"models--{source.hub.replace('/', '--')}").is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in source.hub_files:
        found = try_to_load_from_cache(source.hub, name, cache_dir=cache)
        if isinstance(found, str):
            return Path(found)
    return None


def may_be_in_hub_cache(library: Library, architecture: str, tag: str) -> bool:
    """Whether the Hugging Face cache may hold weights whose repository only their library knows."""
    if library == "timm" and not tag:
        return any(hub_cache().glob(f"models--timm--{architecture}.*"))
    if library == "open_clip" and tag != "openai":
        return any(hub_cache().glob("models--*"))
    return False


def hub_url(source: Source, name: str) -> str:
    """The address of a file in the source's Hugging Face repository (``$HF_ENDPOINT``)."""
    return f"{hub_endpoint()}/{source.hub}/resolve/main/{name}"


def hub_endpoint() -> str:
    """The Hugging Face hub's address."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def offline() -> bool:
    """Whether downloads are switched off (``$BENCH_OFFLINE`` or ``$HF_HUB_OFFLINE``)."""
    values = (os.environ.get(name, "") for name in ("BENCH_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in values)
