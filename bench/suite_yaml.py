"""YAML that remembers where everything stands.

A suite is read into a tree of `Node`, each with the `Place` it was written at, so that whatever is
refused later, by whichever part, can be refused with file, line and key. The scalars are those of
YAML 1.2's core schema: ``1e-3`` is a number, ``no`` and ``12:30`` are text. Tags are refused;
aliases are followed, within limits that keep a small file from becoming a large tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import SuiteError
from bench.paths import Located

MAX_BYTES = 1_000_000
MAX_NODES = 500_000
MAX_DEPTH = 32
_MAX_DIGITS = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS: Mapping[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"0o": 8, "0x": 16}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a line of a file, or a ``--set``.

    Attributes:
        source: The file as the user named it, or ``--set KEY=VALUE``.
        line: Counted from 1; None for a whole file and for a ``--set``.
        override: The KEY of a ``--set``; None for a file.
    """

    source: str
    line: int | None = None
    override: str | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the place of its key (in a mapping) or of itself (in a list).

    Attributes:
        value: None, bool, int, float, `Located` text, a dict of nodes or a list of nodes.
        place: Where it was written.
    """

    value: Any
    place: Place

    def plain(self) -> Any:
        """The value without places, as `dict`, `list` and scalars; text stays `Located`."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, key: object) -> Node | None:
        """The node under a mapping's key or a list's index; None where there is none."""
        if isinstance(self.value, dict):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            found: Node = self.value[key]
            return found
        return None


def one_line(text: str) -> str:
    """The text with line breaks and unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )


def refusal(place: Place, path: str, problem: str) -> SuiteError:
    """The one-line error ``FILE:LINE: KEY: PROBLEM``, or ``--set KEY=VALUE: PROBLEM``.

    Args:
        place: Where the culprit was written.
        path: Its dotted key; "" where there is none.
        problem: What is wrong, and what to do.
    """
    named = path and path != place.override
    return SuiteError(one_line(f"{place}: {path}: {problem}" if named else f"{place}: {problem}"))


def merge(base: Node, over: Node) -> Node:
    """`over` laid upon `base`: mappings key by key, everything else replaced."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.place)


def read_yaml(path: Path) -> Node:
    """Read a YAML file whose top level is a mapping.

    Raises:
        SuiteError: It is not UTF-8, empty, too large, not YAML or not a mapping.
        OSError: It cannot be read.
        ValueError: No file can have this name.
    """
    place = Place(str(path))
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise refusal(place, "", f"larger than {MAX_BYTES:,} bytes; a suite is a short text file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refusal(
            Place(str(path), line), "", "not UTF-8 text; save the file as UTF-8"
        ) from error
    root = _Reader(text, place, base=path.parent, file=path).document()
    if root is None:
        raise refusal(place, "", "empty; a suite is a mapping with suite, dataset, methods")
    if not isinstance(root.value, dict):
        raise refusal(root.place, "", "the top level must be a mapping (`suite: NAME` ...)")
    return root


def parse_value(text: str, place: Place, base: Path) -> Node:
    """Parse one YAML value, such as that of a ``--set``; nothing at all is null.

    Args:
        text: The YAML.
        place: Where it was written; the nodes have this place too.
        base: The folder its relative paths count from.

    Raises:
        SuiteError: It is not YAML.
    """
    return _Reader(text, place, base=base, file=None).document() or Node(None, place)


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    nodes: int
    height: int


