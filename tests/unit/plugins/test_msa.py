from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contrib.msa import Msa, MsaParams, register_methods
from bench.contrib.msa.model import MultiScaleAdapter, painted_segments
from bench.data.base import Subset
from bench.data.rooms import Rooms, RoomsParams
from bench.encoders.clip import FrozenClip
from bench.encoders.config import architecture
from bench.encoders.painting import paint
from bench.errors import MethodError
from bench.method import FitContext
from bench.training import loop
from bench.training.images import TrainingBatch, TrainingImages
from bench.types import Batch, Window

CPU = torch.device("cpu")
RESNET = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": {"width": 32, "heads": 2, "layers": 1},
}
TRANSFORMER = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"width": 32, "heads": 2, "layers": 1},
}
TINY: dict[str, Any] = {
    "encoder": RESNET,
    "weights": "random-init",
    "epochs": 2,
    "batch_size": 2,
    "view": "whole",
    "augmentation": "none",
}
CENTRES = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)


def rooms(images: int = 4, height: int = 48, width: int = 64, seed: int = 0) -> Subset:
    made = RoomsParams(
        images=images, test_images=1, height=height, width=width, depth="filled", seed=seed
    )
    data = Rooms(made)
    data.prepare(lambda _: None)
    return Subset.of_split(data, "train")


def method(**params: Any) -> Msa:
    return Msa(MsaParams(**TINY | params), CPU, seed=1)


def fitted(data: Subset, folder: Path | None = None, **params: Any) -> Msa:
    learner = method(**params)
    log = logging.getLogger("test")
    learner.fit(data, FitContext(seed=1, device=CPU, checkpoints=folder, log=log))
    return learner


def images(count: int, height: int = 64, width: int = 96) -> Batch:
    generator = torch.Generator().manual_seed(4)
    return Batch(
        torch.rand(count, 3, height, width, generator=generator),
        Window.whole(height, width),
        tuple(map(str, range(count))),
        segments=torch.randint(0, 5, (count, 1, height, width), generator=generator),
    )


def one_of(batch: Batch, index: int) -> Batch:
    assert batch.segments is not None
    chosen = slice(index, index + 1)
    return Batch(batch.image[chosen], batch.window, ("x",), segments=batch.segments[chosen])


def network(**params: Any) -> MultiScaleAdapter:
    """With weights and statistics that hide nothing: no zeros, no ones."""
    torch.manual_seed(0)
    net = method(**params).build()
    assert isinstance(net, MultiScaleAdapter)
    for name, tensor in net.state_dict().items():
        if not name.startswith("clip.") and tensor.is_floating_point() and tensor.ndim == 1:
            torch.nn.init.uniform_(tensor, 0.1, 1.0)
    return net.eval()


def on_meta(**params: Any) -> MultiScaleAdapter:
    """The full-size network, without memory for its numbers."""
    with torch.device("meta"):
        return MultiScaleAdapter(FrozenClip(architecture("RN50")), MsaParams(**params))


def trained(net: torch.nn.Module) -> int:
    return sum(item.numel() for item in net.parameters() if item.requires_grad)


def tensors(learner: Msa) -> dict[str, Tensor]:
    net = learner.network()
    assert net is not None
    return net.state_dict()


def test_it_has_124_300_609_trained_parameters() -> None:
    assert trained(on_meta()) == 124_300_609
    with_segments = on_meta(segments="sam")
    assert trained(with_segments.decoder) == 124_302_337
    assert with_segments.segments is not None
    assert trained(with_segments.segments) == 180
    assert trained(with_segments) == 124_302_337 + 180


def test_the_pyramid_and_the_output_at_416_by_544() -> None:
    image = torch.empty(1, 3, 416, 544, device="meta")
    assert [tuple(level.shape[1:]) for level in on_meta().clip.pyramid(image)] == [
        (3, 416, 544),
        (64, 208, 272),
        (256, 104, 136),
        (512, 52, 68),
        (1024, 26, 34),
        (2048, 13, 17),
    ]
    assert network()(torch.rand(1, 3, 416, 544)).shape == (1, 1, 416, 544)


def conv_block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """3×3 convolution with bias, batch norm by its running statistics, ReLU."""
    x = F.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1)
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, var, scale, shift = (state[f"{name}.1.{part}"].view(1, -1, 1, 1) for part in parts)
    return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)


