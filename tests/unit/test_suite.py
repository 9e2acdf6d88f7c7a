from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.data.base import Dataset, DatasetParams
from bench.errors import DataError, SuiteError, UnknownNameError
from bench.method import Method, Params
from bench.paths import DataPath
from bench.suite import Suite, builtin_suites, find_suite, load_suite

BROKEN = Path(__file__).parents[1] / "broken" / "suites"


class ConstantParams(Params):
    depth: float = Field(2.5, gt=0)


class Constant(Method):
    name = "constant"
    summary = "one number"
    Params = ConstantParams

    def predict(self, batch: Any) -> Any:
        raise NotImplementedError


class Encoder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = 64
    layers: int = 2


class NetParams(Params):
    loss: Literal["l1", "l2"] = "l1"
    weights: str = "pretrained"
    segments: str = "none"
    epochs: int = 3
    learning_rate: float = 1e-3
    encoder: str | Encoder = "small"
    options: dict[str, Any] = Field({})
    checkpoint: DataPath | None = None

    @model_validator(mode="after")
    def _check(self) -> NetParams:
        if self.epochs == 13:
            raise ValueError("epochs must not be 13")
        if self.epochs == 14:
            raise DataError("no 14")
        return self


class Net(Constant):
    name = "net"
    Params = NetParams
    seeded = True


class Clip(Constant):
    name = "clip"
    Params = type("ClipParams", (Params,), {"__annotations__": {"weights": str}, "weights": "x"})


class NyuParams(DatasetParams):
    path: DataPath


class Nyu(Dataset):
    name = "nyu"
    summary = "photographs"
    Params: ClassVar[type[DatasetParams]] = NyuParams

    def fingerprint(self) -> str:
        raise NotImplementedError

    def splits(self) -> Any:
        raise NotImplementedError

    def read(self, image_id: str, variant: Any) -> Any:
        raise NotImplementedError


class RoomsParams(DatasetParams):
    images: int = Field(256, ge=1)


class Rooms(Nyu):
    name = "rooms"
    Params = RoomsParams


def named(*names: str) -> dict[str, Any]:
    return {name: SimpleNamespace(name=name) for name in names}


class FakeRegistry:
    methods: ClassVar[dict[str, type[Method]]] = {"constant": Constant, "net": Net, "clip": Clip}
    datasets: ClassVar[dict[str, type[Dataset]]] = {"nyu": Nyu, "rooms": Rooms}
    protocols: ClassVar[dict[str, Any]] = named("full", "nyu-study", "nyu-eigen")
    metrics: ClassVar[dict[str, Any]] = named("delta1", "abs_rel", "rmse")
    broken: ClassVar[list[object]] = []


REGISTRY = FakeRegistry()
HEAD = """\
suite: tiny
dataset: {name: rooms}
protocols: [full]
"""
MINIMAL = HEAD + "methods:\n  - name: constant\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "tiny.yml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def load(path: Path, *sets: str, only: tuple[str, ...] = ()) -> Suite:
    return load_suite(path, REGISTRY, sets=sets, only=only)


def refused(path: Path, *sets: str, only: tuple[str, ...] = ()) -> str:
    with pytest.raises(SuiteError) as caught:
        load(path, *sets, only=only)
    message = str(caught.value)
    assert message.isprintable()
    return message.replace(f"{path.parent}/", "")


def labels(suite: Suite) -> list[str]:
    return [cell.label for cell in suite.cells]


# ---- what a suite says ---------------------------------------------------------------------


def test_a_minimal_suite_takes_every_metric_and_drops_predictions(write: Write) -> None:
    suite = load(write(MINIMAL))
    assert (suite.name, suite.description, suite.predictions) == ("tiny", "", "drop")
    assert suite.metrics == ("delta1", "abs_rel", "rmse")
    assert [protocol.name for protocol in suite.protocols] == ["full"]
    assert isinstance(suite.dataset, Rooms)
    assert suite.dataset.params.images == 256
    (cell,) = suite.cells
    assert (cell.method, cell.params, cell.label) == (Constant, ConstantParams(), "constant")
    assert cell.seed is None


def test_metrics_keep_the_registrys_order(write: Write) -> None:
    assert load(write(MINIMAL + "metrics: [rmse, delta1]\n")).metrics == ("delta1", "rmse")


