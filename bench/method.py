"""The contract between the harness and a method.

A method is a subclass of `Method` with a `Params` model beside it. Importing its module must not
import torch: put torch code in a sibling module or inside the methods.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bench.types import Batch, Output, Supervision

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bench.data.base import Subset
    from bench.data.segments import SegmentsChoice
    from bench.encoders.weights import Weights
    from bench.protocols.base import Protocol


class Params(BaseModel):
    """A method's parameters. Unknown keys are refused; values are frozen.

    Each field is a *fit* parameter (it changes what is learned; the default) or a *predict*
    parameter (`predict_param`: it only changes what is read out of a finished fit), or says where
    files lie (`location_param`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def predict_names(cls) -> frozenset[str]:
        """The names of the predict parameters."""
        return cls._of_stage("predict")

    @classmethod
    def location_names(cls) -> frozenset[str]:
        """The names of the parameters that only say where files lie."""
        return cls._of_stage("location")

    @classmethod
    def _of_stage(cls, stage: str) -> frozenset[str]:
        extras = ((name, info.json_schema_extra) for name, info in cls.model_fields.items())
        return frozenset(
            name
            for name, extra in extras
            if isinstance(extra, dict) and extra.get("stage") == stage
        )


def location_param(default: Any, **field_options: Any) -> Any:
    """Declare a parameter that says where files lie, and is in no key.

    What lies there is, by `Method.content`: a folder that moves makes nothing new. Takes what
    `pydantic.Field` takes.
    """
    return Field(default, json_schema_extra={"stage": "location"}, **field_options)


def predict_param(default: Any, **field_options: Any) -> Any:
    """Declare a parameter that leaves the fit alone (``stage: coarse|refine``).

    Takes what `pydantic.Field` takes.
    """
    return Field(default, json_schema_extra={"stage": "predict"}, **field_options)


@dataclass(frozen=True)
class FitContext:
    """What a fit may use besides its data.

    Attributes:
        seed: The seed of this fit; 0 for methods that are not `seeded`.
        device: Where to train.
        score_on_test: Only where the parameters ask for `selection: study`: the mean of all nine
            metrics over the test images under protocol `nyu-study`, of what the given function
            predicts for batches; lower is taken for better.
        checkpoints: A folder that outlives an interrupted fit of the same key; None in memory-only
            use. What lies there when the fit starts is what it may resume from.
        report: Called with progress:
            ``report(epoch=3, epochs=30, loss=0.12, images_per_second=80.0)``.
        log: The cell's log.
    """

    seed: int
    device: torch.device
    score_on_test: Callable[[Callable[[Batch], Tensor]], float] | None = None
    checkpoints: Path | None = None
    report: Callable[..., None] = field(default=lambda **_: None)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("bench"))


class Method(ABC):
    """One way to get depth from one image.

    Attributes:
        name: What suites call it; lower case with hyphens.
        summary: One line for ``bench list methods``.
        Params: The model of its parameters.
        output: What its numbers mean (see `bench.types.Output`); where parameters decide,
            `output_of` says it.
        fitted: It learns from the training split (`fit`, `save` and `load` are implemented).
        seeded: Its result depends on the seed. The cells of an unseeded method collapse to one.
        paper: Citation, or "" where there is none.
        selection: After a fit: how the epoch was chosen ("last epoch"); goes into the record.
        history: After a fit: one entry an epoch (epoch, loss, ...); goes into the record.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Params: ClassVar[type[Params]] = Params
    output: ClassVar[Output] = "metric"
    fitted: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    paper: ClassVar[str] = ""

    selection: str | None = None
    history: Sequence[dict[str, float]] = ()

    def __init__(self, params: Any, device: torch.device, seed: int = 0) -> None:
        """Hold the parameters; build networks in `fit`, `load` or on first `predict`.

        Args:
            params: An instance of `self.Params`.
            device: Where tensors live.
            seed: The seed of the cell; 0 for unseeded methods.
        """
        self.params = params
        self.device = device
        self.seed = seed

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """The pretrained weights a cell with these parameters needs. Must not import torch."""
        return ()

    @classmethod
    def segments(cls, params: Any) -> SegmentsChoice | None:
        """The segments a cell with these parameters needs in its batches. Must not import torch."""
        return None

    @classmethod
    def selects_on_test(cls, params: Any) -> bool:
        """Whether the fit looks at the test images, as the study's did: flagged in every table."""
        return False

    @classmethod
    def output_of(cls, params: Any) -> Output:
        """What its numbers mean under these parameters."""
        return cls.output

    @classmethod  # noqa: B027 - optional
    def accepts(cls, params: Any, protocol: Protocol) -> None:
        """Refuse a protocol that these parameters cannot serve. Raises `ProtocolError`."""

    @classmethod
    def content(cls, params: Any, test: Subset) -> str | None:
        """What stands, in the keys, for the files that parameters name (`location_param`).

        Called when planning, so it must not import torch.

        Args:
            params: An instance of `cls.Params`.
            test: The test images.

        Returns:
            A hash over the files' content; None where parameters name no files but weights.

        Raises:
            DataError: The files are not what the test images need.
        """
        return None

    @classmethod
    def supervision(cls, params: Any) -> Supervision:
        """Where the method's knowledge of depth comes from, given its parameters."""
        return "depth" if cls.fitted else "none"

    def fit(self, data: Subset, context: FitContext) -> None:
        """Learn from the training images. Only called where `fitted`.

        Args:
            data: The training images, whole frames, in the suite's training depth variant.
            context: Seed, device, checkpoints, progress.
        """
        raise TypeError(f"method '{self.name}' is declared fitted but has no fit()")

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Predict depth for a batch.

        Args:
            batch: Images (B, 3, h, w) float32 in [0, 1]; no depth.

        Returns:
            (B, 1, h', w') float32 on the method's own grid, unclamped, covering the whole window.
            The batch size must not change any image's result.
        """

    def save(self, folder: Path) -> None:
        """Write what `fit` learned into an empty folder. Only called where `fitted`."""
        raise TypeError(f"method '{self.name}' is declared fitted but has no save()")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote; afterwards `predict` gives what it gave before."""
        raise TypeError(f"method '{self.name}' is declared fitted but has no load()")

    def network(self) -> nn.Module | None:
        """The network, for counting parameters and operations; None where there is none."""
        return None