def residual_by_definition(net: MultiScaleAdapter, pyramid: list[Tensor]) -> Tensor:
    """U-Net decoder written from the description, in float64."""
    state = {name: value.double() for name, value in net.decoder.state_dict().items()}
    d = [level.double() for level in pyramid]
    x = conv_block(state, "bridge.1", conv_block(state, "bridge.0", d[5]))
    for number in range(5):
        weight, bias = state[f"up.{number}.up.weight"], state[f"up.{number}.up.bias"]
        x = torch.cat([F.conv_transpose2d(x, weight, bias, stride=2), d[4 - number]], dim=1)
        for block in (0, 1):
            x = conv_block(state, f"up.{number}.merge.{block}", x)
    return F.conv2d(x, state["head.weight"], state["head.bias"])


def pyramid_of(net: MultiScaleAdapter, batch: Batch) -> list[Tensor]:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return net.clip.pyramid((batch.image - mean) / std)


def apart(found: Tensor, wanted: Tensor | npt.NDArray[np.float64]) -> float:
    """Largest difference relative to the largest value."""
    wanted = torch.as_tensor(wanted)
    return ((found.detach().double() - wanted).abs().max() / wanted.abs().max()).item()


def test_without_clip_depth_the_decoder_is_the_definition() -> None:
    net, batch = network(), images(1)
    wanted = residual_by_definition(net, pyramid_of(net, batch))
    assert wanted.std() > 1e-3 * wanted.abs().max()
    assert apart(net(batch.image), wanted) < 1e-5


def test_painted_segments_join_the_image() -> None:
    net, batch = network(segments="instances"), images(1)
    assert batch.segments is not None
    assert net.segments is not None
    painted = paint(batch.image, batch.segments, "blend", 0.35)
    state = {name: value.double() for name, value in net.segments.state_dict().items()}
    seen = conv_block(state, "1", conv_block(state, "0", painted.double()))
    pyramid = [level.double() for level in pyramid_of(net, batch)]
    pyramid[0] = torch.cat([pyramid[0], seen], dim=1)
    wanted = residual_by_definition(net, pyramid)
    assert apart(method(segments="instances").forward(net, batch), wanted) < 1e-5


