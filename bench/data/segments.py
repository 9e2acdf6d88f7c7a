"""Segments: which ones a cell asks for, whether they are kept here, and reading them.

Segments are the data set's own instance masks, or label maps made by Segment Anything once for a
data set and kept by content:

    $BENCH_CACHE/segments/FINGERPRINT-KEY/
        about.json    which data set, checkpoint and settings they were made from
        segments.h5   one (H, W) uint16 label map an image, 0 = no segment

Planning asks a `SegmentsChoice` for its `SegmentSource`; neither touches torch. Making the label
maps is `bench.data.segments_making`'s part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.data.base import Dataset
from bench.data.hashes import file_sha256
from bench.encoders import sources
from bench.errors import BlockedError, DataError
from bench.store import cache_root
from bench.types import Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SegmentsKind = Literal["instances", "sam"]

MAKER_VERSION = 1
"""Goes up whenever the same image, checkpoint and settings would give another label map."""

ABOUT_NAME = "about.json"
MAPS_NAME = "segments.h5"

# Largest first: it is the generator's own default.
_PUBLISHED = ("vit_h", "vit_l", "vit_b")
_EASIEST = "vit_b"


class SamSettings(BaseModel):
    """What `SamAutomaticMaskGenerator` keeps; the defaults are its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points_per_side: int = Field(default=32, ge=1, le=64)
    pred_iou_thresh: float = Field(default=0.88, ge=0, le=1)
    stability_score_thresh: float = Field(default=0.95, ge=0, le=1)
    box_nms_thresh: float = Field(default=0.7, ge=0, le=1)