def test_params_beat_defaults_and_defaults_reach_only_methods_that_have_them(
    write: Write,
) -> None:
    suite = load(
        write(
            HEAD
            + """\
defaults: {weights: random-init, epochs: 5}
methods:
  - {name: constant, params: {depth: 3}}
  - {name: net, params: {epochs: 7}}
  - name: clip
"""
        )
    )
    constant, net, clip = (cell.params for cell in suite.cells)
    assert constant == ConstantParams(depth=3)
    assert net == NetParams(weights="random-init", epochs=7)
    assert clip.model_dump() == {"weights": "random-init"}


def test_empty_mappings_may_be_left_open(write: Write) -> None:
    suite = load(write(HEAD + "defaults:\nmethods:\n  - name: net\n    params:\n    matrix:\n"))
    assert labels(suite) == ["net"]


def test_scalars_are_what_they_look_like(write: Write) -> None:
    text = "{rate: 1e-4, flag: no, at: 12:30, ten: 010, hex: 0xff, quoted: '1', nothing: ~}"
    rows = f"methods:\n  - {{name: net, params: {{options: {text}}}}}\n"
    assert load(write(HEAD + rows)).cells[0].params.model_dump()["options"] == {
        "rate": 1e-4,
        "flag": "no",
        "at": "12:30",
        "ten": 10,
        "hex": 255,
        "quoted": "1",
        "nothing": None,
    }


def test_seeds_multiply_seeded_methods_only(write: Write) -> None:
    suite = load(
        write(
            HEAD
            + """\
seeds: [1, 2]
methods:
  - name: net
  - {name: net, params: {loss: l2}, seeds: [7], label: other}
  - name: constant
"""
        )
    )
    assert [(cell.label, cell.seed) for cell in suite.cells] == [
        ("net", 1),
        ("net", 2),
        ("other", 7),
        ("constant", None),
    ]


def test_the_seed_is_1_where_none_is_named(write: Write) -> None:
    assert load(write(HEAD + "methods: [{name: net}]\n")).cells[0].seed == 1


def test_a_matrix_is_the_product_in_the_order_written(write: Write) -> None:
    suite = load(
        write(
            HEAD
            + """\
methods:
  - name: net
    label: MSA (L1)
    matrix: {segments: [none, sam], loss: [l1, l2]}
"""
        )
    )
    assert [(cell.params.segments, cell.params.loss) for cell in suite.cells] == [
        ("none", "l1"),
        ("none", "l2"),
        ("sam", "l1"),
        ("sam", "l2"),
    ]
    assert labels(suite)[3] == "MSA (L1) · segments=sam, loss=l2"


def test_a_label_may_place_values_itself(write: Write) -> None:
    suite = load(
        write(
            HEAD
            + """\
methods:
  - name: net
    label: "MSA ({loss}, {epochs} epochs)"
    matrix: {loss: [l1], segments: [sam]}
"""
        )
    )
    assert labels(suite) == ["MSA (l1, 3 epochs) · segments=sam"]


def test_unlabelled_rows_of_one_method_are_told_apart(write: Write) -> None:
    rows = "methods: [{name: constant}, {name: constant, params: {depth: 3}}, {name: net}]\n"
    assert labels(load(write(HEAD + rows))) == ["constant", "constant · depth=3", "net"]


def test_matrix_values_may_be_mappings(write: Write) -> None:
    rows = "methods: [{name: net, matrix: {encoder: [small, {width: 8}]}}]\n"
    suite = load(write(HEAD + rows))
    assert suite.cells[1].params.encoder == Encoder(width=8)
    assert labels(suite)[1] == 'net · encoder={"width":8}'


