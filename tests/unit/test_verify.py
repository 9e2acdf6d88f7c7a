"""A record redone: what comes out again, what does not, and what cannot be redone at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cli import main
from bench.records import Record, load_records
from bench.report.verification import TOLERANCE, compare_redone, relative

PLUGIN = """
import os
from pathlib import Path

from bench import Method, Params, hookimpl


class Fickle(Method):
    name = "fickle"
    summary = "Another depth each time, from a file that counts."

    def predict(self, batch):
        counter = Path(os.environ["COUNTER"])
        counter.write_text(counter.read_text() + "x" if counter.exists() else "x")
        return batch.image[:, :1] * 0 + len(counter.read_text())


class Reader(Method):
    name = "reader"
    summary = "Reads a file that may be gone."

    class Params(Params):
        late: bool = False

    def predict(self, batch):
        return batch.image[:, :1] * 0 + float(Path(os.environ["COUNTER"]).read_text())


@hookimpl
def register_methods():
    return [Fickle, Reader]
"""

SUITE = """
suite: probe
dataset: {name: rooms, images: 3, test_images: 4, height: 48, width: 64}
protocols: [full, nyu-study, {name: far, valid_min: 2.0}]
methods: [{name: %s}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a plugin folder beside it."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "verify_probe.py").write_text(PLUGIN)
    monkeypatch.setenv("BENCH_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("COUNTER", str(tmp_path / "counter"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(method: str = "mean-depth-map", *options: str) -> Record:
    """The one record of a run of one method."""
    Path("probe.yml").write_text(SUITE % method)
    main(["run", "probe.yml", "--device", "cpu", *options])
    [record] = load_records("leaderboard/records")
    return record


def edit(record: Record, change: Callable[[dict[str, Any]], None]) -> None:
    path = Path("leaderboard/records") / f"{record.id}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("limit", [[], ["--limit", "2"]])
def test_every_number_comes_out_again_and_nothing_is_touched(
    here: Path, capsys: pytest.CaptureFixture[str], limit: list[str]
) -> None:
    record = made("mean-depth-map", *limit)
    cache = Path(os.environ["BENCH_CACHE"])
    before = contents(here / "leaderboard"), contents(cache / "fits"), contents(cache / "pictures")
    capsys.readouterr()
    assert main(["verify", record.id[:8]]) == 0
    shown = capsys.readouterr().out
    values = 3 * 9 * (2 if limit else 4)
    assert "every number came out again (exactly): " in shown
    assert f"{values} per-image values" in shown
    assert "what differs" not in shown
    after = contents(here / "leaderboard"), contents(cache / "fits"), contents(cache / "pictures")
    assert after == before
    assert os.environ["BENCH_CACHE"] == str(cache)


def test_the_fit_in_the_store_is_not_taken_for_the_redone_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made()
    for path in (Path(os.environ["BENCH_CACHE"]) / "fits").rglob("*"):
        if path.is_file():
            path.write_bytes(b"broken")
    assert main(["verify", record.id]) == 0


def test_a_method_that_does_not_repeat_itself_is_found_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("fickle")
    capsys.readouterr()
    assert main(["verify", record.id, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["confirmed"]
    assert found["changes"] == []
    assert all(item["recorded"] != item["redone"] for item in found["differences"])
    numbers = {(item["protocol"], item["number"]) for item in found["differences"]}
    assert {("full", "rmse"), ("nyu-study-scaled", "abs_rel"), ("far", "rmse")} <= numbers
    assert any("the worst of 4" in number for _, number in numbers)
    assert main(["verify", record.id]) == 1
    shown = capsys.readouterr().out
    assert "not every number came out again" in shown
    assert "the method may not repeat itself" in shown


def test_an_edited_number_is_named_with_both_values(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")
    true = record.scores[1].metrics["rmse"].mean

    def better(content: dict[str, Any]) -> None:
        content["scores"][1]["metrics"]["rmse"]["mean"] = true * 0.99
        content["scores"][0]["invalid"]["clamped_pixels"] = 7

    edit(record, better)
    capsys.readouterr()
    assert main(["verify", record.id, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["differences"]
    assert found == [
        {
            "protocol": "full",
            "number": "invalid.clamped_pixels",
            "recorded": 7,
            "redone": 0,
        },
        {
            "protocol": "nyu-study-scaled",
            "number": "rmse",
            "recorded": true * 0.99,
            "redone": true,
        },
    ]
    # Within 2% the mean passes; a count of 0 that was 7 never does.
    assert main(["verify", record.id, "--tolerance", "0.02", "--json"]) == 1
    [left] = json.loads(capsys.readouterr().out)["differences"]
    assert left["number"] == "invalid.clamped_pixels"


def test_an_edited_per_image_value_is_named_by_its_image(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")
    path = Path("leaderboard/records") / str(record.per_image)
    frame = pd.read_parquet(path)
    image = str(frame["id"][2])
    frame["log10"] += 0.25 * (frame.index == 2)
    frame.to_parquet(path, index=False)
    capsys.readouterr()
    assert main(["verify", record.id, "--json"]) == 1
    [found] = json.loads(capsys.readouterr().out)["differences"]
    assert found["number"] == f"log10, image {image}, the worst of 1"
    assert found["protocol"] == "full"
    path.unlink()
    assert main(["verify", record.id]) == 0
    assert "their file is not beside the record; not compared" in capsys.readouterr().out
    path.write_bytes(b"no parquet")
    assert main(["verify", record.id]) == 2
    assert "cannot read per-image values" in capsys.readouterr().err


def test_what_changed_is_named_even_where_the_numbers_did_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")

    def older(content: dict[str, Any]) -> None:
        content["method"]["code_files"]["bench.contrib.baselines"] = "0" * 64
        content["method"]["code_sha256"] = content["keys"]["cell"] = "0" * 64
        content["environment"]["packages"]["numpy"] = "1.0"
        content["environment"]["device"] = "cpu: abacus"
        content["weights"] = [{"name": "wheel", "origin": "file", "sha256": "a" * 64}]

    edit(record, older)
    capsys.readouterr()
    assert main(["verify", record.id]) == 0
    shown = capsys.readouterr().out
    assert f"every number came out again (within {TOLERANCE:g}, relatively" in shown
    assert "what differs, though the numbers do not:" in shown
    assert "code: bench.contrib.baselines\n" in shown
    assert "packages: numpy 1.0 then, " in shown
    assert "device: cpu: abacus then, " in shown
    assert "weights: wheel: SHA-256 aaaaaaaaaaaa… then, none now" in shown


def test_other_scoring_code_is_told_from_other_method_code(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")
    edit(record, lambda content: content["scores"][0].update(key="0" * 64))
    capsys.readouterr()
    assert main(["verify", record.id]) == 0
    assert "code: that scores: bench.metrics" in capsys.readouterr().out


def test_other_data_are_named_and_nothing_is_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("fickle")
    counted = (here / "counter").read_text()
    capsys.readouterr()
    assert main(["verify", record.id, "--set", "dataset.seed=1"]) == 1
    shown = capsys.readouterr().out
    assert "nothing was run" in shown
    assert f"data: data set 'rooms': fingerprint {record.dataset.fingerprint[:12]}… then" in shown
    assert (here / "counter").read_text() == counted


def test_a_record_without_data_parameters_and_rules_is_redone_with_what_set_says(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")

    def oldest(content: dict[str, Any]) -> None:
        del content["dataset"]["params"]
        del content["scores"][2]
        for score in content["scores"]:
            del score["protocol"]["rules"]

    edit(record, oldest)
    capsys.readouterr()
    assert main(["verify", record.id]) == 2
    shown = capsys.readouterr().err
    assert shown.splitlines()[-1].endswith("give the suite's own as --set dataset.KEY=VALUE")
    given = ["images=3", "test_images=4", "height=48", "width=64"]
    sets = [word for item in given for word in ("--set", f"dataset.{item}")]
    assert main(["verify", record.id, *sets]) == 0


def broken_plugin(content: dict[str, Any]) -> None:
    content["method"]["name"] = "gone"


def broken_params(content: dict[str, Any]) -> None:
    content["method"]["params"]["nonsense"] = 1


def broken_metric(content: dict[str, Any]) -> None:
    content["scores"][0]["metrics"]["rmsse"] = {"mean": 1.0}


def broken_dataset(content: dict[str, Any]) -> None:
    content["dataset"]["name"] = "roms"


def broken_protocol(content: dict[str, Any]) -> None:
    content["scores"][2]["protocol"]["rules"] = {}


def broken_weights(content: dict[str, Any]) -> None:
    content["method"].update(name="depthclip", params={"weights": "/nowhere/clip.pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken_plugin, "no method 'gone' (of plugin 'baselines')"),
        (broken_params, "no longer takes its parameters (nonsense: "),
        (broken_metric, "no metric 'rmsse'; did you mean 'rmse'?"),
        (broken_dataset, "did you mean 'rooms'?"),
        (broken_protocol, "does not hold the rules of protocol 'far'"),
        (broken_weights, "'/nowhere/clip.pt' does not exist"),
    ],
)
def test_what_cannot_be_redone_is_one_line_and_exit_2(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    record = made("constant-depth")
    edit(record, change)
    capsys.readouterr()
    assert main(["verify", record.id]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("bench: ")
    assert shown.count("\n") == 1


def test_failed_then_or_now_is_exit_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "counter").write_text("2.5")
    record = made("reader")
    (here / "counter").write_text("no number")
    capsys.readouterr()
    assert main(["verify", record.id]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bench: 'reader' cannot be redone here: ValueError: could not convert")
    edit(record, lambda content: content.update(status="failed"))
    assert main(["verify", record.id]) == 2
    assert "it has no numbers to redo" in capsys.readouterr().err


def test_missing_data_are_named_with_the_way_to_say_where_they_are(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = made("constant-depth")
    params = {"path": "/nowhere/nyu.mat", "depth": {"train": "filled", "test": "raw"}}
    edit(record, lambda content: content["dataset"].update(name="nyu-v2", params=params))
    capsys.readouterr()
    assert main(["verify", record.id]) == 2
    shown = capsys.readouterr().err
    assert "/nowhere/nyu.mat" in shown
    assert "--set dataset.KEY=VALUE says where they lie now" in shown


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0),
        (2.0, 1.0, 0.5),
        (0.0, 1e-9, 1.0),
        (float("nan"), float("nan"), 0.0),
        (float("nan"), 1.0, float("inf")),
        (float("inf"), 1.0, float("inf")),
        (float("inf"), float("inf"), 0.0),
    ],
)
def test_relative_differences(before: float, after: float, expected: float) -> None:
    assert relative(before, after) == expected


@pytest.mark.parametrize(("field", "value"), [("device", "NVIDIA X"), ("torch", "0.1")])
def test_a_tolerance_is_given_on_other_hardware_or_torch_only(
    here: Path, field: str, value: str
) -> None:
    record = made("constant-depth")
    other = record.environment.model_copy(update={field: value})
    elsewhere = record.model_copy(update={"environment": other})
    assert compare_redone(record, record, None).tolerance == 0.0
    assert compare_redone(record, elsewhere, None).tolerance == TOLERANCE
    assert compare_redone(record, elsewhere, None, 0.0).tolerance == 0.0