class _Reader:
    """Builds nodes from the parser's events, which come one by one, whatever the nesting."""

    def __init__(self, text: str, place: Place, *, base: Path, file: Path | None) -> None:
        self.text = text
        self.place = place
        self.base = base
        self.file = file
        self.path: list[str] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.nodes = 0
        self.deepest = 0
        self.events: Iterator[Any] = iter(())

    def document(self) -> Node | None:
        """The one document of the text; None where there is none."""
        try:
            # The C parser wants text it can encode; argv may hold lone surrogates.
            self.text.encode()
            self.events = yaml.parse(self.text, _LOADER)
            return self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = self._at(mark.line) if mark else self.place
            raise refusal(place, "", self._syntax(error)) from error
        except yaml.reader.ReaderError as error:
            line = self.text.encode()[: error.position].count(b"\n")
            raise refusal(self._at(line), "", "a control character; remove or escape it") from error
        except UnicodeEncodeError as error:
            raise refusal(self.place, "", "not UTF-8 text") from error

    def _document(self) -> Node | None:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self.events), None)
        next(self.events)  # the end of the document
        extra = next(self.events)
        if not isinstance(extra, yaml.StreamEndEvent):
            place = self._at(extra.start_mark.line)
            raise refusal(place, "", "a second document begins here (`---`); keep one")
        return root

    def _syntax(self, error: yaml.MarkedYAMLError) -> str:
        mark = error.problem_mark
        lines = self.text.splitlines()
        line = lines[mark.line] if mark and mark.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return "a tab in the indentation; YAML wants spaces"
        context = f" {error.context}" if error.context else ""
        return f"not valid YAML: {error.problem}{context}; check brackets, colons and quotes"

    def _at(self, line: int) -> Place:
        if self.file is None:
            return self.place
        return Place(self.place.source, line + 1)

    def _refuse(self, event: Any, problem: str) -> SuiteError:
        return refusal(self._at(event.start_mark.line), ".".join(self.path), problem)

    def _node(self, event: Any, place: Place | None) -> Node:
        place = place or self._at(event.start_mark.line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        if event.tag is not None:
            raise self._refuse(event, f"tags ({event.tag}) are not allowed; remove it")
        before, outer, self.deepest = self.nodes, self.deepest, len(self.path)
        self._count(event, 1, 0)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = Node(self._value(event), place)
        if event.anchor is not None:
            height = self.deepest - len(self.path)
            self.anchors[event.anchor] = _Anchored(node, self.nodes - before, height)
        self.deepest = max(outer, self.deepest)
        return node

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping()
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence()
        return self._scalar(event)

    def _alias(self, event: Any, place: Place) -> Node:
        if event.anchor not in self.anchors:
            raise self._refuse(
                event, f"no anchor '&{event.anchor}' before this alias; quote text that begins '*'"
            )
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise self._refuse(event, f"the alias '*{event.anchor}' holds itself; write it out")
        self._count(event, anchored.nodes, anchored.height)
        return Node(anchored.node.value, place)

    def _count(self, event: Any, nodes: int, height: int) -> None:
        self.nodes += nodes
        self.deepest = max(self.deepest, len(self.path) + height)
        if self.deepest > MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        if self.nodes > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES:,} values; use matrix or shorten it")

    def _mapping(self) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            place = self._at(event.start_mark.line)
            self.path.append(key)
            if key in children:
                raise self._refuse(
                    event, f"written twice (first at {children[key].place}); keep one"
                )
            children[key] = self._node(next(self.events), place)
            self.path.pop()
        return children

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise self._refuse(event, "a key must be plain text")
        self._count(event, 1, 0)
        key = self._scalar(event)
        if not isinstance(key, str):
            raise self._refuse(event, f"the key {event.value!r} is not text; quote it")
        return str(key)

    def _sequence(self) -> list[Node]:
        children: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            self.path.append(str(len(children)))
            children.append(self._node(event, None))
            self.path.pop()
        return children

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.implicit[0]:  # written without quotes
            if text in _CONSTANTS:
                return _CONSTANTS[text]
            if _FLOAT.fullmatch(text) or _INTEGER.fullmatch(text):
                return self._number(event, text)
        line = event.start_mark.line + 1 if self.file is not None else None
        return Located(text, base=self.base, file=self.file, line=line)

    def _number(self, event: Any, text: str) -> int | float:
        if len(text) > _MAX_DIGITS:
            raise self._refuse(event, f"a number of more than {_MAX_DIGITS} digits; quote it")
        if _INTEGER.fullmatch(text):
            return int(text, _BASES.get(text[:2], 10))
        return float(text)
