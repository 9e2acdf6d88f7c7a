from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders import sources
from bench.encoders.clip import FrozenClip, fit_to_stride, normalise
from bench.encoders.config import ClipConfig, ClipParams
from bench.encoders.weights import Weights
from bench.errors import DataError, MethodError


def random_init(encoder: str | dict[str, Any]) -> FrozenClip:
    if isinstance(encoder, str):
        return FrozenClip.build(encoder, Weights("open_clip", encoder, "random-init"))
    config = ClipConfig.model_validate(encoder)
    return FrozenClip.build(config, Weights("open_clip", "custom", "random-init"))


def from_file(encoder: dict[str, Any], path: Path) -> FrozenClip:
    config = ClipConfig.model_validate(encoder)
    return FrozenClip.build(config, Weights("open_clip", "custom", str(path)))


def images(batch: int, height: int, width: int) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(2))


def scrambled(clip: FrozenClip) -> dict[str, Tensor]:
    """Weights that no initialisation gives, batch norm statistics included."""
    generator = torch.Generator().manual_seed(11)
    return {
        name: value + 0.05 * torch.rand(value.shape, generator=generator)
        if value.is_floating_point()
        else value
        for name, value in clip.clip.state_dict().items()
    }


@pytest.fixture(scope="module")
def rn50() -> FrozenClip:
    return random_init("RN50")


def test_rn50_pyramid_at_the_studys_size(rn50: FrozenClip) -> None:
    image = images(1, 416, 544)
    pyramid = rn50.pyramid(image)
    assert [tuple(level.shape[1:]) for level in pyramid] == [
        (3, 416, 544),
        (64, 208, 272),
        (256, 104, 136),
        (512, 52, 68),
        (1024, 26, 34),
        (2048, 13, 17),
    ]
    assert torch.equal(pyramid[0], image)
    assert torch.equal(pyramid[-1], rn50.tokens(image))


def test_rn50_tokens_are_what_open_clip_pools(rn50: FrozenClip) -> None:
    pooled: list[Tensor] = []
    hook = rn50.clip.visual.attnpool.register_forward_pre_hook(
        lambda _, inputs: pooled.append(inputs[0])
    )
    image = images(1, 224, 224)
    rn50.clip.encode_image(image)
    hook.remove()
    torch.testing.assert_close(rn50.tokens(image), pooled[0], rtol=1e-6, atol=0)


def test_vit_tokens_at_the_native_grid_are_open_clips_own(tiny_vit: dict[str, Any]) -> None:
    clip = random_init(tiny_vit)
    visual = clip.clip.visual
    visual.output_tokens = True
    image = images(2, 64, 64)
    _, sequence = visual(image)
    wanted = (sequence @ visual.proj).transpose(1, 2).reshape(2, 32, 4, 4)
    torch.testing.assert_close(clip.tokens(image), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(96, 128), (32, 48)], ids=["larger", "smaller"])