def test_paths_count_from_the_file_they_stand_in(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    write(
        "suite: base\ndataset: {name: nyu, path: a.mat}\nprotocols: [full]\nmethods: [{name: net}]",
        "base/base.yml",
    )
    child = write("extends: base/base.yml\ndefaults: {checkpoint: b.pt}\n")
    suite = load(child)
    assert suite.dataset.params.path == tmp_path / "base" / "a.mat"
    assert suite.cells[0].params.checkpoint == tmp_path / "b.pt"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert load(child, "dataset.path=c.mat").dataset.params.path == tmp_path / "here" / "c.mat"


def test_environment_variables_expand_in_paths_only(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEWHERE", "/somewhere")
    suite = load(
        write(
            "suite: a\ndescription: $SOMEWHERE\ndataset: {name: nyu, path: $SOMEWHERE/a.mat}\n"
            "protocols: [full]\nmethods: [{name: net}]\n"
        )
    )
    assert suite.dataset.params.path == Path("/somewhere/a.mat")
    assert suite.description == "$SOMEWHERE"


def test_a_protocol_can_be_defined_in_the_suite(write: Write) -> None:
    suite = load(write(MINIMAL.replace("[full]", "[full, {name: near, valid_max: 4, flip: true}]")))
    full, near = suite.protocols
    assert full is REGISTRY.protocols["full"]
    assert (near.name, near.valid_max, near.flip) == ("near", 4.0, True)


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ("{flip: true}", "protocols.0.name: is missing; add it"),
        ("{name: near, filp: true}", "protocols.0.filp: unknown key; did you mean 'flip'?"),
        ("{name: near, clamp: 3}", "protocols.0.clamp: must be a list, not 3"),
        ("{name: near, valid_max: 0}", "protocols.0: valid_min 0.001 must be below valid_max 0"),
        ("{name: full}", "protocols.0.name: 'full' is a registered protocol; give this one anoth"),
        ("{name: Near}", "protocols.0.name: must match pattern"),
        ("3", "protocols.0: must be text or must be a mapping, not 3"),
    ],
)
def test_a_wrong_protocol_is_refused(write: Write, definition: str, problem: str) -> None:
    message = refused(write(MINIMAL.replace("[full]", f"[{definition}]")))
    assert message.startswith(f"tiny.yml:3: {problem}")


def test_a_suite_can_be_pickled_cell_by_cell(write: Write) -> None:
    suite = load(write(HEAD + "methods: [{name: net, params: {options: {a: [b]}}}]\n"))
    params = suite.cells[0].params
    assert pickle.loads(pickle.dumps(params)) == params
    assert type(params.model_dump()["options"]) is dict


# ---- extends -------------------------------------------------------------------------------


def test_extends_merges_mappings_and_replaces_lists(write: Write) -> None:
    write(
        """\
suite: base
dataset: {name: rooms, images: 8, depth: filled}
protocols: [full, nyu-eigen]
defaults: {weights: a, epochs: 4}
methods: [{name: net}, {name: clip}]
""",
        "base.yml",
    )
    suite = load(
        write(
            "extends: base.yml\nsuite: child\ndataset: {images: 9}\nprotocols: [nyu-study]\n"
            "defaults: {epochs: 9}\n"
        )
    )
    assert suite.name == "child"
    assert (suite.dataset.params.images, suite.dataset.params.depth) == (9, "filled")
    assert [protocol.name for protocol in suite.protocols] == ["nyu-study"]
    assert suite.cells[0].params == NetParams(weights="a", epochs=9)
    assert len(suite.cells) == 2


def test_another_data_set_does_not_inherit_the_first_ones_parameters(write: Write) -> None:
    write(MINIMAL.replace("{name: rooms}", "{name: nyu, path: x.mat}"), "base.yml")
    suite = load(write("extends: base.yml\ndataset: {name: rooms}\n"))
    assert isinstance(suite.dataset, Rooms)


def test_a_ring_of_suites_is_refused_with_its_names(write: Write) -> None:
    write("extends: c.yml\n", "b.yml")
    write("extends: ./tiny.yml\n", "c.yml")
    message = refused(write("# a\nextends: b.yml\n"))
    assert message == (
        "c.yml:1: extends: extends itself: tiny.yml -> b.yml -> c.yml -> tiny.yml; break the ring"
    )


def test_a_missing_parent_is_named_with_the_line(write: Write) -> None:
    write(MINIMAL, "base.yml")
    message = refused(write("# a\n\nextends: bsae.yml\n"))
    assert message == (
        "tiny.yml:3: extends: cannot read 'bsae.yml': No such file or directory; "
        "did you mean 'base.yml'?"
    )


def test_a_mistake_in_the_parent_is_reported_where_it_stands(write: Write) -> None:
    write(MINIMAL + "predictons: keep\n", "base.yml")
    message = refused(write("extends: base.yml\n"))
    assert message == "base.yml:6: predictons: unknown key; did you mean 'predictions'?"


@pytest.mark.parametrize("parent", ["3", "[a.yml]", "''", "null", '"a\\0b"', f"'{'x' * 5000}'"])
def test_extends_must_be_a_path(write: Write, parent: str) -> None:
    assert refused(write(f"extends: {parent}\n")).startswith("tiny.yml:1: extends: ")