class KeptSegments(BaseModel):
    """What is kept of one data set, as its ``about.json`` tells.

    Attributes:
        version: `MAKER_VERSION` they were made with.
        fingerprint: The data set's.
        dataset: The data set's name.
        checkpoint: The checkpoint's file name.
        checkpoint_sha256: SHA-256 of the checkpoint.
        architecture: ``vit_b``, ``vit_l``, ``vit_h``, ``custom``.
        settings: The generator's.
        images: How many label maps there are.
        device: Where they were made.
        made_at: When (ISO 8601, UTC).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    fingerprint: str
    dataset: str
    checkpoint: str
    checkpoint_sha256: str
    architecture: str
    settings: SamSettings
    images: int
    device: str
    made_at: str

    @property
    def key(self) -> str:
        """What stands for them in a fit key."""
        return sam_key(self.checkpoint_sha256, self.settings)

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return segments_folder(self.fingerprint, self.key)


@dataclass(frozen=True)
class Availability:
    """Whether segments can be had here.

    Attributes:
        state: ``ready``; ``make``: they are made before the first cell that needs them runs;
            ``missing``.
        reason: One line; for ``missing`` it says what to do.
    """

    state: Literal["ready", "make", "missing"]
    reason: str


@dataclass(frozen=True)
class SegmentsChoice:
    """The segments a cell asks for, before it is known what is kept.

    Attributes:
        kind: ``instances``: the data set's own masks, which no method has at hand in the world (an
            oracle). ``sam``: made by Segment Anything.
        checkpoint: Use segments from this checkpoint alone. None: the newest kept ones, else those
            of a published checkpoint in a weights folder (see `bench.encoders.sources`).
        settings: Use segments made with these settings alone. None: any that are kept, else the
            defaults.
    """

    kind: SegmentsKind
    checkpoint: Path | None = None
    settings: SamSettings | None = None

    def resolve(self, dataset: Dataset) -> SegmentSource:
        """Find out which segments these are for a data set.

        Raises:
            DataError: The data set or the checkpoint cannot be read.
        """
        if self.kind == "instances":
            problem = "" if dataset.has_instances() else _no_instances(dataset)
            return SegmentSource("instances", "instances", problem=problem)
        kept = [item for item in find_segments(dataset.fingerprint()) if self._accepts(item)]
        if self.checkpoint is None:
            return self._of_any_checkpoint(dataset, kept)
        if not self.checkpoint.is_file():
            return SegmentSource(
                "sam",
                f"sam/missing:{self.checkpoint}",
                problem=f"SAM checkpoint '{self.checkpoint}' does not exist or is not a file; "
                "correct the path, or put it there",
            )
        sha256 = file_sha256(self.checkpoint)
        kept = [item for item in kept if item.checkpoint_sha256 == sha256]
        return _of_kept(kept[0]) if kept else self._to_be_made(dataset, self.checkpoint)

    def _accepts(self, kept: KeptSegments) -> bool:
        return self.settings is None or kept.settings == self.settings

    def _of_any_checkpoint(self, dataset: Dataset, kept: Sequence[KeptSegments]) -> SegmentSource:
        if kept:
            return _of_kept(kept[0])
        for source in map(_published, _PUBLISHED):
            path = sources.file_in_folders(source)
            if path is not None:
                made = self._to_be_made(dataset, path)
                return replace(made, problem=_not_as_published(path, source.sha256))
        return SegmentSource("sam", "sam/missing", problem=_no_segments(dataset))

    def _to_be_made(self, dataset: Dataset, checkpoint: Path) -> SegmentSource:
        settings = self.settings or SamSettings()
        key = sam_key(file_sha256(checkpoint), settings)
        folder = segments_folder(dataset.fingerprint(), key)
        return SegmentSource("sam", key, folder, checkpoint, settings)


@dataclass(frozen=True)
class SegmentSource:
    """The segments of a cell: what stands for them in keys, and where they are read.

    Attributes:
        kind: ``instances`` or ``sam``.
        key: What stands for them in a fit key: checkpoint, settings and maker by content; together
            with the data set's fingerprint it names the label maps. A fixed word where they cannot
            be had: the cell is blocked anyway.
        folder: Where the label maps are, or will be, kept; None for ``instances`` and where they
            cannot be had.
        checkpoint: What they will be made from; None where they are kept already.
        settings: What they will be made with.
        problem: Why they cannot be had, and what to do; "" where they can.
    """

    kind: SegmentsKind
    key: str
    folder: Path | None = None
    checkpoint: Path | None = None
    settings: SamSettings | None = None
    problem: str = ""

    @property
    def title(self) -> str:
        """What figures and tables call them."""
        if self.kind == "instances":
            return "instance masks (oracle)"
        kept = self._kept()
        return f"SAM {kept.architecture}" if kept else "SAM"

    def availability(self) -> Availability:
        """Whether they are here, as things stand now."""
        if self.problem:
            return Availability("missing", self.problem)
        if self.folder is None:
            return Availability("ready", "instance masks of the data set")
        if self._kept() is not None:
            return Availability("ready", f"SAM segments: '{self.folder}'")
        if self.checkpoint is None or not self.checkpoint.is_file():
            return Availability("missing", _gone(self.folder))
        return Availability(
            "make",
            f"SAM segments of all images will be made first, with '{self.checkpoint.name}' "
            "(minutes an image without a GPU)",
        )

    def record(self) -> dict[str, Any] | None:
        """What a record says of the checkpoint: name, origin, SHA-256; None for instances."""
        kept = self._kept()
        if kept is None:
            return None
        genuine = kept.architecture in _PUBLISHED and kept.checkpoint_sha256.startswith(
            _published(kept.architecture).sha256
        )
        return {
            "name": f"segment-anything {kept.architecture} ({kept.checkpoint})",
            "origin": "pretrained" if genuine else "file",
            "sha256": kept.checkpoint_sha256,
        }

    def put_into(self, sample: Sample, dataset: Dataset) -> Sample:
        """Return the sample with these segments.

        Raises:
            DataError: The data set has no instance masks; kept segments are damaged, lack the
                image, or are of another size.
            BlockedError: The segments are not kept here (any more).
        """
        if self.folder is not None:
            return replace(sample, segments=_read(self.folder, sample))
        if self.problem:
            raise BlockedError(self.problem)
        if sample.segments is None:
            raise DataError(_no_instances(dataset))
        return sample

    def _kept(self) -> KeptSegments | None:
        return None if self.folder is None else read_about(self.folder)


def sam_key(checkpoint_sha256: str, settings: SamSettings) -> str:
    """What stands for SAM segments in a fit key: what they are made with, by content.

    The architecture follows from the checkpoint.
    """
    made_with = {
        "version": MAKER_VERSION,
        "checkpoint": checkpoint_sha256,
        "settings": settings.model_dump(mode="json"),
    }
    return f"sam/{hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()}"


def segments_folder(fingerprint: str, key: str) -> Path:
    """Where the store keeps the segments of a data set."""
    digest = key.removeprefix("sam/")
    return cache_root() / "segments" / f"{_short(fingerprint)}-{digest[:16]}"


def find_segments(fingerprint: str) -> list[KeptSegments]:
    """The kept SAM segments of a data set, the newest first."""
    folders = (cache_root() / "segments").glob(f"{_short(fingerprint)}-*")
    kept = [about for about in map(read_about, folders) if about is not None]
    return sorted(kept, key=lambda about: (about.made_at, about.key), reverse=True)


def read_about(folder: Path) -> KeptSegments | None:
    """What is kept in a folder of the store; None where it is not whole or was made otherwise."""
    try:
        about = KeptSegments.model_validate_json((folder / ABOUT_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    whole = (folder / MAPS_NAME).is_file() and about.folder.name == folder.name
    return about if whole and about.version == MAKER_VERSION else None


def map_name(image_id: str) -> str:
    """The name of an image's label map in ``segments.h5``."""
    return quote(image_id, safe="")