def test_vit_positions_are_resized_in_two_dimensions(
    tiny_vit: dict[str, Any], size: tuple[int, int]
) -> None:
    from open_clip.model import resize_pos_embed

    clip = random_init(tiny_vit)
    visual = clip.clip.visual
    grid = (size[0] // 16, size[1] // 16)
    larger = random_init(tiny_vit)
    larger.clip.visual.grid_size = grid
    state = {"visual.positional_embedding": visual.positional_embedding.detach()}
    resize_pos_embed(state, larger.clip)
    larger.clip.visual.positional_embedding = nn.Parameter(state["visual.positional_embedding"])
    image = images(1, *size)
    assert clip.tokens(image).shape == (1, 32, *grid)
    torch.testing.assert_close(clip.tokens(image), larger.tokens(image), rtol=1e-5, atol=1e-6)


def test_token_grids_at_the_studys_size(
    tiny_resnet: dict[str, Any], tiny_vit: dict[str, Any]
) -> None:
    assert random_init(tiny_resnet).tokens(images(1, 416, 544)).shape == (1, 256, 13, 17)
    assert random_init(tiny_vit).tokens(images(1, 416, 544)).shape == (1, 32, 26, 34)


@pytest.mark.parametrize(
    ("size", "stride", "wanted"),
    [
        ((416, 544), 32, (416, 544)),
        ((480, 640), 32, (480, 640)),
        ((120, 160), 32, (128, 160)),
        ((5, 200), 32, (32, 192)),
        ((120, 160), 16, (128, 160)),
    ],
)
def test_other_sizes_are_resized_to_whole_tokens(
    size: tuple[int, int], stride: int, wanted: tuple[int, int]
) -> None:
    assert fit_to_stride(images(1, *size), stride).shape[-2:] == wanted


def test_a_transformer_has_no_pyramid(tiny_vit: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match="needs a ResNet"):
        random_init(tiny_vit).pyramid(images(1, 64, 64))


def test_random_init_is_fixed_leaves_the_random_state_alone_and_opens_no_socket(
    tiny: dict[str, Any], no_sockets: None
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = random_init(tiny)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two = random_init(tiny)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    one.text_embeddings(ClipParams().sentences())


def test_it_is_frozen_in_eval_mode_whatever_its_parent_does(tiny_resnet: dict[str, Any]) -> None:
    clip = random_init(tiny_resnet)
    parent = nn.Sequential(clip).train()
    assert not any(module.training for module in clip.modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())
    before = clip.clip.visual.bn1.running_mean.clone()
    clip.tokens(images(2, 64, 64))
    assert torch.equal(clip.clip.visual.bn1.running_mean, before)


def test_text_embeddings_are_normalised_means_of_normalised_embeddings(
    tiny: dict[str, Any],
) -> None:
    from open_clip import tokenize

    clip = random_init(tiny)
    sentences = [["This is far", "This is near"], ["It looks far", "It looks near"]]
    found = clip.text_embeddings(sentences).numpy().astype(np.float64)
    for column in range(2):
        rows = []
        for template in sentences:
            row = clip.clip.encode_text(tokenize([template[column]]))[0].numpy().astype(float)
            rows.append(row / np.sqrt((row**2).sum()))
        mean = np.mean(rows, axis=0)
        np.testing.assert_allclose(
            found[column], mean / np.sqrt((mean**2).sum()), rtol=1e-4, atol=1e-6
        )


def test_text_embeddings_are_computed_once(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = random_init(tiny)
    with torch.inference_mode():
        first = clip.text_embeddings([["far", "near"]])
    monkeypatch.setattr(clip.clip, "encode_text", None)
    assert clip.text_embeddings([["far", "near"]]) is first
    assert not first.is_inference()


def test_a_sentence_that_would_be_cut_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match="longer than the 77 tokens"):
        random_init(tiny).text_embeddings([["far " * 80]])


def openai_archive(state: dict[str, Tensor], path: Path) -> None:
    """TorchScript in the layout of OpenAI's: half precision, three numbers beside the tensors."""

    class Names(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image

    root = Names()
    extras = {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}
    buffers = {name: torch.tensor(value) for name, value in extras.items()}
    for name, tensor in (state | buffers).items():
        module: nn.Module = root
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, Names())
            module = module.get_submodule(parent)
        module.register_buffer(leaf, tensor.half() if tensor.is_floating_point() else tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(root).save(str(path))


def assert_holds(clip: FrozenClip, state: dict[str, Tensor]) -> None:
    for name, value in clip.clip.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_openais_archive_is_loaded_in_float32_with_quick_gelu(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    from open_clip.transformer import QuickGELU

    state = scrambled(random_init(tiny))
    openai_archive(state, tmp_path / "RN50.pt")
    clip = from_file(tiny, tmp_path / "RN50.pt")
    assert_holds(
        clip, {name: t.half().float() if t.is_floating_point() else t for name, t in state.items()}
    )
    assert any(isinstance(module, QuickGELU) for module in clip.modules())
    assert {parameter.dtype for parameter in clip.parameters()} == {torch.float32}


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_state_dicts_and_safetensors_are_loaded(
    ending: str, tiny: dict[str, Any], tmp_path: Path
) -> None:
    from open_clip.transformer import QuickGELU
    from safetensors.torch import save_file

    state = scrambled(random_init(tiny))
    path = tmp_path / f"w{ending}"
    if ending == ".pt":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    clip = from_file(tiny, path)
    assert_holds(clip, state)
    assert not any(isinstance(module, QuickGELU) for module in clip.modules())
    quick = from_file(tiny | {"quick_gelu": True}, path)
    assert any(isinstance(module, QuickGELU) for module in quick.modules())


def test_weights_of_another_architecture_say_what_does_not_fit(
    tiny_resnet: dict[str, Any], tiny_vit: dict[str, Any], tmp_path: Path
) -> None:
    torch.save(random_init(tiny_vit).clip.state_dict(), tmp_path / "w.pt")
    with pytest.raises(MethodError, match=r"missing \(visual.*unexpected \(visual"):
        from_file(tiny_resnet, tmp_path / "w.pt")


def test_a_pickle_that_runs_code_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"visual.proj": print}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="refused"):
        from_file(tiny, tmp_path / "w.pt")


def test_normalisation_uses_the_named_statistics() -> None:
    image = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert normalise(image, "imagenet").abs().max() < 1e-6
    red = (0.485 - 0.48145466) / 0.26862954
    assert normalise(image, "clip")[0, 0, 0, 0].item() == pytest.approx(red, rel=1e-5)


def test_openais_tag_means_quick_gelu(
    tiny_vit: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip.transformer import QuickGELU
    from safetensors.torch import save_file

    repository = tmp_path / "models--timm--vit_base_patch16_clip_224.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    state = random_init(tiny_vit).clip.state_dict()
    save_file(dict(state), repository / "snapshots" / "c0ffee" / sources.OPEN_CLIP_HUB_FILES[0])
    weights = Weights("open_clip", "ViT-B-16", "openai")
    clip = FrozenClip.build(ClipConfig.model_validate(tiny_vit), weights)
    assert any(isinstance(module, QuickGELU) for module in clip.modules())
    assert F.mse_loss(clip.clip.visual.proj, state["visual.proj"]) == 0