# ---- --set ---------------------------------------------------------------------------------


def test_set_replaces_values_by_dotted_path(write: Write) -> None:
    path = write(HEAD + "methods: [{name: net, params: {loss: l2}}, {name: constant}]\n")
    sets = (
        "dataset.images=3",
        "dataset.depth={train: filled, test: filled}",
        "methods.0.params.loss=l1",
        "methods.1.params.depth=1e1",
        "defaults.weights=random-init",
        "seeds=[4, 5]",
    )
    suite = load(path, *sets)
    assert suite.overrides == sets
    assert suite.dataset.params.images == 3
    assert suite.dataset.params.variant("test") == "filled"
    assert [cell.seed for cell in suite.cells] == [4, 5, None]
    assert suite.cells[0].params == NetParams(loss="l1", weights="random-init")
    assert suite.cells[2].params == ConstantParams(depth=10)


def test_a_later_set_wins(write: Write) -> None:
    suite = load(write(MINIMAL), "dataset.images=3", "dataset.images=4")
    assert suite.dataset.params.images == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dataset.images", "must be KEY=VALUE, such as dataset.path=FILE"),
        ("=3", "must be KEY=VALUE, such as dataset.path=FILE"),
        ("dataset..images=3", "must be KEY=VALUE, such as dataset.path=FILE"),
        ("datset.images=3", "datset: unknown key; did you mean 'dataset'?"),
        ("dataset.imags=3", "data set 'rooms' has no parameter 'imags'; did you mean 'images'?"),
        ("dataset.images=many", "must be a whole number, not 'many'"),
        ("dataset.images=0", "must be greater than or equal to 1, not 0"),
        ("dataset={name: rooms, imgs: 3}", "dataset.imgs: data set 'rooms' has no parameter"),
        ("dataset.name=room", "unknown data set 'room'; did you mean 'rooms'?"),
        ("dataset.name=nyu", "dataset.path: data set 'nyu' needs this parameter; add it"),
        ("dataset.images.x=3", "dataset.images: must be a whole number, not a mapping"),
        ("suite.x=3", "'suite' is 'tiny', which holds no 'x'; set it as a whole"),
        ("methods.1.name=net", "'methods' is a list without an index '1'; it has methods.0 to"),
        ("methods.-1.name=net", "'methods' is a list without an index '-1'"),
        ("methods.net.label=x", "'methods' is a list without an index 'net'"),
        ("methods.0.parms.depth=3", "methods.0.parms: unknown key; did you mean 'params'?"),
        ("methods.0.params.dept=3", "method 'constant' has no parameter 'dept'; did you mean 'dep"),
        ("defaults.dept=3", "no method of this suite has a parameter 'dept'; did you mean 'depth'"),
        ("defaults.weights=x", "no method of this suite has a parameter 'weights'; known: depth"),
        ("protocols.0=ful", "unknown protocol 'ful'; did you mean 'full'?"),
        ("metrics=[rms]", "metrics.0: unknown metric 'rms'; did you mean 'rmse'?"),
        ("predictions=kep", "must be 'keep' or 'drop', not 'kep'; did you mean 'keep'?"),
        ("seeds=[true]", "seeds.0: must be a whole number, not true"),
        ("seeds=[1, 1]", "holds 1 twice; keep one"),
        ("extends=other.yml", "extends cannot be overridden; run the other suite instead"),
        ("dataset.path=*here", "no anchor '&here' before this alias; quote text that begins '*'"),
        ("dataset.path={a", "not valid YAML: "),
        ("dataset.path=!!x y", "tags ("),
        ("a" + ".a" * 40 + "=1", "more than 32 steps; no suite is that deep"),
        ("methods.0.label=\x1b[31m", "a control character; remove or escape it"),
        ("methods.0.label=\udc80", "not UTF-8 text"),
    ],
)
def test_a_wrong_set_is_named_as_it_was_given(write: Write, text: str, problem: str) -> None:
    message = refused(write(MINIMAL), text)
    source, _, rest = message.partition(": " + problem)
    printable = text.isprintable()
    assert source == f"--set {text}" if printable else source.startswith("--set methods.0.label=")
    assert rest or message.endswith(problem)


