from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bench.paths import DataPath, Located, expand


def test_located_is_the_string_and_remembers(tmp_path: Path) -> None:
    where = Located("data/a.mat", base=tmp_path, file=tmp_path / "suite.yml", line=4)
    assert where == "data/a.mat"
    for copied in (
        where,
        copy.deepcopy(where),
        copy.copy(where),
        pickle.loads(pickle.dumps(where)),
    ):
        assert isinstance(copied, Located)
        assert (copied, copied.base) == ("data/a.mat", tmp_path)
        assert (copied.file, copied.line) == (tmp_path / "suite.yml", 4)


def test_relative_paths_count_from_where_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expand("a/b.mat") == tmp_path / "a/b.mat"
    assert expand(Located("a/b.mat", base=Path("/suites"))) == Path("/suites/a/b.mat")
    assert expand(Located("/a/b.mat", base=Path("/suites"))) == Path("/a/b.mat")
    assert expand(Located("b.mat", base=Path("suites"))) == tmp_path / "suites/b.mat"


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path / "x"))
    assert expand("$PLACE/a.mat") == tmp_path / "x/a.mat"
    assert expand("${PLACE}2/a.mat") == tmp_path / "x2/a.mat"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand(Located("~/a.mat", base=Path("/suites"))) == tmp_path / "a.mat"
    assert expand("/a$/b") == Path("/a$/b")


def test_data_folder_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", "elsewhere")
    located = Located("$BENCH_DATA/a.mat", base=Path("/suites"))
    assert expand(located) == tmp_path / "elsewhere/a.mat"
    monkeypatch.delenv("BENCH_DATA")
    assert expand(located) == tmp_path / "data/a.mat"


class Model(BaseModel):
    path: DataPath


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$NO_SUCH_PLACE/a.mat", r"\$NO_SUCH_PLACE is not set"),
        ("", "expected the path"),
        ("a\0b", "expected the path"),
        ("~nobody-by-this-name/a", "cannot expand '~'"),
        (3, "path"),
        (None, "path"),
    ],
)
def test_wrong_paths_are_refused(text: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Model(path=text)  # type: ignore[arg-type]


def test_field_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Model(path="x").path == tmp_path / "x"  # type: ignore[arg-type]
    assert Model(path=Path("x")).path == tmp_path / "x"
    assert Model(path=Located("x", base=Path("/suites"))).path == Path("/suites/x")  # type: ignore[arg-type]
