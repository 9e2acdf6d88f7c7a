"""`bench verify`: a record and what came of redoing it, number by number, and what has changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import RecordError
from bench.records import Record, Score
from bench.report import text
from bench.report.terminal import print_table, say
from bench.report.text import DASH, clean

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

TOLERANCE = 1e-4
"""How far, relatively, a number may be off on another device or torch and still count as again."""

NAMED = 12
"""How many modules are named at most."""


@dataclass(frozen=True)
class Difference:
    """A number that did not come out again.

    Attributes:
        protocol: Its name, as in the record.
        number: Which: ``rmse``, ``rmse, image 0007, the worst of 3``, ``images``.
        recorded: As the record has it; None where it has none.
        redone: As it came out now; None where it did not.
    """

    protocol: str
    number: str
    recorded: float | None
    redone: float | None

    @property
    def off(self) -> float | None:
        """Redone minus recorded; None where one of them is missing."""
        if self.recorded is None or self.redone is None:
            return None
        return self.redone - self.recorded


@dataclass(frozen=True)
class Change:
    """What is not as it was when the record was made.

    Attributes:
        kind: code, weights, data, protocol, packages or device.
        what: One line.
    """

    kind: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What redoing a record came to.

    Attributes:
        record: The record.
        tolerance: The relative difference allowed; 0: none.
        numbers: How many means, interval ends and counts were compared; 0: nothing was run.
        image_values: How many per-image values were; None where their file is not there.
        largest: The largest relative difference among the numbers that count as equal.
        differences: The numbers that did not come out again.
        changes: What is not as it was.
    """

    record: Record
    tolerance: float
    numbers: int = 0
    image_values: int | None = None
    largest: float = 0.0
    differences: tuple[Difference, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether every number came out again."""
        return self.numbers > 0 and not self.differences

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``bench verify --json``."""
        return {
            "record": self.record.id,
            "confirmed": self.confirmed,
            "tolerance": self.tolerance,
            "numbers": self.numbers,
            "image_values": self.image_values,
            "largest_relative_difference": self.largest,
            "differences": [asdict(item) for item in self.differences],
            "changes": [asdict(item) for item in self.changes],
        }


def compare_redone(
    record: Record,
    redone: Record,
    values: tuple[pd.DataFrame, pd.DataFrame] | None,
    tolerance: float | None = None,
) -> Verification:
    """Hold a record against the same cell, made again.

    Args:
        record: As it is on record.
        redone: The same scores in the same order.
        values: Per-image values, recorded and redone; None where the recorded ones are not there.
        tolerance: The relative difference allowed; by default none where device and torch are the
            record's, else `TOLERANCE`.

    Raises:
        RecordError: The recorded per-image values are not such a table.
    """
    if tolerance is None:
        tolerance = 0.0 if _same_hardware(record, redone) else TOLERANCE
    found = _Comparison(tolerance)
    for before, after in zip(record.scores, redone.scores, strict=True):
        found.scores(before, after)
    numbers = found.compared
    if values is not None:
        for before, after in zip(record.scores, redone.scores, strict=True):
            names = before.protocol.name, after.protocol.name
            found.images(record, values, names, tuple(before.metrics))
    return Verification(
        record=record,
        tolerance=tolerance,
        numbers=numbers,
        image_values=None if values is None else found.compared - numbers,
        largest=found.largest,
        differences=tuple(found.differences),
        changes=tuple(changes(record, redone)),
    )


def _same_hardware(record: Record, redone: Record) -> bool:
    before, after = record.environment, redone.environment
    return (before.device, before.torch) == (after.device, after.torch)


@dataclass
class _Comparison:
    """Counts numbers held against one another, and collects those that differ."""

    tolerance: float
    compared: int = 0
    largest: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    def same(self, before: float | None, after: float | None) -> bool:
        """Whether a number came out again."""
        self.compared += 1
        if before is None or after is None:
            return before is after
        off = relative(before, after)
        if off > self.tolerance:
            return False
        self.largest = max(self.largest, off)
        return True

    def scores(self, before: Score, after: Score) -> None:
        """Compare means, intervals and counts under one protocol."""
        redone = dict(_numbers(after))
        for name, value in _numbers(before):
            if not self.same(value, redone.get(name)):
                self.differences.append(
                    Difference(before.protocol.name, name, value, redone.get(name))
                )

    def images(
        self,
        record: Record,
        values: tuple[pd.DataFrame, pd.DataFrame],
        names: tuple[str, str],
        metrics: tuple[str, ...],
    ) -> None:
        """Compare the per-image values under one protocol; of each metric name the worst image."""
        try:
            before, after = (
                frame[frame["protocol"] == name].set_index("id")[list(metrics)].astype(float)
                for frame, name in zip(values, names, strict=True)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"per-image values '{record.per_image}' are not those of record {record.id} "
                f"({text.clean(error)}); restore the file, or remove it to verify without it"
            ) from error
        if list(before.index) != list(after.index):
            self.compared += 1
            self.differences.append(
                Difference(names[0], "images with values", len(before), len(after))
            )
            return
        for metric in metrics:
            pairs = zip(before.index, before[metric], after[metric], strict=True)
            off = [item for item in pairs if not self.same(item[1], item[2])]
            if off:
                image, old, new = max(off, key=lambda item: relative(item[1], item[2]))
                which = f"{metric}, image {image}, the worst of {len(off)}"
                self.differences.append(Difference(names[0], which, float(old), float(new)))


def relative(before: float, after: float) -> float:
    """The difference of two numbers relative to the larger; 0 where both are NaN."""
    if before == after or (math.isnan(before) and math.isnan(after)):
        return 0.0
    off = abs(after - before) / max(abs(before), abs(after))
    return off if math.isfinite(off) else math.inf


def _numbers(score: Score) -> Iterator[tuple[str, float]]:
    """Every number of a score that it has, by its place in the record (a mean by its metric).

    Records made before one of them existed have fewer.
    """
    content = score.model_dump(exclude={"key", "protocol"})
    for place, value in _leaves(content):
        yield place.removeprefix("metrics.").removesuffix(".mean"), value


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            yield from _leaves(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, int | float):
        yield place, value


def changes(record: Record, redone: Record) -> Iterator[Change]:
    """What is not as it was when a record was made: code, weights, protocols, packages, device."""
    yield from _code(record, redone)
    old_weights = {item.name: item.sha256 for item in record.weights}
    new_weights = {item.name: item.sha256 for item in redone.weights}
    for name, before, after in _unlike(old_weights, new_weights):
        yield Change("weights", f"{name}: {_short(before)} then, {_short(after)} now")
    for then, now in zip(record.scores, redone.scores, strict=True):
        if then.protocol.sha256 != now.protocol.sha256:
            old, new = then.protocol.settings, now.protocol.settings
            names = ", ".join(name for name, _, _ in _unlike(old, new))
            yield Change("protocol", f"{then.protocol.name}: other settings ({names or 'hash'})")
    before_env, after_env = record.environment, redone.environment
    packages = [{**item.packages, "python": item.python} for item in (before_env, after_env)]
    for name, before, after in _unlike(*packages):
        yield Change("packages", f"{name} {before or 'unknown'} then, {after or 'unknown'} now")
    for name in ("torch", "cuda", "device"):
        before, after = getattr(before_env, name), getattr(after_env, name)
        if before != after:
            kind = "device" if name == "device" else "packages"
            label = "" if name == "device" else f"{name} build "
            yield Change(kind, f"{label}{before or 'none'} then, {after or 'none'} now")


def _code(record: Record, redone: Record) -> Iterator[Change]:
    before, after = record.method, redone.method
    changed = [name for name, _, _ in _unlike(before.code_files, after.code_files)]
    if changed and before.code_files:
        yield Change("code", text.listed(changed, NAMED))
    elif before.code_sha256 != after.code_sha256:
        yield Change("code", f"of method {before.name}; the record does not say which modules")
    if record.keys.cell != redone.keys.cell:
        return
    for then, now in zip(record.scores, redone.scores, strict=True):
        # One cell under one protocol: what is left of a score key is the code that scores.
        if then.protocol.sha256 == now.protocol.sha256 and then.key != now.key:
            yield Change("code", "that scores: bench.metrics, bench.protocols, or their list")
            return


def _unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _short(sha256: str | None) -> str:
    return f"SHA-256 {sha256[:12]}…" if sha256 else "none"


def print_verification(console: Console, found: Verification) -> None:
    """Print what redoing a record came to: the answer first, then its reasons."""
    record = found.record
    seed = "" if record.seed is None else f", seed {record.seed}"
    say(console, f"record {record.id}: {clean(record.label)}{seed}")
    say(console, _answer(found), bold=True)
    if found.differences:
        headers = ["protocol", "number", "recorded", "redone", "difference", ""]
        print_table(console, headers, [_row(item) for item in found.differences])
    if found.numbers and found.image_values is None:
        say(console, "per-image values: their file is not beside the record; not compared")
    if not found.changes:
        if not found.confirmed:
            say(
                console,
                "what differs: nothing on record; code, weights, data, packages and device are the "
                "same, so the method may not repeat itself, or the record was edited",
            )
        return
    say(console, "what differs, though the numbers do not:" if found.confirmed else "what differs:")
    for change in found.changes:
        say(console, f"  {change.kind}: {clean(change.what)}")


def _answer(found: Verification) -> str:
    if not found.numbers:
        return "nothing was run: numbers from other data would say nothing of these"
    how = (
        f"within {found.tolerance:g}, relatively; the largest difference is {found.largest:.1e}"
        if found.tolerance
        else "exactly"
    )
    amount = text.plural(found.numbers, "number")
    if found.image_values:
        amount += f", {text.plural(found.image_values, 'per-image value')}"
    if found.confirmed:
        return f"every number came out again ({how}): {amount}"
    allowed = f" by more than {found.tolerance:g}, relatively" if found.tolerance else ""
    return f"not every number came out again: these differ{allowed} (compared: {amount})"


def _row(item: Difference) -> list[str]:
    shown = [DASH if value is None else f"{value:.8g}" for value in (item.recorded, item.redone)]
    off = DASH if item.off is None else f"{item.off:+.3g}"
    return [clean(item.protocol), clean(item.number), *shown, off, ""]
