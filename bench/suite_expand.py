"""From a suite's method entries to cells: defaults, matrix, seeds, labels, ``--only``."""

from __future__ import annotations

import fnmatch
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.errors import BenchError, SuiteError, suggestion
from bench.method import Method, Params
from bench.suite_errors import Source, explain, lookup
from bench.suite_yaml import Node, one_line, refusal

MAX_CELLS = 100_000
_LABEL_LENGTH = 200
_VALUE_LENGTH = 60
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _without_repeats(values: list[Any]) -> list[Any]:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"holds {repeated[0]} twice; keep one")
    return values


def _label(text: str) -> str:
    if not text.isprintable() or not text.strip() or len(text) > _LABEL_LENGTH:
        raise ValueError(f"must be one line of 1 to {_LABEL_LENGTH} printable characters")
    return str(text)


Mapped = BeforeValidator(lambda value: {} if value is None else value)
"""A key with nothing after it is an empty mapping."""
Names = AfterValidator(_without_repeats)
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_without_repeats)]


class MethodEntry(BaseModel):
    """One item of a suite's `methods`.

    Attributes:
        name: A registered method.
        label: What tables call it; ``{param}`` stands for the value of a parameter.
        params: Parameters; they beat the suite's defaults.
        matrix: Lists of values by parameter; every combination becomes a row.
        seeds: Instead of the suite's.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    label: Annotated[str, AfterValidator(_label)] | None = None
    params: Annotated[dict[str, Any], Mapped] = {}
    matrix: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Mapped] = {}
    seeds: Seeds | None = None


@dataclass(frozen=True)
class CellSpec:
    """One method with its parameters and seed, validated.

    Attributes:
        method: The class.
        params: An instance of its `Params`.
        label: What tables call it.
        seed: None for methods that do not depend on one.
    """

    method: type[Method]
    params: Params
    label: str
    seed: int | None

    @property
    def slug(self) -> str:
        """``name[param=value,...]`` with the parameters that differ from the method's defaults."""
        changed = self.params.model_dump(mode="json", exclude_defaults=True)
        pairs = ",".join(f"{name}={_text(value)}" for name, value in changed.items())
        return f"{self.method.name}[{pairs}]" if pairs else self.method.name


