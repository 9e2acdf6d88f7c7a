from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from bench.encoders import sources
from bench.encoders.weights import Weights, WeightsChoice
from bench.errors import BlockedError
from bench.paths import Located

RN50_SHA256 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "file:///nowhere")


def clip(choice: str = "pretrained", architecture: str = "RN50") -> Weights:
    return Weights("open_clip", architecture, choice, "openai")


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def publish(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> str:
    """Stand in for the publisher: RN50.pt under a file:// address, with its hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    put(folder / sha256 / "RN50.pt", content)
    monkeypatch.setattr(sources, "_OPENAI_URL", folder.as_uri())
    monkeypatch.setitem(sources._OPENAI, "RN50", (sha256, "someone/rn50"))
    monkeypatch.setenv("HF_ENDPOINT", (folder / "hub").as_uri())
    return sha256


@pytest.mark.parametrize(
    ("choice", "origin", "name"),
    [
        ("pretrained", "pretrained", "open_clip RN50 (openai)"),
        ("yfcc15m", "pretrained", "open_clip RN50 (yfcc15m)"),
        ("/somewhere/mine.pt", "file", "open_clip RN50 (mine.pt)"),
        ("random-init", "random-init", "open_clip RN50 (random-init)"),
    ],
)
def test_name_and_origin_say_where_the_weights_come_from(
    choice: str, origin: str, name: str
) -> None:
    weights = clip(choice)
    assert (weights.origin, weights.name) == (origin, name)


def test_timm_leaves_the_default_tag_to_the_library() -> None:
    weights = Weights("timm", "resnet50")
    assert weights.name == "timm resnet50 (pretrained)"
    assert weights.key() == "timm/resnet50/pretrained"


def test_key_of_openai_weights_is_their_published_hash_before_any_download() -> None:
    assert clip().key() == clip("openai").key() == RN50_SHA256
    assert clip(architecture="RN50-quickgelu").key() == RN50_SHA256


def test_key_of_other_tags_names_them() -> None:
    assert clip("yfcc15m").key() == "open_clip/RN50/yfcc15m"


def test_key_of_a_file_is_its_content(tmp_path: Path) -> None:
    one = put(tmp_path / "one.pt")
    two = put(tmp_path / "two.pt")
    assert clip(str(one)).key() == clip(str(two)).key() == hashlib.sha256(b"weights").hexdigest()
    assert clip(str(tmp_path / "none.pt")).key() == f"missing:{tmp_path / 'none.pt'}"


def test_table_of_openai_weights_agrees_with_open_clip() -> None:
    from open_clip import get_pretrained_cfg
    from open_clip.pretrained import list_pretrained_models_by_tag

    listed = {name for name in list_pretrained_models_by_tag("openai") if "quickgelu" not in name}
    assert listed == set(sources.openai_architectures())
    for architecture in listed:
        theirs = get_pretrained_cfg(architecture, "openai")
        ours = sources.published("open_clip", architecture, "openai")
        assert ours is not None
        assert ours.url == theirs["url"]
        assert ours.hub == theirs["hf_hub"].strip("/")
        assert ours.sha256 in ours.url


def test_every_openai_architecture_can_be_an_encoder() -> None:
    from bench.encoders.config import architecture

    for name in sources.openai_architectures():
        assert architecture(name).embed_dim >= 512


def test_random_init_is_ready_and_fetches_nothing(no_sockets: None) -> None:
    weights = clip("random-init")
    assert weights.availability().state == "ready"
    assert weights.fetch() is None
    assert weights.record() == {
        "name": "open_clip RN50 (random-init)",
        "origin": "random-init",
        "sha256": None,
    }


def test_a_file_is_ready_and_recorded_by_its_hash(tmp_path: Path) -> None:
    path = put(tmp_path / "mine.pt")
    weights = clip(str(path))
    assert weights.availability().state == "ready"
    assert weights.fetch() == path
    assert weights.record() == {
        "name": "open_clip RN50 (mine.pt)",
        "origin": "file",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }


def test_a_missing_file_blocks_and_is_named(tmp_path: Path) -> None:
    weights = clip(str(tmp_path / "none.pt"))
    assert weights.availability().state == "missing"
    assert "none.pt' does not exist" in weights.availability().reason
    with pytest.raises(BlockedError, match=r"none\.pt' does not exist"):
        weights.fetch()
    assert weights.record()["sha256"] is None


def test_a_folder_is_not_a_weights_file(tmp_path: Path) -> None:
    with pytest.raises(BlockedError, match="is not a file"):
        clip(str(tmp_path)).fetch()


@pytest.mark.parametrize("place", ["data", "cache", "home"])
def test_an_archive_in_a_weights_folder_is_found(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = publish(monkeypatch, tmp_path / "site", b"weights")
    folders = {
        "data": sources.weights_folder(),
        "cache": sources.download_folder(),
        "home": tmp_path / "home" / ".cache" / "clip",
    }
    path = put(folders[place] / "RN50.pt")
    assert clip().availability().state == "ready"
    assert clip().fetch() == path
    assert clip().record()["sha256"] == sha256


def test_an_archive_in_the_hub_cache_is_found(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--timm--resnet50_clip.openai"
    put(repository / "refs" / "main", b"c0ffee")
    path = put(repository / "snapshots" / "c0ffee" / "open_clip_model.safetensors")
    assert clip().availability().state == "ready"
    assert clip().fetch() == path
    assert clip().record()["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_is_not_what_was_published_is_refused() -> None:
    path = put(sources.weights_folder() / "RN50.pt", b"cut short")
    with pytest.raises(BlockedError) as caught:
        clip().fetch()
    assert str(path) in str(caught.value)
    assert "afeb0e10f9e5" in str(caught.value)
    assert "delete it" in str(caught.value)


def test_a_tag_is_found_under_its_own_file_name() -> None:
    path = put(sources.weights_folder() / "ViT-B-16.laion2b_s34b_b88k.safetensors")
    assert clip("laion2b_s34b_b88k", "ViT-B-16").fetch() == path


def test_without_a_network_the_reason_says_what_to_put_where() -> None:
    found = clip().availability()
    assert found.state == "missing"
    for part in ("RN50 (openai)", RN50_SHA256 + "/RN50.pt", str(sources.weights_folder())):
        assert part in found.reason
    assert "\n" not in found.reason
    with pytest.raises(BlockedError) as caught:
        clip().fetch()
    assert str(caught.value) == found.reason


def test_timm_weights_without_a_network_name_the_hub_and_the_file() -> None:
    found = Weights("timm", "resnet50", "a1_in1k").availability()
    assert found.state == "missing"
    assert "huggingface.co/timm/resnet50.a1_in1k" in found.reason
    assert "resnet50.a1_in1k.safetensors" in found.reason


def test_without_a_network_a_cached_default_of_timm_is_not_ruled_out(tmp_path: Path) -> None:
    weights = Weights("timm", "resnet18")
    assert weights.availability().state == "missing"
    repository = tmp_path / "hub" / "models--timm--resnet18.a1_in1k"
    put(repository / "refs" / "main", b"c0ffee")
    path = put(repository / "snapshots" / "c0ffee" / "model.safetensors")
    assert weights.availability().state == "download"
    assert weights.fetch() == path
    assert weights.record()["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_a_file_put_where_the_message_says_is_found(
    online: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, timeout: float) -> None:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    weights = Weights("timm", "resnet18")
    with pytest.raises(BlockedError) as caught:
        weights.fetch()
    place = Path(str(caught.value).split("put it at '")[1].split("'")[0])
    put(place)
    assert weights.fetch() == place


def test_with_a_network_they_will_be_downloaded(online: None, no_sockets: None) -> None:
    assert clip().availability().state == "download"


def test_download_is_checked_and_kept(
    online: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, tmp_path / "site", b"the real thing")
    path = clip().fetch()
    assert path is not None
    assert path == sources.download_folder() / "RN50.pt"
    assert path.read_bytes() == b"the real thing"
    assert clip().availability().state == "ready"
    assert [entry.name for entry in path.parent.iterdir()] == ["RN50.pt"]


def test_a_download_of_something_else_is_thrown_away(
    online: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = publish(monkeypatch, tmp_path / "site", b"the real thing")
    put(tmp_path / "site" / sha256 / "RN50.pt", b"a login page")
    with pytest.raises(BlockedError, match="SHA-256"):
        clip().fetch()
    assert list(sources.download_folder().iterdir()) == []


def test_the_hub_steps_in_where_the_publisher_fails(
    online: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = publish(monkeypatch, tmp_path / "site", b"the real thing")
    (tmp_path / "site" / sha256 / "RN50.pt").unlink()
    hub = tmp_path / "site" / "hub" / "someone" / "rn50" / "resolve" / "main"
    put(hub / "open_clip_pytorch_model.bin", b"its twin")
    path = clip().fetch()
    assert path is not None
    assert path == sources.download_folder() / "RN50.openai.bin"
    assert clip().fetch() == path
    assert clip().record()["sha256"] == hashlib.sha256(b"its twin").hexdigest()


def test_a_connection_that_breaks_off_leaves_nothing(
    online: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(io.BytesIO):
        headers: ClassVar[dict[str, str]] = {"Content-Length": "100"}

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(b"half"))
    with pytest.raises(BlockedError, match="broke off"):
        Weights("timm", "resnet18").fetch()
    assert list(sources.download_folder().iterdir()) == []


def test_a_failed_download_says_how_to_get_the_file(
    online: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = publish(monkeypatch, tmp_path / "site", b"the real thing")
    (tmp_path / "site" / sha256 / "RN50.pt").unlink()
    with pytest.raises(BlockedError) as caught:
        clip().fetch()
    message = str(caught.value)
    assert "RN50 (openai) cannot be had" in message
    assert f"{sha256}/RN50.pt" in message
    assert str(sources.weights_folder()) in message
    assert "\n" not in message


def test_an_unknown_tag_is_refused_with_those_there_are(online: None, no_sockets: None) -> None:
    with pytest.raises(BlockedError, match=r"no tag 'opena1' for RN50; known: .*openai"):
        clip("opena1").fetch()


def test_an_architecture_openai_never_published_is_missing() -> None:
    found = clip(architecture="ViT-B-17").availability()
    assert found.state == "missing"
    assert "did you mean 'ViT-B-16'?" in found.reason


def test_an_inline_encoder_has_no_published_weights() -> None:
    weights = Weights("open_clip", "custom", "pretrained", "openai")
    assert weights.availability().state == "missing"
    with pytest.raises(BlockedError, match="configured inline has no published weights"):
        weights.fetch()


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_segment_anything_weights_go_by_their_published_names(name: str) -> None:
    weights = Weights("segment-anything", name)
    assert f"sam_{name}_" in weights.availability().reason
    put(sources.weights_folder() / f"sam_{name}_0.pth")
    assert weights.availability().state == "missing"


def test_planning_needs_neither_torch_nor_the_libraries() -> None:
    code = (
        "import sys\n"
        "from bench.encoders.weights import Weights\n"
        "from bench.encoders.config import architecture\n"
        "architecture('RN50')\n"
        "for args in (('open_clip', 'RN50', 'pretrained', 'openai'), ('timm', 'resnet50')):\n"
        "    Weights(*args).availability(), Weights(*args).key()\n"
        "print([m for m in ('torch', 'timm', 'open_clip', 'safetensors') if m in sys.modules])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


class Holder(BaseModel):
    weights: WeightsChoice


def test_paths_count_from_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    assert Holder(weights=Located("w/RN50.pt", base=tmp_path)).weights == f"{tmp_path}/w/RN50.pt"
    assert Holder(weights="$HERE/RN50.pt").weights == f"{tmp_path}/RN50.pt"
    assert Holder(weights="RN50.safetensors").weights == str(Path("RN50.safetensors").absolute())


@pytest.mark.parametrize("choice", ["pretrained", "openai", "random-init", "a1_in1k"])
def test_tags_are_kept_as_they_are(choice: str, tmp_path: Path) -> None:
    kept = Holder(weights=Located(choice, base=tmp_path)).weights
    assert kept == choice
    assert type(kept) is str
