"""Figures others printed, and how measured rows differ from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.report.tables import DataGroup, Row, ScoreTable
from bench.types import DepthVariant, Supervision


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Which measured rows a reported one is held against; the supervision must be equal too.

    Attributes:
        method: The method's name.
        params: Values these parameters must have.
    """

    method: str
    params: dict[str, Any] = Field(default_factory=dict)


class ReportedRow(_Part):
    """One row as printed.

    Attributes:
        label: The method as readers know it.
        pretraining: What its weights had seen.
        supervision: Where its knowledge of depth came from.
        quoted: The study took the figures from an earlier paper.
        matches: The method of this harness it can be compared with; None where there is none.
        metrics: Figures by metric name, metres where they have a unit.
    """

    label: str
    pretraining: str
    supervision: Supervision
    quoted: bool = False
    matches: Match | None = None
    metrics: dict[str, float]

    def is_of(self, row: Row) -> bool:
        """Whether a measured row is of the same method, supervision and parameters."""
        method = row.record.method
        return (
            self.matches is not None
            and self.matches.method == method.name
            and self.supervision == method.supervision
            and all(
                name in method.params and method.params[name] == value
                for name, value in self.matches.params.items()
            )
        )


class ReportedTable(_Part):
    """One table of a publication."""

    title: str
    rows: tuple[ReportedRow, ...]


class Reported(_Part):
    """What a publication printed, and the setting it was measured in.

    Attributes:
        source: Where the figures come from and what was changed.
        dataset: Name of the data set.
        depth: The ground truth's variant.
        test_images: How many images it was tested on.
        protocol: Name of the protocol that reproduces its evaluation.
        tables: The figures.
    """

    source: str
    dataset: str
    depth: DepthVariant
    test_images: int
    protocol: str
    tables: tuple[ReportedTable, ...]

    def comparable(self, group: DataGroup, table: ScoreTable) -> bool:
        """Whether a measured table is on the same images under the same protocol."""
        data = group.dataset
        return (
            data.name == self.dataset
            and data.depth.get("test") == self.depth
            and data.test_images == data.of == self.test_images
            and table.protocol.name == self.protocol
        )

    def differences(self, group: DataGroup, table: ScoreTable) -> Iterator[Difference]:
        """Measured minus reported, for each row of `table` that may be compared.

        Rows with random-init weights are left out. A measured row is held against the first
        reported one it is of.
        """
        if not self.comparable(group, table):
            return
        rows = [row for reported in self.tables for row in reported.rows]
        for row in table.rows:
            reported = next((item for item in rows if item.is_of(row)), None)
            if reported is not None and not row.random_init:
                yield Difference(row, reported)


@dataclass(frozen=True)
class Difference:
    """A measured row beside the reported one it is of."""

    row: Row
    reported: ReportedRow

    @property
    def values(self) -> Mapping[str, float]:
        """Measured minus reported by metric, where both have it."""
        measured = self.row.summaries
        return {
            name: measured[name].mean - value
            for name, value in self.reported.metrics.items()
            if name in measured
        }


@lru_cache(maxsize=1)
def reported_results() -> Reported:
    """The reported rows that ship with this package."""
    import yaml

    text = resources.files("bench.report").joinpath("reported_results.yml").read_text("utf-8")
    return Reported.model_validate(yaml.safe_load(text))
