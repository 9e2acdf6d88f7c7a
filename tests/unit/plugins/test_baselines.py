from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.contrib.baselines import ConstantDepth, ConstantDepthParams, MeanDepthMap
from bench.data.base import Dataset, DatasetParams, Subset
from bench.errors import MethodError
from bench.method import FitContext, Params
from bench.types import Batch, DepthVariant, Sample, Window

CPU = torch.device("cpu")
# Two images of 2×3; 0 = missing. Column 2 of row 1 is never measured.
DEPTHS = {
    "a": [[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]],
    "b": [[3.0, 2.0, 0.0], [8.0, 6.0, 0.0]],
}
# Never measured: the mean of all eight measurements, 29 / 8.
EXPECTED = [[2.0, 2.0, 3.0], [6.0, 6.0, 29 / 8]]


class Given(Dataset):
    name = "given"
    summary = "test data"
    synthetic = True

    def __init__(self, depths: dict[str, list[list[float]]]) -> None:
        super().__init__(DatasetParams())
        self.depths = depths

    def fingerprint(self) -> str:
        return "given"

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"train": tuple(self.depths), "test": tuple(self.depths)}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        depth = np.array(self.depths[image_id], dtype=np.float32)
        image = np.zeros((3, *depth.shape), dtype=np.uint8)
        return Sample(image_id, image, depth, depth > 0)


def view(window: Window, count: int = 2) -> Batch:
    image = torch.zeros(count, 3, window.height, window.width)
    return Batch(image, window, tuple(str(index) for index in range(count)))


def mean_map(depths: dict[str, list[list[float]]] = DEPTHS) -> MeanDepthMap:
    method = MeanDepthMap(Params(), CPU)
    method.fit(Subset.of_split(Given(depths), "train"), FitContext(seed=0, device=CPU))
    return method


def test_constant_depth_is_constant_over_the_view() -> None:
    method = ConstantDepth(ConstantDepthParams(depth=1.75), CPU)
    depth = method.predict(view(Window(1, 1, 3, 4, 8, 9)))
    assert depth.shape == (2, 1, 3, 4)
    assert depth.dtype == torch.float32
    assert (depth == 1.75).all()
    assert ConstantDepthParams().depth == 2.5


@pytest.mark.parametrize("depth", [0, -1, float("nan"), float("inf")])
def test_constant_depth_must_be_a_positive_length(depth: float) -> None:
    with pytest.raises(ValueError, match="depth"):
        ConstantDepthParams(depth=depth)


def test_the_mean_is_over_valid_pixels_by_place() -> None:
    depth = mean_map().predict(view(Window.whole(2, 3)))
    assert depth.shape == (2, 1, 2, 3)
    assert depth.dtype == torch.float32
    assert depth[0, 0].tolist() == EXPECTED
    assert torch.equal(depth[0], depth[1])


def test_a_view_gets_its_window_and_a_mirrored_one_its_mirror_image() -> None:
    method = mean_map()
    window = Window(1, 0, 1, 2, 2, 3)
    assert method.predict(view(window))[0, 0].tolist() == [[6.0, 6.0]]
    whole = Window.whole(2, 3)
    assert method.predict(view(whole.mirror()))[0, 0].tolist() == [row[::-1] for row in EXPECTED]
    right = Window(0, 1, 2, 2, 2, 3).mirror()
    assert method.predict(view(right))[0, 0].tolist() == [[3.0, 2.0], [29 / 8, 6.0]]


def test_the_sum_is_exact_enough_for_many_images() -> None:
    depths = {str(index): [[2.3]] for index in range(3000)}
    depth = mean_map(depths).predict(view(Window.whole(1, 1)))
    assert depth[0, 0, 0, 0] == np.float32(2.3)


def test_frames_of_another_size_get_the_map_resized() -> None:
    method = mean_map({"a": [[1.0, 3.0], [1.0, 3.0]]})
    depth = method.predict(view(Window.whole(4, 4)))[0, 0]
    assert depth.tolist() == [[1.0, 1.5, 2.5, 3.0]] * 4
    part = method.predict(view(Window(0, 2, 4, 2, 4, 4)))[0, 0]
    assert part.tolist() == [[2.5, 3.0]] * 4


def test_what_is_returned_can_be_written_to() -> None:
    method = mean_map()
    method.predict(view(Window.whole(2, 3))).zero_()
    assert method.predict(view(Window.whole(2, 3)))[0, 0].tolist() == EXPECTED


def test_save_and_load(tmp_path: Path) -> None:
    method = mean_map()
    method.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mean_depth.npy"]
    loaded = MeanDepthMap(Params(), CPU)
    loaded.load(tmp_path)
    whole = Window.whole(2, 3)
    assert torch.equal(loaded.predict(view(whole)), method.predict(view(whole)))


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"'b' is \(1, 1\) and 'a' \(1, 2\)"):
        mean_map({"a": [[1.0, 1.0]], "b": [[1.0]]})
    with pytest.raises(MethodError, match="none of the 1 training images has a valid pixel"):
        mean_map({"a": [[0.0]]})
    with pytest.raises(MethodError, match="before fit"):
        MeanDepthMap(Params(), CPU).predict(view(Window.whole(2, 3)))
    (tmp_path / "mean_depth.npy").write_bytes(b"torn")
    with pytest.raises(MethodError, match="cannot be read"):
        MeanDepthMap(Params(), CPU).load(tmp_path)
