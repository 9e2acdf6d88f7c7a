"""A suite from plan to leaderboard, with methods that cost nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main
from bench.records import Record, load_records

ROOMS = "dataset: {name: rooms, images: 3, test_images: 4, height: 48, width: 64}"

# Every way a method can break its contract; each a method of its own.
PLUGIN = """
from bench import Method, Params, hookimpl, predict_param


class Flat(Method):
    name = "flat"
    summary = "One metre, or what it is told."

    class Params(Params):
        depth: float = 1.0
        scale: float = predict_param(1.0)

    fitted = True
    seeded = True

    def fit(self, data, context):
        import os
        with open(os.environ["FIT_LOG"], "a") as log:
            log.write(f"{self.params.depth} {context.seed}\\\\n")
        self.mean = float(sum(sample.depth.mean() for sample in data) / len(data))
        self.seed_used = context.seed

    def save(self, folder):
        (folder / "mean.txt").write_text(f"{self.mean} {self.seed_used}")

    def load(self, folder):
        self.mean, self.seed_used = map(float, (folder / "mean.txt").read_text().split())

    def predict(self, batch):
        value = (self.params.depth + self.seed_used / 10) * self.params.scale
        return batch.image[:, :1, :2, :2] * 0 + value


def broken(label, body):
    space = {}
    exec("def predict(self, batch):\\\\n    import torch\\\\n    " + body, space)
    return type(label, (Method,), {
        "name": label, "summary": label, "predict": space["predict"], "__module__": __name__,
    })


class Relative(Method):
    name = "relative"
    summary = "depth up to scale and shift"
    output = "affine-depth"

    def predict(self, batch):
        return batch.image[:, :1] * 0 - 3


@hookimpl
def register_methods():
    return [
        Flat,
        Relative,
        broken("raises", "raise RuntimeError('no such luck\\\\\\\\nsecond line')"),
        broken("exits", "raise SystemExit(3)"),
        broken("wrong-type", "return [1]"),
        broken("wrong-shape", "return batch.image"),
        broken("wrong-dtype", "return batch.image[:, :1].long()"),
        broken("all-nan", "return batch.image[:, :1] * float('nan')"),
        broken("negative", "return batch.image[:, :1] * 0 - 1"),
        broken("careful", "assert batch.depth is None; return batch.image[:, :1] * 0 + 2"),
    ]
