"""``--set KEY=VALUE``: one value of a suite, replaced by its dotted path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import SuiteError
from bench.suite_errors import shown
from bench.suite_yaml import MAX_DEPTH, Node, Place, one_line, parse_value, refusal


def override(root: Node, text: str) -> Node:
    """A suite's tree with one value replaced or added; `root` stays as it is.

    A key that does not exist yet is added, and whatever stands there is validated with the suite.

    Args:
        root: The suite.
        text: ``KEY=VALUE``: a dotted path with list indices (``methods.0.params.loss``), and YAML.
            Relative paths in VALUE count from the current folder.

    Raises:
        SuiteError: It is not KEY=VALUE, VALUE is not YAML, or KEY leads through a scalar or past
            the end of a list.
    """
    key, equals, value = text.partition("=")
    source = f"--set {one_line(text)}"
    steps = key.split(".")
    if not equals or not all(steps):
        raise SuiteError(f"{source}: must be KEY=VALUE, such as dataset.path=FILE")
    place = Place(source, override=key)
    if steps[0] == "extends":
        raise refusal(place, key, "extends cannot be overridden; run the other suite instead")
    if len(steps) > MAX_DEPTH:
        raise refusal(place, key, f"more than {MAX_DEPTH} steps; no suite is that deep")
    return _replaced(root, steps, parse_value(value, place, Path.cwd()), ())


def _replaced(node: Node, steps: Sequence[str], new: Node, above: Sequence[str]) -> Node:
    if not steps:
        return new
    step, below = steps[0], (*above, steps[0])
    if isinstance(node.value, list):
        index = _index(node.value, step, new.place, ".".join(above))
        items = list(node.value)
        items[index] = _replaced(items[index], steps[1:], new, below)
        return Node(items, node.place)
    if node.value is None or isinstance(node.value, dict):
        children = node.value or {}
        child = children.get(step) or Node(None, new.place)
        return Node({**children, step: _replaced(child, steps[1:], new, below)}, node.place)
    raise refusal(
        new.place,
        "",
        f"'{'.'.join(above)}' is {shown(node.value)}, which holds no '{step}'; set it as a whole",
    )


def _index(items: Sequence[Node], step: str, place: Place, path: str) -> int:
    if step.isascii() and step.isdecimal() and len(step) < 10 and int(step) < len(items):
        return int(step)
    has = f"{path}.0 to {path}.{len(items) - 1}" if items else "nothing, it is empty"
    raise refusal(place, "", f"'{path}' is a list without an index '{step}'; it has {has}")