def test_what_set_leaves_standing_of_another_data_set_is_explained(write: Write) -> None:
    text = MINIMAL.replace("{name: rooms}", "{name: nyu, path: x.mat}")
    assert refused(write(text), "dataset.name=rooms") == (
        "tiny.yml:2: dataset.path: data set 'rooms' has no parameter 'path'; did you mean "
        "'depth'? (--set 'dataset={name: rooms}' drops what the suite says of its own data set)"
    )


# ---- --only --------------------------------------------------------------------------------

THREE = (
    HEAD
    + """\
methods:
  - {name: constant, label: Lower bound}
  - {name: net, matrix: {loss: [l1, l2]}}
"""
)


@pytest.mark.parametrize(
    ("globs", "chosen"),
    [
        (("net",), ["net · loss=l1", "net · loss=l2"]),
        (("NET[loss=l2]",), ["net · loss=l2"]),
        (("*[loss=*]",), ["net · loss=l2"]),
        (("lower*",), ["Lower bound"]),
        (("*loss=l?", "constant"), ["Lower bound", "net · loss=l1", "net · loss=l2"]),
    ],
)
def test_only_selects_by_name_label_or_slug(
    write: Write, globs: tuple[str, ...], chosen: list[str]
) -> None:
    assert labels(load(write(THREE), only=globs)) == chosen


def test_only_that_matches_nothing_says_what_there_is(write: Write) -> None:
    assert refused(write(THREE), only=("net", "nit")) == (
        "--only nit: matches no cell of suite 'tiny'; it has 'constant', 'Lower bound', 'net', "
        "'net · loss=l1', 'net · loss=l2'"
    )


# ---- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yml")), ids=lambda path: path.stem)
def test_broken_suite(path: Path) -> None:
    """Each file of the catalogue carries its own message: ``# expect: LINE: KEY: ...``."""
    text = path.read_text(encoding="utf-8")
    (expected,) = [
        line.removeprefix("# expect: ")
        for line in text.splitlines()
        if line.startswith("# expect: ")
    ]
    assert refused(path) == f"{path.name}:{expected}"


def test_the_catalogue_is_there() -> None:
    assert len(list(BROKEN.glob("*.yml"))) > 20


def test_a_plugin_that_did_not_load_is_named_with_an_unknown_name(write: Write) -> None:
    registry = FakeRegistry()
    registry.broken = ["plugin 'msa' (msa.py) did not load: SyntaxError"]  # type: ignore[misc]
    with pytest.raises(SuiteError, match=r"unknown method 'msa'.*SyntaxError"):
        load_suite(write(MINIMAL.replace("constant", "msa")), registry)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "tiny.yml: empty"),
        (b"\n# nothing\n", "tiny.yml: empty"),
        (b"a: 1\nb: \xff\n", "tiny.yml:2: not UTF-8 text"),
        (b"a: 1\nb: \x07\n", "tiny.yml:2: a control character"),
        ("a: é\nb: \x07\n".encode(), "tiny.yml:2: a control character"),
        (b"suite: a\n---\nsuite: b\n", "tiny.yml:2: a second document begins here"),
        (b"#" * 1_000_001, "tiny.yml: larger than 1,000,000 bytes"),
        (b"a: " + b"[" * 100_000, "tiny.yml:1: a." + "0." * 31 + "0: nested deeper than 32 levels"),
        (b"a: &x [*x]\n", "tiny.yml:1: a.0: the alias '*x' holds itself"),
        (b"a: " + b"9" * 5000, "tiny.yml:1: a: a number of more than 100 digits"),
        (b"a: 0x" + b"9" * 5000, "tiny.yml:1: a: a number of more than 100 digits"),
    ],
)
def test_what_is_no_suite_is_refused(write: Write, content: bytes, problem: str) -> None:
    path = write("")
    path.write_bytes(content)
    assert refused(path).startswith(problem)


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    assert load(write("\ufeff" + MINIMAL)).name == "tiny"


def test_a_bomb_of_aliases_is_defused_at_once(write: Write) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.perf_counter()
    assert "more than 500,000 values" in refused(write("\n".join(rows)))
    deep = [f"b0: &b0 {'[' * 20}{']' * 20}"]
    deep += [f"b{n}: &b{n} {'[' * 20}*b{n - 1}{']' * 20}" for n in range(1, 500)]
    assert "nested deeper than 32 levels" in refused(write("\n".join(deep)))
    assert time.perf_counter() - started < 5


