"""The content keys: what a fit, a prediction and a score hang on, and nothing else.

    fit key      method code + fit params + weights + training data + seed
    predict key  fit key + predict params + test images + the window the method sees (+ mirrored)
    score key    predict keys + ground truth + protocol + metric code
    cell key     fit key + predict params + test images + ground truth: names a record
    identity     the cell without its code: the same question, whichever code answered it

Device, worker count, prediction batch size, host and time are in none of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.data.base import Subset
from bench.types import Window


def digest(value: object) -> str:
    """SHA-256 (hex) of a JSON-able value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class CellKeys:
    """The keys of one cell."""

    fit: str
    predict: str
    cell: str
    identity: str

    def prediction(self, window: Window) -> str:
        """The key of one pass of raw predictions: one window, plain or mirrored."""
        view = [window.top, window.left, window.height, window.width]
        frame = [window.frame_height, window.frame_width]
        return digest(["prediction", self.predict, view, frame, window.mirrored])


def cell_keys(
    *,
    method: str,
    code_sha256: str,
    params: Mapping[str, Any],
    predict_params: Iterable[str],
    weights: Sequence[str],
    train: Mapping[str, str] | None,
    test: Mapping[str, str],
    seed: int | None,
    location_params: Iterable[str] = (),
) -> CellKeys:
    """The keys of a cell.

    Args:
        method: Its name.
        code_sha256: The hash of its code (`bench.code.code_of`).
        params: All parameters, JSON-able.
        predict_params: The names of those that leave the fit alone.
        weights: What stands for each set of pretrained weights (`Weights.key`), and for the other
            files that parameters name.
        train: `subset_identity` of the training images; None where the method does not learn.
        test: `subset_identity` of the test images.
        seed: None for methods that are not seeded.
        location_params: The names of those that say where files lie.
    """
    late = set(predict_params)
    # `weights` is a name or a path; what it stands for is in the keys already, by content. So is
    # what lies in other places.
    early = params.keys() - late - {"weights"} - set(location_params)
    early_params = {name: value for name, value in params.items() if name in early}
    late_params = {name: value for name, value in params.items() if name in late}
    question = ["fit", method, early_params, list(weights), train, seed]
    fit = digest([*question, code_sha256])
    predict = digest(["predict", fit, late_params, test["fingerprint"], test["ids"]])
    return CellKeys(
        fit=fit,
        predict=predict,
        cell=digest(["cell", predict, dict(test)]),
        identity=digest(["identity", *question, late_params, dict(test)]),
    )


def score_key(
    cell: CellKeys, variant: str, protocol_sha256: str, metrics: Sequence[str], metrics_code: str
) -> str:
    """The key of one score.

    The protocol holds the view and whether a mirrored pass is needed, and the test images hold the
    frame, so the predict key and the protocol determine the passes that are scored.
    """
    return digest(["score", cell.predict, variant, protocol_sha256, list(metrics), metrics_code])


def subset_identity(subset: Subset) -> dict[str, str]:
    """What identifies some images of a data set in one depth variant."""
    return {
        "fingerprint": subset.dataset.fingerprint(),
        "split": subset.split,
        "ids": digest(list(subset.ids)),
        "depth": subset.variant,
    }