@dataclass
class Expansion:
    """Turns method entries into cells.

    Attributes:
        root: The suite's tree, for the places of what is refused.
        entries: Its methods.
        defaults: Its parameters for every method that has them.
        seeds: Its seeds.
        methods: The registered methods.
        broken: The plugins that did not load.
    """

    root: Node
    entries: Sequence[MethodEntry]
    defaults: Mapping[str, Any]
    seeds: Sequence[int]
    methods: Mapping[str, type[Method]]
    broken: Sequence[object] = ()
    _seen: dict[tuple[str, str, int | None], Source] = field(default_factory=dict)
    _unlabelled: Counter[str] = field(default_factory=Counter)

    def cells(self) -> tuple[CellSpec, ...]:
        """Every cell, in the order written; the last matrix key runs fastest, seeds within.

        Raises:
            SuiteError: An unknown method or parameter, a value a method refuses, a default nobody
                takes, a cell that is there twice, or too many cells.
        """
        classes = [self._method(index) for index in range(len(self.entries))]
        self._check_defaults(classes)
        self._check_size(classes)
        self._unlabelled.update(entry.name for entry in self.entries if entry.label is None)
        return tuple(
            cell for index, method in enumerate(classes) for cell in self._of_entry(index, method)
        )

    def _source(self, *steps: str | int) -> Source:
        node = self.root
        for step in steps:
            below = node.child(step)
            assert below is not None, f"{steps} was validated"
            node = below
        return Source(".".join(map(str, steps)), node)

    def _method(self, index: int) -> type[Method]:
        source = self._source("methods", index, "name")
        return lookup(self.methods, source, "method", self.broken)

    def _check_defaults(self, classes: Sequence[type[Method]]) -> None:
        known = {name for method in classes for name in method.Params.model_fields}
        for name in self.defaults:
            if name not in known:
                source = self._source("defaults", name)
                problem = f"no method of this suite has a parameter '{name}'"
                raise refusal(source.node.place, source.path, f"{problem}{suggestion(name, known)}")

    def _check_size(self, classes: Sequence[type[Method]]) -> None:
        total = 0
        for index, (entry, method) in enumerate(zip(self.entries, classes, strict=True)):
            rows = math.prod(len(values) for values in entry.matrix.values())
            total += rows * len(self._seeds(entry, method))
            if total > MAX_CELLS:
                source = self._source("methods", index)
                raise refusal(
                    source.node.place,
                    source.path,
                    f"{total:,} cells up to here, at most {MAX_CELLS:,} are allowed; shorten the "
                    "matrix or the seeds",
                )

    def _seeds(self, entry: MethodEntry, method: type[Method]) -> Sequence[int | None]:
        return (entry.seeds or self.seeds) if method.seeded else (None,)

    def _of_entry(self, index: int, method: type[Method]) -> Iterator[CellSpec]:
        entry = self.entries[index]
        fixed, sources = self._fixed(index, method)
        template = self._label_template(entry)
        keys, lists = list(entry.matrix), list(entry.matrix.values())
        matrix = [self._source("methods", index, "matrix", key) for key in keys]
        for places in itertools.product(*(range(len(values)) for values in lists)):
            chosen = {
                key: values[place] for key, values, place in zip(keys, lists, places, strict=True)
            }
            written = {
                key: Source(source.path, source.node.value[place])
                for key, source, place in zip(keys, matrix, places, strict=True)
            }
            params = self._params(index, method, {**fixed, **chosen}, {**sources, **written})
            label = self._label(index, template, params, chosen)
            dumped = json.dumps(params.model_dump(mode="json"), sort_keys=True, default=str)
            for seed in self._seeds(entry, method):
                self._refuse_repeat(index, (method.name, dumped, seed))
                yield CellSpec(method, params, label, seed)

    def _fixed(self, index: int, method: type[Method]) -> tuple[dict[str, Any], dict[str, Source]]:
        """What all rows of an entry share, and where each value was written."""
        entry, taken = self.entries[index], method.Params.model_fields
        for key in entry.matrix:
            if key in entry.params:
                source = self._source("methods", index, "matrix", key)
                raise refusal(
                    source.node.place, source.path, f"'{key}' stands in params too; keep one"
                )
        defaults = {name: value for name, value in self.defaults.items() if name in taken}
        sources = {name: self._source("defaults", name) for name in defaults}
        sources |= {name: self._source("methods", index, "params", name) for name in entry.params}
        return {**defaults, **entry.params}, sources

    def _params(
        self,
        index: int,
        method: type[Method],
        values: Mapping[str, Any],
        sources: Mapping[str, Source],
    ) -> Params:
        entry = self._source("methods", index)
        whole = Source(f"{entry.path}.params", entry.node.child("params") or entry.node)
        try:
            return method.Params.model_validate(values)
        except ValidationError as error:
            owner = f"method '{method.name}'"
            raise explain(error, method.Params, whole, sources, owner) from error
        except BenchError as error:
            raise refusal(whole.node.place, whole.path, str(error)) from error

    def _label_template(self, entry: MethodEntry) -> str:
        if entry.label is not None:
            return entry.label
        if self._unlabelled[entry.name] > 1:
            return _appended(str(entry.name), entry.params)
        return str(entry.name)

    def _label(self, index: int, template: str, params: Params, chosen: Mapping[str, Any]) -> str:
        if self.entries[index].label is None:
            return _appended(template, chosen)
        used: set[str] = set()

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            used.add(name)
            if name in chosen:
                return _text(chosen[name])
            fields = type(params).model_fields
            if name not in fields:
                source = self._source("methods", index, "label")
                problem = f"'{{{name}}}' names no parameter{suggestion(name, fields)}"
                raise refusal(source.node.place, source.path, problem)
            return _text(params.model_dump(mode="json", include={name})[name])

        label = _PLACEHOLDER.sub(value_of, template)
        return _appended(label, {key: chosen[key] for key in chosen if key not in used})

    def _refuse_repeat(self, index: int, cell: tuple[str, str, int | None]) -> None:
        source = self._source("methods", index)
        first = self._seen.setdefault(cell, source)
        if first is source:
            return
        if first.path == source.path:
            problem = "its matrix makes one cell twice; drop the repeated value"
        else:
            problem = (
                f"the same method, parameters and seed as in {first.path} "
                f"({first.node.place}); remove one"
            )
        raise refusal(source.node.place, source.path, problem)


def select(cells: Sequence[CellSpec], globs: Sequence[str], suite: str) -> tuple[CellSpec, ...]:
    """The cells whose method name, label or slug matches any of the patterns, in order.

    ``*`` and ``?`` are wildcards; brackets are not, for slugs have them. Case does not matter.

    Raises:
        SuiteError: A pattern matches nothing.
    """
    if not globs:
        return tuple(cells)
    texts = [{text.casefold() for text in (c.method.name, c.label, c.slug)} for c in cells]
    wanted: set[int] = set()
    for glob in globs:
        matches = re.compile(fnmatch.translate(glob.casefold().replace("[", "[[]"))).match
        found = {index for index, names in enumerate(texts) if any(map(matches, names))}
        if not found:
            raise SuiteError(one_line(_nothing_matches(glob, cells, suite)))
        wanted |= found
    return tuple(cell for index, cell in enumerate(cells) if index in wanted)


def _nothing_matches(glob: str, cells: Sequence[CellSpec], suite: str) -> str:
    names = dict.fromkeys(name for cell in cells for name in (cell.method.name, cell.label))
    listed = ", ".join(f"'{name}'" for name in itertools.islice(names, 20))
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"--only {glob}: matches no cell of suite '{suite}'; it has {listed}{more}"


def _appended(label: str, values: Mapping[str, Any]) -> str:
    pairs = ", ".join(f"{key}={_text(value)}" for key, value in values.items())
    return f"{label} · {pairs}" if pairs else label


def _text(value: object) -> str:
    if isinstance(value, str):
        text = str(value)
    elif value is None:
        text = "none"
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    text = one_line(text)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
