from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.report import text

HOSTILE = [
    "a | b",
    "x\n| forged | row |",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[click](http://evil.example)",
    "![pixel](http://evil.example/p.png)",
    "http://evil.example www.evil.example",
    "**bold** _em_ __strong__ ~~gone~~ \\",
    "&lt;b&gt; $x$ <!-- hidden",
    "\x1b[31mred\x1b[0m\x07",
    "abc\u202edcba\u2066",
    "lone \ud800 surrogate",
    "trailing backslash \\",
    "",
]


def cell(markdown: str) -> str:
    """The HTML of one table cell, with the rest of the table checked to be intact."""
    page = f"| head | next |\n|:--|:--|\n| {markdown} | after |\n"
    html = MarkdownIt().enable("table").enable("strikethrough").render(page)
    assert html.count("<td") == 2, html
    assert html.count("<tr") == 2, html
    assert 'left">after</td>' in html
    return html.split('<td style="text-align:left">')[1].split("</td>")[0]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_escaped_text_is_inert_in_a_table(hostile: str) -> None:
    html = cell(text.escape(hostile))
    assert "<" not in html
    text.escape(hostile).encode("utf-8")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_code_is_inert_in_a_table(hostile: str) -> None:
    html = cell(text.code(hostile))
    inside = html.removeprefix("<code>").removesuffix("</code>")
    assert "<" not in inside


@given(st.text(max_size=40))
def test_nothing_escapes_from_a_cell(hostile: str) -> None:
    assert "<" not in cell(text.escape(hostile))
    inside = cell(text.code(hostile)).removeprefix("<code>").removesuffix("</code>")
    assert "<" not in inside


def test_ordinary_names_are_left_readable() -> None:
    assert text.escape("clip-adapter (RN50, w=0.5) abs_rel") == "clip-adapter (RN50, w=0.5) abs_rel"


def test_escaped_text_reads_as_it_was_written() -> None:
    assert cell(text.escape("a*b_ <c> & [d]|e")) == "a*b_ &lt;c&gt; &amp; [d]|e"


def test_bare_links_do_not_become_links_on_github() -> None:
    escaped = text.escape("see https://evil.example or WWW.evil.example")
    assert "://" not in escaped
    assert "www." not in escaped.lower()
    assert cell(escaped) == "see https://evil.example or WWW.evil.example"


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert text.clean("abcdef", 4) == "abc…"
    assert text.clean("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.31384, "0.314"),
        (42.8616, "42.862"),
        (-0.00001, "0.000"),
        (-1.5, "−1.500"),
        (123456.0, "1.235e+05"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (None, "—"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_differences_carry_their_sign() -> None:
    assert [text.signed(value) for value in (0.01, -0.01, 0.0, 0.0001)] == [
        "+0.010",
        "−0.010",
        "0.000",
        "0.000",
    ]


def test_quantities() -> None:
    assert text.duration(3.21) == "3.2 s"
    assert text.duration(75) == "75 s"
    assert text.duration(192) == "3 min 12 s"
    assert text.duration(3840) == "1 h 04 min"
    assert text.duration(3599.7) == "1 h 00 min"
    assert text.memory(812_000_000) == "812 MB"
    assert text.memory(2_500_000_000) == "2.50 GB"
    assert text.count(124_300_609) == "124,300,609"
    assert text.rate(2210.4) == "2,210"
    assert text.listed(["a", "b", "c"], 2) == "a, b and 1 more"
