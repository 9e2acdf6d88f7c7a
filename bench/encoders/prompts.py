"""The sentences whose CLIP embeddings stand for distances. Source: DepthCLIP (arXiv 2207.01077)."""

from __future__ import annotations

import string
from collections.abc import Sequence

TEMPLATES = ("This {object} is {distance}",)
OBJECT = "object"
DISTANCES = (
    "giant",
    "extremely close",
    "close",
    "not in distance",
    "a little remote",
    "far",
    "unseen",
)
BIN_CENTRES = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)
"""Metres that stand for `DISTANCES`."""


def check_template(template: str) -> str:
    """Return the template if it can be filled in.

    Raises:
        ValueError: It lacks ``{distance}``, or has fields other than that and ``{object}``.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"template {template!r}: {error}") from error
    fields = {name for _, name, _, _ in parts if name is not None}
    plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    if "distance" not in fields or not fields <= {"distance", "object"} or not plain:
        raise ValueError(
            f"template {template!r} must have the field {{distance}} and may have {{object}}"
        )
    return template


def prompts(template: str, object_name: str, distances: Sequence[str]) -> list[str]:
    """The template filled in for each distance."""
    return [template.format(object=object_name, distance=distance) for distance in distances]
