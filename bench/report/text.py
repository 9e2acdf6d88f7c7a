"""Text for people: untrusted strings made harmless, numbers made short.

Labels, parameters and error messages come from suites, plugins and exceptions, and records from
other machines. None of it may break a table, become a link or reach a terminal as an escape code.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

DASH = "—"
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "$": "&#36;"})
_ACTIVE = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# What GitHub turns into links without any brackets.
_BARE_LINK = re.compile(r":(?=//)|\.(?<=www\.)", re.IGNORECASE)


def clean(text: object, limit: int | None = None) -> str:
    """One line of printable text: line breaks and control characters become spaces.

    Args:
        text: Anything; `str` is applied.
        limit: The most characters to keep; what is cut off is marked by an ellipsis.
    """
    raw = str(text)
    if not (raw.isascii() and raw.isprintable()):
        raw = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in raw)
    line = " ".join(raw.split())
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def escape(text: object, limit: int | None = None) -> str:
    """Text that shows as itself in a markdown table: no markup, HTML, links or cell borders."""
    safe = clean(text, limit).translate(_ENTITIES)
    safe = _ACTIVE.sub(lambda found: f"\\{found.group()}", safe)
    return _BARE_LINK.sub(lambda found: f"&#{ord(found.group())};", safe)


def code(text: object, limit: int | None = None) -> str:
    """Text as inline code in a markdown table; plain escaped text if it holds a pipe.

    Renderers disagree on backslashes before a pipe in code, so a pipe cannot be told from a cell
    border there.
    """
    safe = clean(text, limit)
    if not safe or "|" in safe:
        return escape(safe) or DASH
    longest = max((len(run) for run in re.findall("`+", safe)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def number(value: float | None) -> str:
    """A metric's value at display precision: three decimals, fewer digits where it is huge."""
    if value is None:
        return DASH
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    shown = f"{value:.3f}" if abs(value) < 10_000 else f"{value:.3e}"
    shown = shown.removeprefix("-") if float(shown) == 0 else shown
    return shown.replace("-", "−")


def signed(value: float) -> str:
    """A difference at display precision, with its sign."""
    shown = number(value)
    return f"+{shown}" if value > 0 and shown != "0.000" else shown


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return DASH if value is None or not math.isfinite(value) else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, to about two digits."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def scaled(value: float | None) -> str:
    """A large count with three digits and M or G."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value / 1e9:.3g} G" if value >= 1e9 else f"{value / 1e6:.3g} M"


def memory(size: float | None) -> str:
    """Bytes as MB or GB (powers of ten)."""
    if size is None or not math.isfinite(size):
        return DASH
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def rate(value: float | None) -> str:
    """Images per second, to about three digits."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def plural(amount: int, noun: str) -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def listed(items: Iterable[str], limit: int) -> str:
    """The first items, and how many more there are."""
    names: Sequence[str] = list(items)
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
