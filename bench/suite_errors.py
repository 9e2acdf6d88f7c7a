"""From what pydantic found to one line a person can act on."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.errors import SuiteError, suggestion
from bench.suite_yaml import Node, Place, refusal

T = TypeVar("T")

_PHRASES = {
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value that was validated came from.

    Attributes:
        path: Its dotted key in the suite.
        node: The value with its place.
    """

    path: str
    node: Node


@dataclass(frozen=True, slots=True)
class _Problem:
    path: str
    place: Place
    rule: str
    value: str


def lookup(table: Mapping[str, T], source: Source, kind: str, broken: Sequence[object]) -> T:
    """What is registered under a name.

    Args:
        table: Registered objects by name.
        source: The name and where it was written.
        kind: What it names (``method``), for the message.
        broken: Plugins that did not load; one of them may have held the name.

    Raises:
        SuiteError: Nothing is registered under this name.
    """
    name = source.node.value
    if name in table:
        return table[name]
    problem = f"unknown {kind} '{name}'{suggestion(name, table)}"
    if broken:
        more = f" and {len(broken) - 1} more (bench list plugins)" if len(broken) > 1 else ""
        problem += f" ({broken[0]}{more})"
    raise refusal(source.node.place, source.path, problem)


def explain(
    error: ValidationError,
    model: type[BaseModel],
    fallback: Source,
    sources: Mapping[str, Source],
    owner: str = "",
) -> SuiteError:
    """Turn a validation error into one line about the first thing that is wrong.

    Args:
        error: What pydantic raised.
        model: The model that was validated.
        fallback: What to blame when nothing nearer is known.
        sources: Where each of the model's values came from.
        owner: Whose parameters they are (``method 'msa'``); "" for the suite itself.
    """
    # A misspelt key explains the missing one, not the other way round.
    details = sorted(error.errors(include_url=False), key=lambda each: each["type"] == "missing")
    found = [_locate(detail, model, fallback, sources, owner) for detail in details]
    # Of a union's complaints, the one deepest in the value comes from the branch that was meant.
    first = max(
        (problem for problem in found if _within(problem.path, found[0].path)),
        key=lambda problem: problem.path.count("."),
    )
    same = [problem for problem in found if problem.path == first.path]
    rules = " or ".join(dict.fromkeys(problem.rule for problem in same))
    value = max((problem.value for problem in same), key=len)
    others = {
        problem.path
        for problem in found
        if not _within(first.path, problem.path) and not _within(problem.path, first.path)
    }
    more = f" (and {len(others)} more)" if others else ""
    return refusal(first.place, first.path, f"{rules}{value}{more}")


def _within(path: str, outer: str) -> bool:
    return path == outer or not outer or path.startswith(f"{outer}.")


def _locate(
    detail: Any,
    model: type[BaseModel],
    fallback: Source,
    sources: Mapping[str, Source],
    owner: str,
) -> _Problem:
    location: tuple[int | str, ...] = detail["loc"]
    missing = detail["type"] == "missing"
    rule, value = _message(detail, model, owner)
    if not location:
        return _Problem(fallback.path, fallback.node.place, rule, value)
    source = sources.get(str(location[0]))
    if source is None:
        path = _join(fallback.path, location[0])
        return _Problem(path, fallback.node.place, rule, value)
    path, node = source.path, source.node
    for index, step in enumerate(location[1:], start=1):
        below = node.child(step)
        if below is not None:
            path, node = _join(path, step), below
        elif missing and index == len(location) - 1:
            path = _join(path, step)
    if source.path.startswith("defaults.") and owner:
        value += f" (for {owner})"
    return _Problem(path, node.place, rule, value)


def _join(path: str, step: object) -> str:
    return f"{path}.{step}" if path else str(step)


def _message(detail: Any, model: type[BaseModel], owner: str) -> tuple[str, str]:
    """The rule that was broken, and what was there instead."""
    kind, value, location = detail["type"], detail["input"], detail["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        key = str(location[-1])
        whose = (
            f"{owner} has no parameter '{key}'" if owner and len(location) == 1 else "unknown key"
        )
        return f"{whose}{suggestion(key, known)}", ""
    if kind in ("value_error", "assertion_error"):
        return str(detail["msg"]).partition(", ")[2] or str(detail["msg"]), ""
    if kind == "missing":
        whole = owner and len(location) == 1
        return (f"{owner} needs this parameter; add it" if whole else "is missing; add it"), ""
    if kind == "too_short" and not value:
        return "must not be empty", ""
    if kind == "literal_error":
        expected = str(detail["ctx"]["expected"])
        return f"must be {expected}", f", not {shown(value)}{_nearest(value, expected)}"
    general = re.sub(r"^\w+ should\b", "must", str(detail["msg"]))
    return _PHRASES.get(kind, general), f", not {shown(value)}"


def _nearest(value: object, expected: str) -> str:
    """``; did you mean 'x'?`` where one of the quoted choices is near, else nothing."""
    choices = re.findall(r"'([^']*)'", expected)
    same = [choice for choice in choices if choice.casefold() == str(value).casefold()]
    near = suggestion(same[0] if same else str(value), choices)
    return near if near.startswith("; did you mean") else ""


def shown(value: object) -> str:
    """A value as an error message shows it: short, as YAML would write it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """The keys of the model at a location; what is no field (a union's branch) is passed over."""
    models = [model]
    for step in location:
        branch = [each for each in models if each.__name__ == step]
        below = [
            nested
            for each in models
            if step in each.model_fields
            for nested in _models_in(each.model_fields[str(step)].annotation)
        ]
        models = branch or below or models
    return {name for each in models for name in each.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
