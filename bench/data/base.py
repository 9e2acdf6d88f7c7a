"""What a data set is to the harness: named images with ground truth, and an identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import DataError, suggestion
from bench.types import DepthVariant, Sample

Split = Literal["train", "test"]


class VariantPair(BaseModel):
    """The depth variant for training and for testing, named apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    train: DepthVariant
    test: DepthVariant


class DatasetParams(BaseModel):
    """What every data set takes in a suite; readers add their own fields.

    Attributes:
        train: The name of the split to train on.
        test: The name of the split to test on.
        depth: One variant for both, or ``{train: filled, test: raw}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    train: str = "train"
    test: str = "test"
    depth: DepthVariant | VariantPair = Field(
        default_factory=lambda: VariantPair(train="filled", test="raw")
    )

    def variant(self, role: Split) -> DepthVariant:
        """The depth variant used for training, or for testing."""
        return getattr(self.depth, role) if isinstance(self.depth, VariantPair) else self.depth


class Dataset(ABC):
    """Images with ground truth depth.

    Readers are cheap to construct and open their files on first use: planning touches only
    `fingerprint` and `ids`. They hold no torch. An instance can be pickled (spawned workers).

    Attributes:
        name: What suites call it.
        summary: One line for ``bench list datasets``.
        Params: The model of its parameters.
        synthetic: No camera took these images; every table made from them says so.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Params: ClassVar[type[DatasetParams]] = DatasetParams
    synthetic: ClassVar[bool] = False

    def __init__(self, params: Any) -> None:
        self.params = params

    def __str__(self) -> str:
        """Name the data in an error message; readers of files add where they are."""
        return f"data set '{self.name}'"

    def variants(self) -> tuple[DepthVariant, ...]:
        """The depth variants it holds. Raises `DataError`."""
        return ("raw", "filled")

    def has_instances(self) -> bool:
        """Whether its samples carry instance masks. Raises `DataError`."""
        return True

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the content, or of generator version and parameters.

        Two data sets with one fingerprint hold the same images and ground truth. Must be fast the
        second time: hash files through `bench.data.hashes.file_sha256`, which remembers.

        Raises:
            DataError: The data is not there or cannot be read.
        """

    @abstractmethod
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Image ids by split name, in the split's order. Raises `DataError`."""

    @abstractmethod
    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        """Read one image with its ground truth in the given variant. Raises `DataError`."""

    def prepare(self, report: Callable[[str], None]) -> None:  # noqa: B027 - optional
        """Make what is made on first use; called before the first cell. `report` takes a line."""

    def close(self) -> None:  # noqa: B027 - optional
        """Close files; the next `read` opens them again."""


class SegmentLabels(Protocol):
    """Where the segments of samples come from (`bench.data.segments.SegmentSource`)."""

    def put_into(self, sample: Sample, dataset: Dataset) -> Sample:
        """Return the sample with these segments. Raises `DataError`, `BlockedError`."""


@dataclass(frozen=True)
class Subset:
    """Some images of a data set in one depth variant: what a method trains or is tested on.

    Attributes:
        dataset: Where the images come from.
        split: The split's name.
        ids: The images, in order.
        variant: The depth variant.
        of: How many images the whole split has (more than ``len(ids)`` under ``--limit``).
        segments: Where its samples get their segments; None leaves what the data set has.
    """

    dataset: Dataset
    split: str
    ids: tuple[str, ...]
    variant: DepthVariant
    of: int
    segments: SegmentLabels | None = None

    @classmethod
    def of_split(cls, dataset: Dataset, role: Split, limit: int | None = None) -> Subset:
        """The training or test images of a data set, the first `limit` of them.

        Raises:
            DataError: The data set has no such split, it is empty, or the data set does not hold
                the depth variant.
        """
        split = getattr(dataset.params, role)
        splits = dataset.splits()
        if split not in splits:
            raise DataError(f"{dataset} has no split '{split}'{suggestion(split, splits)}")
        ids = splits[split]
        if not ids:
            raise DataError(f"split '{split}' of {dataset} holds no images")
        variant, held = dataset.params.variant(role), dataset.variants()
        if variant not in held:
            raise DataError(f"{dataset} holds no {variant} depth; set dataset.depth: {held[0]}")
        return cls(dataset, split, ids[:limit], variant, len(ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read the image at `index`."""
        sample = self.dataset.read(self.ids[index], self.variant)
        return sample if self.segments is None else self.segments.put_into(sample, self.dataset)