""".replace("\\\\", "\\")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a plugin folder beside it."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "runner_probe.py").write_text(PLUGIN)
    monkeypatch.setenv("BENCH_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("FIT_LOG", str(tmp_path / "fits"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(folder: Path, methods: str, *, extra: str = "") -> str:
    text = f"suite: probe\n{ROOMS}\nprotocols: [full, nyu-study]\n{extra}\nmethods:\n"
    (folder / "probe.yml").write_text(text + textwrap.indent(textwrap.dedent(methods), "  "))
    return "probe.yml"


def records() -> list[Record]:
    return load_records("leaderboard/records")


def fits(folder: Path) -> list[str]:
    path = folder / "fits"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_a_suite_becomes_records_and_a_leaderboard(here: Path) -> None:
    assert main(["run", suite(here, "- name: flat\n- {name: constant-depth}\n")]) == 0
    flat, constant = sorted(records(), key=lambda item: item.method.name != "flat")
    assert [score.protocol.name for score in flat.scores] == ["full", "nyu-study-scaled"]
    assert flat.dataset.synthetic
    assert flat.dataset.test_images == flat.dataset.of == 4
    assert flat.cost.fit_seconds is not None
    assert constant.cost.fit_seconds is None
    board = (here / "leaderboard" / "README.md").read_text()
    assert "flat" in board
    assert "synthetic" in board


def test_a_second_run_does_nothing_and_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, "- name: flat\n")
    main(["run", path])
    before = records()
    capsys.readouterr()
    assert main(["run", path]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert records() == before
    assert len(fits(here)) == 1


def test_only_what_is_missing_is_made(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n")])
    main(["run", suite(here, "- name: flat\n- {name: flat, params: {depth: 2.0}}\n")])
    assert fits(here) == ["1.0 1", "2.0 1"]
    assert len(records()) == 2


def test_a_later_protocol_adds_a_record_without_a_new_fit(here: Path) -> None:
    path = suite(here, "- name: flat\n")
    main(["run", path])
    main(["run", path, "--set", "protocols=[full, nyu-study, nyu-eigen]"])
    assert len(fits(here)) == 1
    first, second = records()
    assert [score.protocol.name for score in second.scores] == ["nyu-eigen-scaled"]
    assert second.keys.cell == first.keys.cell


def test_two_rows_from_one_fit(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n  matrix: {scale: [1.0, 2.0]}\n")])
    assert len(fits(here)) == 1
    one, two = (item.scores[0].metrics["rmse"].mean for item in records())
    assert one != two


def test_seeds_make_cells_of_seeded_methods_only(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n- name: constant-depth\n", extra="seeds: [1, 2]")])
    seeds = {(item.method.name, item.seed) for item in records()}
    assert seeds == {("flat", 1), ("flat", 2), ("constant-depth", None)}
    assert fits(here) == ["1.0 1", "1.0 2"]


BROKEN = {
    "raises": "RuntimeError: no such luck second line",
    "exits": "SystemExit: 3",
    "wrong-type": "predict() returned list; return a float tensor (1, 1, h, w)",
    "wrong-shape": "predict() returned shape (1, 3, 48, 64); return one depth map an image",
    "wrong-dtype": "predict() returned torch.int64; return float32 metres",
}


def test_a_cell_that_fails_is_recorded_and_the_rest_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*BROKEN, "constant-depth"]
    path = suite(here, "".join(f"- name: {name}\n" for name in names))
    assert main(["run", path]) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    by_name = {item.method.name: item for item in records()}
    assert by_name["constant-depth"].status == "ok"
    for name, message in BROKEN.items():
        failed = by_name[name]
        assert failed.status == "failed"
        assert failed.error is not None
        assert message in failed.error.message
        assert "\n" not in failed.error.message
        assert "Traceback" in failed.error.traceback
        assert failed.error.log is not None
        assert Path(failed.error.log).is_file()
        assert message in shown.out
    assert main(["run", path]) == 1, "failed cells are tried again"


def test_unusable_predictions_are_counted_and_never_help(here: Path) -> None:
    names = ["all-nan", "negative", "constant-depth"]
    assert main(["run", suite(here, "".join(f"- name: {name}\n" for name in names))]) == 0
    by_name = {item.method.name: item.scores[0] for item in records()}
    pixels = 4 * 48 * 64
    assert 0 < by_name["all-nan"].invalid.nonfinite_pixels <= pixels
    assert by_name["all-nan"].invalid.images == 4
    assert 0 < by_name["negative"].invalid.nonpositive_pixels <= pixels
    for bad in ("all-nan", "negative"):
        for metric, sane in by_name["constant-depth"].metrics.items():
            value = by_name[bad].metrics[metric].mean
            worse = value <= sane.mean if metric.startswith("delta") else value >= sane.mean
            assert worse or metric == "silog", (bad, metric)


def test_methods_never_see_the_ground_truth(here: Path) -> None:
    assert main(["run", suite(here, "- name: careful\n")]) == 0


def test_per_image_values_average_to_the_record(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n")])
    [record] = records()
    frame = pd.read_parquet(here / "leaderboard" / "records" / str(record.per_image))
    assert list(frame.columns[:4]) == ["id", "scene", "scene_type", "protocol"]
    for score in record.scores:
        rows = frame[frame.protocol == score.protocol.name]
        assert len(rows) == 4
        for metric, value in score.metrics.items():
            assert rows[metric].dtype == "float32"
            assert rows[metric].astype(float).mean() == pytest.approx(value.mean, rel=1e-6)


def test_limit_and_overrides_are_in_the_record(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n"), "--limit", "2", "--set", "seeds=[5]"])
    [record] = records()
    assert (record.dataset.test_images, record.dataset.of) == (2, 4)
    assert record.overrides == ["--set seeds=[5]", "--limit 2"]
    assert record.seed == 5


def test_plan_names_the_file_that_made_a_cell_stale(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, "- name: flat\n")
    main(["run", path])
    folder = here / "leaderboard" / "records"
    [json_file] = folder.glob("*.json")
    old = json.loads(json_file.read_text())
    # As if the plugin had been another when the record was made.
    old["method"]["code_files"]["bench.contrib.runner_probe"] = "0" * 64
    old["keys"]["fit"] = old["keys"]["cell"] = "0" * 64
    for score in old["scores"]:
        score["key"] = "0" * 64
    json_file.write_text(json.dumps(old))
    capsys.readouterr()
    assert main(["plan", path, "--json"]) == 0
    [cell] = json.loads(capsys.readouterr().out)["cells"]
    assert cell["state"] == "stale"
    assert "bench.contrib.runner_probe" in cell["reason"]


def test_kept_predictions_are_scored_without_the_method(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite(here, "- name: flat\n", extra="predictions: keep")
    main(["run", path])
    cache = Path(os.environ["BENCH_CACHE"])
    shutil.rmtree(cache / "fits")
    main(["run", path, "--force"])
    first, second = records()
    assert len(fits(here)) == 1, "nothing was fitted again"
    values = [{k: v.mean for k, v in item.scores[1].metrics.items()} for item in (first, second)]
    assert values[0] == values[1]


def test_rescore_scores_kept_predictions_and_runs_no_method(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, "- name: flat\n", extra="predictions: keep")
    main(["run", path])
    shutil.rmtree(Path(os.environ["BENCH_CACHE"]) / "fits")
    wider = ["--set", "protocols=[full, nyu-eigen, nyu-marigold]"]
    assert main(["rescore", path, *wider]) == 0
    made = records()[1]
    assert [item.protocol.name for item in made.scores] == [
        "nyu-eigen-scaled",
        "nyu-marigold-scaled",
    ]
    assert made.cost.predict_seconds is None
    assert len(fits(here)) == 1, "nothing was fitted again"
    main(["run", path, *wider, "--records", "fresh/records"])
    fresh = {item.key: item.metrics for item in load_records("fresh/records")[0].scores}
    assert {item.key: item.metrics for item in made.scores}.items() <= fresh.items()
    capsys.readouterr()
    assert main(["rescore", path, *wider]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_rescore_lists_what_was_not_kept_and_exits_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, "- name: flat\n- name: constant-depth\n", extra="predictions: keep")
    main(["run", path, "--only", "flat", "--set", "protocols=[full]"])
    capsys.readouterr()
    assert main(["rescore", path, "--set", "protocols=[nyu-eigen, nyu-study]"]) == 1
    shown = capsys.readouterr().out
    assert "BLOCKED constant-depth: no predictions were kept for nyu-eigen, nyu-study;" in shown
    assert "nyu-eigen-scaled scored, but no predictions were kept for nyu-study" in shown
    assert [item.protocol.name for item in records()[1].scores] == ["nyu-eigen-scaled"]
    assert {item.method.name for item in records()} == {"flat"}


def test_rescore_makes_no_method_even_where_kept_predictions_vanish_meanwhile(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.execute.is_kept", lambda key: True)
    assert main(["rescore", suite(here, "- name: flat\n")]) == 1
    assert "BLOCKED flat #1: some of the predictions were not kept" in capsys.readouterr().out
    assert fits(here) == []
    assert records() == []


def test_rescore_needs_no_weights(here: Path) -> None:
    path = suite(here, "- {name: depthclip, params: {weights: here.pt}}\n")
    assert main(["plan", path]) == 0
    assert main(["rescore", path]) == 1
    assert records() == []


def test_a_protocol_that_cannot_score_a_method_is_refused_by_name(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, "- name: flat\n- name: relative\n")
    assert main(["run", path]) == 2
    shown = capsys.readouterr().err
    assert "protocol 'full'" in shown
    assert "method 'relative', whose output is 'affine-depth'" in shown
    assert records() == []
    assert main(["run", path, "--set", "protocols=[nyu-marigold]"]) == 0
    relative = next(item for item in records() if item.method.name == "relative")
    assert relative.method.output == "affine-depth"
    assert relative.scores[0].invalid.negative_scale_images == 0
    assert main(["run", path, "--set", "protocols=[nyu-affine-disparity]"]) == 2


def test_worker_processes_make_the_same_records(here: Path) -> None:
    path = suite(here, "- name: flat\n  matrix: {depth: [1.0, 2.0, 3.0]}\n")
    main(["run", path, "--workers", "2", "--records", "two/records"])
    main(["run", path, "--force"])

    def scores(folder: str) -> dict[str, object]:
        return {item.keys.cell: item.scores for item in load_records(folder)}

    assert scores("two/records") == scores("leaderboard/records")
    assert len(scores("two/records")) == 3


def test_the_store_is_left_without_temporary_files_and_locks_are_free(here: Path) -> None:
    main(["run", suite(here, "- name: flat\n")])
    cache = Path(os.environ["BENCH_CACHE"])
    names = [path.name for path in [*cache.rglob("*"), *here.rglob("*")]]
    assert [name for name in names if name.endswith((".tmp", ".checkpoints"))] == []
    assert list((cache / "locks").glob("*.json")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yml"], "nowhere"),
        (["run", "probe.yml", "--device", "cuda:99"], "--device cuda:99"),
        (["run", "probe.yml", "--only", "nothing*"], "nothing*"),
        (["run", "probe.yml", "--set", "dataset.nam=x"], "nam"),
        (["show", "0000"], "no record '0000'"),
        (["leaderboard", "--records", "nowhere"], "no records folder"),
        (["cache", "prune"], "say what to remove"),
        (["plan", "probe.yml", "--plugins", "nowhere"], "--plugins"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    suite(here, "- name: flat\n")
    (here / "leaderboard" / "records").mkdir(parents=True)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("bench: ")
    assert shown.err.count("\n") == 1
    assert records() == []


def test_cache_list_and_prune(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", suite(here, "- name: flat\n")])
    capsys.readouterr()
    assert main(["cache", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [fit] = [item for item in found if item["kind"] == "fits"]
    assert fit["suites"] == ["probe"]
    main(["cache", "prune", "--kind", "fits", "--dry-run"])
    assert Path(fit["path"]).exists()
    main(["cache", "prune", "--unused"])
    assert Path(fit["path"]).exists()
    main(["cache", "prune", "--kind", "fits"])
    assert not Path(fit["path"]).exists()


def test_choosing_the_epoch_on_test_is_flagged_and_keyed_apart(here: Path) -> None:
    params = "encoder: resnet10t, decoder_width: 4, epochs: 6, batch_size: 2, warmup_epochs: 0"
    rows = [
        f"- {{name: cnn-unet, label: {how}, params: {{{params}, selection: {how}}}}}\n"
        for how in ("last", "study")
    ]
    path = suite(here, "".join(rows), extra="defaults: {weights: random-init}")
    assert main(["run", path, "--limit", "2"]) == 0
    by_label = {item.label: item for item in records()}
    assert not by_label["last"].chosen_on_test
    study = by_label["study"]
    assert study.chosen_on_test
    tested = {
        entry["epoch"]: entry["test_metrics_mean"]
        for entry in study.history
        if "test_metrics_mean" in entry
    }
    assert set(tested) == {5.0, 6.0}
    best = min(tested, key=lambda epoch: tested[epoch])
    assert study.selection == (
        f"epoch {best:.0f} of 6: lowest mean of the nine metrics on the test images (study)"
    )
    # The figure it was chosen by is the one the record shows under the study's protocol.
    shown = {score.protocol.name: score for score in study.scores}["nyu-study-scaled"]
    means = [value.mean for value in shown.metrics.values()]
    assert tested[best] == pytest.approx(sum(means) / len(means), rel=1e-5)
    assert "chosen on the test" in (here / "leaderboard" / "README.md").read_text()
    # The same suite with other test images is another fit.
    assert main(["run", path, "--limit", "1"]) == 0
    assert len({item.keys.fit for item in records() if item.label == "study"}) == 2


MSA = """
- name: msa
  label: With SAM
  params:
    encoder:
      embed_dim: 32
      vision_cfg: {layers: [1, 1, 1, 1], width: 8, image_size: 64}
      text_cfg: {width: 32, heads: 2, layers: 1}
    weights: random-init
    segments: sam
    epochs: 1