def zero_shot(
    net: MultiScaleAdapter, tokens: Tensor, temperature: float = 0.001
) -> npt.NDArray[np.float64]:
    """Even channels, both sides to unit length, softmax, by loops: (h', w')."""
    text = net.clip.text_embeddings(net.params.sentences()).double().numpy()
    text = [row / math.sqrt(math.fsum(row**2)) for row in text]
    grid = tokens[0].double().numpy()[:: tokens.shape[1] // len(text[0])]
    depth = np.empty(grid.shape[1:])
    for y, x in np.ndindex(depth.shape):
        token = grid[:, y, x] / math.sqrt(math.fsum(grid[:, y, x] ** 2))
        logits = [math.fsum(token * row) / temperature for row in text]
        weights = [math.exp(value - max(logits)) for value in logits]
        depth[y, x] = math.fsum(np.multiply(weights, CENTRES)) / math.fsum(weights)
    return depth


def upsampled(depth: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Bilinear with aligned corners, one axis after the other."""
    h, w = depth.shape
    columns = np.linspace(0, w - 1, width)
    rows = np.linspace(0, h - 1, height)
    wide = np.stack([np.interp(columns, np.arange(w), row) for row in depth])
    return np.stack([np.interp(rows, np.arange(h), column) for column in wide.T], axis=1)


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 0.001), (0.5, 0.02)])
def test_with_clip_depth_it_is_corrected_by_at_most_a_metre(
    weight: float, temperature: float
) -> None:
    encoder = RESNET | {"embed_dim": 128}
    net = network(clip_weight=weight, encoder=encoder, temperature=temperature)
    batch = images(1)
    pyramid = pyramid_of(net, batch)
    residual = residual_by_definition(net, pyramid).detach().numpy()
    known = upsampled(zero_shot(net, pyramid[-1], temperature), 64, 96)
    wanted = weight * known + (2 / (1 + np.exp(-residual)) - 1)
    assert apart(net(batch.image), wanted) < 1e-5
    assert np.ptp(known) > 1e-4


def test_a_clip_weight_of_1_cannot_leave_0_to_4_metres() -> None:
    net = network(clip_weight=1)
    for bias in (-1e4, 1e4):
        torch.nn.init.constant_(net.decoder.head.bias, bias)
        depth = net(images(2).image)
        assert depth.min() >= 0
        assert depth.max() <= 4


def test_it_overfits_four_rooms() -> None:
    settings = {"batch_size": 4, "epochs": 40, "schedule": "constant", "mirror_pass": False}
    history = fitted(rooms(), clip_weight=0, learning_rate=0.02, **settings).history
    assert history[-1]["loss"] <= history[0]["loss"] / 5


def best_possible(learner: Msa, data: Subset) -> float:
    """The L1 loss of the depth nearest the truth among those within 1 m of CLIP's."""
    net = learner.network()
    assert isinstance(net, MultiScaleAdapter)
    values = []
    for index in range(len(data)):
        sample = data[index]
        image = torch.from_numpy(sample.image)[None].float() / 255
        pyramid = pyramid_of(net, Batch(image, Window.whole(*sample.depth.shape), ("x",)))
        known = upsampled(zero_shot(net, pyramid[-1]), *sample.depth.shape)
        nearest = sample.depth.clip(known - 1, known + 1)
        values.append(np.abs(sample.depth - nearest).mean())
    return float(np.mean(values))


@pytest.mark.slow
def test_with_clip_depth_it_gets_within_a_tenth_of_the_best_its_range_allows() -> None:
    data = rooms(height=64, width=96, seed=7)
    learner = fitted(
        data,
        clip_weight=1,
        batch_size=4,
        epochs=300,
        learning_rate=0.3,
        schedule="cosine",
        mirror_pass=False,
    )
    best = best_possible(learner, data)
    assert best > 0.1
    assert best <= learner.history[-1]["loss"] <= 1.1 * best


def test_segments_change_the_prediction_and_the_paint_does_too() -> None:
    data = rooms()
    learner = fitted(data, segments="instances")
    batch = images(1)
    other = Batch(batch.image, batch.window, batch.ids, segments=torch.zeros_like(batch.segments))
    assert not torch.equal(learner.predict(batch), learner.predict(other))
    flat = fitted(data, segments="instances", paint="flat")
    assert flat.history != learner.history


def test_without_segments_to_paint_it_says_so_in_one_line() -> None:
    batch = images(1)
    bare = Batch(batch.image, batch.window, batch.ids)
    learner = method(segments="sam")
    with pytest.raises(MethodError, match="segments: none") as refusal:
        learner.forward(learner.build().eval(), bare)
    assert "\n" not in str(refusal.value)


def test_the_picture_of_segments_is_brightened_on_its_own() -> None:
    images_ = TrainingImages(rooms(images=2), segments=True)
    settings = method(augmentation="study", segments="instances")
    batch = next(settings.training_batches(images_, range(2), seed=1, epoch=1))
    assert isinstance(batch, TrainingBatch)
    for factors in (batch.brightness, batch.paint_brightness):
        assert ((factors >= 0.8) & (factors <= 1.2)).all()
    assert not torch.equal(batch.brightness, batch.paint_brightness)
    assert batch.segments is not None
    as_taken = batch.image / batch.brightness
    wanted = paint(as_taken, batch.segments, "blend") * batch.paint_brightness
    torch.testing.assert_close(painted_segments(batch, "blend"), wanted)
    colours = painted_segments(batch, "flat")
    assert torch.equal(colours, paint(as_taken, batch.segments, "flat") * batch.paint_brightness)


@pytest.mark.parametrize("weight", [0, 1])
def test_save_and_load(tmp_path: Path, weight: float) -> None:
    from safetensors.torch import load_file

    learner = fitted(rooms(), clip_weight=weight, segments="instances")
    learner.save(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    saved = load_file(file)
    assert {name.partition(".")[0] for name in saved} == {"decoder", "segments"}
    again = method(clip_weight=weight, segments="instances")
    again.load(tmp_path)
    assert torch.equal(again.predict(images(2)), learner.predict(images(2)))


def test_a_fit_is_determined_by_its_seed_and_leaves_the_encoder_alone() -> None:
    data = rooms()
    one, other = fitted(data), fitted(data)
    assert all(torch.equal(tensors(one)[name], tensors(other)[name]) for name in tensors(one))
    fresh = method().build().state_dict()
    moved = {name for name, value in tensors(one).items() if not torch.equal(value, fresh[name])}
    assert not any(name.startswith("clip.") for name in moved)
    assert "decoder.bridge.0.1.running_mean" in moved


@pytest.mark.parametrize("weight", [0, 1])
def test_the_batch_size_changes_no_image(weight: float) -> None:
    learner = fitted(rooms(), clip_weight=weight, segments="instances")
    batch = images(5)
    together = learner.predict(batch)
    alone = torch.cat([learner.predict(one_of(batch, index)) for index in range(5)])
    assert (together - alone).abs().max() <= 1e-5


def test_sides_are_brought_to_multiples_of_32() -> None:
    learner = fitted(rooms(height=50, width=70), clip_weight=1, segments="instances")
    assert learner.predict(images(2, 50, 70)).shape == (2, 1, 64, 64)
    assert learner.predict(images(1, 120, 160)).shape == (1, 1, 128, 160)


def test_an_interrupted_fit_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("bench.training.progress.SECONDS_BETWEEN_REPORTS", 0)
    data = rooms()
    settings = {"supervision": "self-supervised", "epochs": 3, "augmentation": "study"}
    whole = fitted(data, **settings)

    def stop(epoch: int, **_: object) -> None:
        if epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        method(**settings).fit(
            data, FitContext(seed=1, device=CPU, checkpoints=tmp_path, report=stop)
        )
    resumed = fitted(data, tmp_path, **settings)
    assert resumed.history == whole.history
    assert all(torch.equal(tensors(whole)[name], tensors(resumed)[name]) for name in tensors(whole))


def test_bf16_trains_and_keeps_clip_exact() -> None:
    learner = fitted(rooms(), clip_weight=1, precision="bf16", segments="instances")
    reference = fitted(rooms(), clip_weight=1, segments="instances")
    assert learner.history[0]["loss"] == pytest.approx(reference.history[0]["loss"], rel=0.02)
    assert learner.predict(images(1)).dtype == torch.float32


@pytest.mark.parametrize("segments", ["none", "instances"])
def test_without_depth_it_learns_that_all_is_one_metre_away(segments: str) -> None:
    data = rooms(height=96, width=128)
    learner = fitted(
        data,
        supervision="self-supervised",
        segments=segments,
        clip_weight=1,
        bin_centres=[2.0] * 7,
        smoothness_weight=0.001,
        epochs=12,
        learning_rate=0.3,
        schedule="constant",
    )
    first, last = learner.history[0], learner.history[-1]
    assert list(first) == ["epoch", "learning_rate", "loss", "photometric", "smoothness"]
    assert last["loss"] < first["loss"] / 3
    sample = data[0]
    assert sample.segments is not None
    view = Batch(
        torch.from_numpy(sample.image)[None].float() / 255,
        Window.whole(96, 128),
        ("x",),
        segments=torch.from_numpy(sample.segments)[None, None].long(),
    )
    # CLIP's part is 2 m, so 1 m is the nearest it can come to.
    assert learner.predict(view).mean() < 1.2 < 2 < sample.depth.mean()


def test_the_defaults_are_the_studys() -> None:
    params = MsaParams()
    assert (params.clip_weight, params.segments, params.loss) == (0, "none", "l1")
    assert (params.optimizer, params.learning_rate, params.momentum) == ("sgd", 0.002, 0.9)
    assert (params.weight_decay, params.epochs, params.batch_size) == (1e-5, 90, 8)
    assert (params.schedule, params.step_epochs, params.step_gamma) == ("step", (30,), 0.1)
    assert (params.temperature, params.smoothness_weight, params.paint) == (0.001, 0, "blend")


def test_what_it_needs_and_learns_from_follows_from_its_parameters() -> None:
    params = MsaParams()
    assert Msa.supervision(params) == "depth"
    assert Msa.supervision(MsaParams(supervision="self-supervised")) == "self-supervised"
    assert Msa.segments(params) is None
    for kind in ("sam", "instances"):
        choice = Msa.segments(MsaParams(segments=kind))
        assert choice is not None
        assert choice.kind == kind
    assert [item.name for item in Msa.weights(params)] == ["open_clip RN50 (openai)"]
    assert list(register_methods()) == [Msa]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"encoder": "ViT-B-16"}, "must be a ResNet"),
        ({"encoder": TRANSFORMER}, "must be a ResNet"),
        ({"clip_weight": -1}, "clip_weight"),
        ({"segments": "masks"}, "segments"),
        ({"paint": "bright"}, "paint"),
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MsaParams(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.msa as m; p = m.MsaParams(segments='sam')\n"
    code += "m.Msa.segments(p); m.Msa.weights(p)\n"
    code += "heavy = {'torch', 'open_clip', 'h5py', 'pandas', 'scipy', 'timm'} & set(sys.modules)\n"
    code += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True)