def test_aliases_are_followed(write: Write) -> None:
    text = "methods:\n  - {name: net, params: &p {epochs: 5}}\n  - {name: net, params: *p}\n"
    message = refused(write(HEAD + text))
    assert message.startswith("tiny.yml:6: methods.1: the same method, parameters and seed as in")


def test_a_matrix_too_large_is_refused_before_it_is_made(write: Write) -> None:
    keys = ", ".join(f"p{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for n in range(9))
    message = refused(write(HEAD + f"methods: [{{name: net, matrix: {{{keys}}}}}]\n"))
    assert "1,000,000,000 cells up to here, at most 100,000 are allowed" in message


def test_ten_thousand_cells_load_in_seconds(write: Write) -> None:
    values = json.dumps(list(range(10_000)))
    path = write(HEAD + f"methods:\n  - {{name: net, matrix: {{epochs: {values}}}}}\n")
    path.write_text(path.read_text().replace("13, 14,", ""))
    started = time.perf_counter()
    assert len(load(path).cells) == 9_998
    assert time.perf_counter() - started < 6


def test_an_unreadable_suite_is_one_line(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.yml").startswith("cannot read suite 'no.yml': No such file")
    assert refused(tmp_path).startswith("cannot read suite")


# ---- finding suites ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quickstart", "quickstart.yml", "suites/quickstart.yml"])
def test_a_built_in_suite_is_found_by_name_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_suite(name) == builtin_suites()["quickstart"]
    (tmp_path / "suites").mkdir()
    own = tmp_path / name
    own.write_text("suite: mine\n")
    assert find_suite(name) == Path(name)


def test_a_suite_nobody_knows_gets_a_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"no suite file 'quikstart.yml'.*'quickstart'\?"):
        find_suite("quikstart.yml")
    with pytest.raises(UnknownNameError):
        find_suite("elsewhere/quickstart.yml")
    with pytest.raises(UnknownNameError):
        find_suite("x" * 5000)
    with pytest.raises(SuiteError, match="is a folder"):
        find_suite(tmp_path)


def test_reading_a_suite_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, bench.suite; heavy = {'torch', 'pandas', 'scipy', 'h5py', 'timm', 'open_clip'}"
        "; sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


# ---- anything at all -----------------------------------------------------------------------

WORDS = [
    *("suite", "description", "dataset", "protocols", "metrics", "seeds", "defaults", "methods"),
    *("predictions", "name", "label", "params", "matrix", "extends", "depth", "train", "test"),
    *("net", "constant", "rooms", "nyu", "full", "loss", "l1", "encoder", "width", "rmse", "keep"),
    *("path", "images", "{loss}", "{x}", "$HOME", "$NONE", "~nobody", ".", "*", "a\x00b", ""),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**40)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | SCALARS, inner, max_size=4)
    ),
    max_leaves=12,
)
SUITES = st.fixed_dictionaries(
    {},
    optional={
        "suite": st.just("a") | VALUES,
        "dataset": st.just({"name": "rooms"}) | VALUES,
        "protocols": st.just(["full"]) | VALUES,
        "metrics": VALUES,
        "seeds": VALUES,
        "defaults": VALUES,
        "methods": st.just([{"name": "net"}])
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["net", "constant"])},
                optional={"params": VALUES, "matrix": VALUES, "label": VALUES, "seeds": VALUES},
            ),
            max_size=3,
        )
        | VALUES,
    },
)
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def loads_or_is_refused(path: Path, *sets: str) -> None:
    message = ""
    try:
        load_suite(path, REGISTRY, sets=sets)
    except SuiteError as error:
        message = str(error)
    assert message.isprintable()


@FUZZ
@given(SUITES | VALUES)
def test_any_tree_loads_or_is_refused_in_one_line(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "any.yml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    loads_or_is_refused(path)


@FUZZ
@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!|>'\"#%@\t\n ,?0.~", max_size=40))
def test_any_bytes_load_or_are_refused(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "any.yml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    loads_or_is_refused(path)


@FUZZ
@given(
    st.lists(st.sampled_from([*WORDS, "0", "1", "9" * 30]), min_size=1, max_size=4).map(".".join),
    VALUES.map(lambda value: yaml.safe_dump(value, default_flow_style=True)) | st.text(max_size=9),
)
def test_any_override_loads_or_is_refused(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "any.yml"
    path.write_text(HEAD + "methods: [{name: net}, {name: constant}]\n")
    loads_or_is_refused(path, f"{key}={value}")