def _short(fingerprint: str) -> str:
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:16]


def _published(architecture: str) -> sources.Source:
    source = sources.published("segment-anything", architecture, "")
    assert source is not None, architecture
    return source


def _of_kept(kept: KeptSegments) -> SegmentSource:
    return SegmentSource("sam", kept.key, kept.folder, settings=kept.settings)


def _read(folder: Path, sample: Sample) -> npt.NDArray[np.int32]:
    """The kept label map (H, W) int32 of an image."""
    import h5py
    import numpy as np

    path = folder / MAPS_NAME
    if not path.is_file():
        raise BlockedError(_gone(folder))
    try:
        # Opened for each image: nothing to pickle, to share between threads or to close. Locks
        # fail on some network file systems, and nobody writes to the file.
        with h5py.File(path, "r", locking=False) as file:
            labels = np.asarray(file[map_name(sample.id)], dtype=np.int32)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"'{path}' cannot give the segments of image '{sample.id}' ({_first_line(error)}); "
            "delete its folder to have them made again"
        ) from error
    if labels.shape != sample.image.shape[1:]:
        raise DataError(
            f"'{path}': the segments of image '{sample.id}' are {labels.shape}, the image is "
            f"{sample.image.shape[1:]}; delete its folder to have them made again"
        )
    return labels


def _not_as_published(path: Path, digits: str) -> str:
    found = file_sha256(path)
    if found.startswith(digits):
        return ""
    return (
        f"'{path}' is not the published checkpoint: its SHA-256 is {found[:12]}…, published is "
        f"{digits}…; download it again, or name the file as the checkpoint to use it as it is"
    )


def _no_segments(dataset: Dataset) -> str:
    source = _published(_EASIEST)
    return (
        f"no SAM segments for {dataset}: get {source.files[0]} ({source.url}) and run "
        f"`bench data prepare SUITE --segments sam --checkpoint FILE` (or put it in "
        f"'{sources.weights_folder()}')"
    )


def _no_instances(dataset: Dataset) -> str:
    return f"{dataset} has no instance masks; set segments: sam, or segments: none"


def _gone(folder: Path) -> str:
    return (
        f"there are no SAM segments in '{folder}'; make them with "
        "`bench data prepare SUITE --segments sam --checkpoint FILE`"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