- name: constant-depth
"""


def test_cells_that_need_sam_are_blocked_until_segments_are_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.unit.encoders.tiny_sam import write_tiny_sam

    path = suite(here, MSA)
    assert main(["plan", path]) == 0
    assert main(["run", path]) == 1, "blocked cells leave the suite incomplete"
    shown = " ".join(capsys.readouterr().out.split())
    assert "BLOCKED With SAM" in shown
    assert "bench data prepare" in shown
    assert [item.method.name for item in records()] == ["constant-depth"]

    write_tiny_sam(here / "sam.pth")
    prepare = ["data", "prepare", path, "--segments", "sam", "--checkpoint", "sam.pth"]
    assert main([*prepare, "--device", "cpu"]) == 0
    assert "7 images segmented" in capsys.readouterr().out
    assert main(["run", path]) == 0
    [record] = [item for item in records() if item.method.name == "msa"]
    assert record.status == "ok"
    assert [item.origin for item in record.weights] == ["random-init", "file"]


def test_a_sam_checkpoint_that_is_not_there_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here, MSA)
    command = ["data", "prepare", path, "--segments", "sam", "--checkpoint", "nowhere.pth"]
    assert main(command) == 2
    assert "nowhere.pth" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_goes_on_later(here: Path, kind: signal.Signals) -> None:
    path = suite(here, "- name: sleepy\n- name: constant-depth\n")
    (here / "plugins" / "sleepy.py").write_text(
        "from bench import Method, hookimpl\n"
        "class Sleepy(Method):\n"
        "    name = summary = 'sleepy'\n"
        "    def predict(self, batch):\n"
        "        import pathlib, time\n"
        "        if not pathlib.Path('awake').exists():\n"
        "            pathlib.Path('asleep').touch()\n"
        "            time.sleep(60)\n"
        "        return batch.image[:, :1] * 0 + 1\n"
        "@hookimpl\n"
        "def register_methods():\n"
        "    return [Sleepy]\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", path],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (here / "asleep").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run the same command again to go on" in err
    assert "Traceback" not in err
    left = [p.name for p in Path(os.environ["BENCH_CACHE"]).rglob("*.tmp")]
    assert left == []
    (here / "awake").touch()
    assert main(["run", path]) == 0
    assert len(records()) == 2
