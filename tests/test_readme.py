"""What the README promises is true of the code that is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bench.cli import _parser, main
from bench.suite import builtin_suites

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_set_up_is_two_commands_of_one_line() -> None:
    install, test = blocks("sh")[:2]
    assert install.count("\n") == test.count("\n") == 1
    assert "bench run suites/quickstart.yml" in install
    assert "pytest" in test


@pytest.mark.parametrize("line", [line for block in blocks("sh")[2:] for line in [block]])
def test_every_command_shown_is_one_bench_understands(line: str) -> None:
    joined = line.replace("\\\n", " ")
    for command in joined.splitlines():
        words = shlex.split(command, comments=True)
        if words and words[0] == "bench":
            _parser().parse_args(words[1:])


def test_every_suite_is_in_the_table_and_every_suite_named_exists() -> None:
    named = set(re.findall(r"`suites/(\w+)\.yml`", README))
    assert named == set(builtin_suites())


def test_every_relative_link_leads_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / target).exists(), (page, target)


def test_the_example_plugin_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = blocks("python")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "readme_ramp.py").write_text(code)
    (tmp_path / "ramp.yml").write_text(
        "suite: ramp\n"
        "dataset: {name: rooms, images: 1, test_images: 1, height: 48, width: 64}\n"
        "protocols: [full]\n"
        "methods: [{name: ramp}]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", "mine")
    assert main(["run", "ramp.yml"]) == 0


def test_the_example_suite_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.plugins import build_registry
    from bench.suite import load_suite

    [text] = blocks("yaml")
    (tmp_path / "s.yml").write_text(text)
    suite = load_suite(tmp_path / "s.yml", build_registry())
    assert len(suite.cells) == 1 + 4 * 3
