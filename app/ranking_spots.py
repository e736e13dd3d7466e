"""Row numbers of a pool's images by what is known of them: what may be asked, what teaches, what measures."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.snapshot import Snapshot

Ints = NDArray[np.int64]


class Spots:
    """Row numbers of the open, the labelled, the rejected, the leased and the answered holdout images.

    `bad_N` are those of `rejected_N` that are bad pictures, as the last fit saw them."""

    def __init__(self, image_ids: Ints, seen: Snapshot) -> None:
        row_of = {int(image_id): row for row, image_id in enumerate(image_ids)}
        self.labelled = [image_id for image_id in seen.labelled if image_id in row_of]
        self.labelled_N = _rows(self.labelled, row_of)
        self.labels_N = np.array([seen.labelled[image_id] for image_id in self.labelled], np.int64)
        held = [image_id for image_id in seen.holdout_labels if image_id in row_of]
        self.held_N = _rows(held, row_of)
        self.held_labels_N = np.array([seen.holdout_labels[image_id] for image_id in held], np.int64)
        self.held_halves_N = np.array([seen.holdout[image_id] for image_id in held], np.int64)
        settled = seen.settled
        self.open_N = np.array(
            [row for i, row in row_of.items() if i not in settled and i not in seen.holdout], np.int64
        )
        self.rejected_N = _rows(sorted(i for i in seen.rejected if i in row_of and i not in seen.holdout), row_of)
        self.bad_N = _rows(sorted(i for i in seen.bad & seen.rejected if i in row_of and i not in seen.holdout), row_of)
        self.gold_N = _rows([i for i in seen.gold if i in row_of], row_of)
        self.picked_N = _rows([i for i in self.labelled if i in seen.picked], row_of)
        self.leased_N = _rows(
            [i for i in seen.leased if i in row_of and i not in settled and i not in seen.holdout], row_of
        )

    def after(
        self, image_ids: Ints, labelled: Mapping[int, int], rejected: Sequence[int], leased: Sequence[int]
    ) -> Spots:
        """As if the open images `labelled` (image -> class index) and `rejected` had been answered, and `leased` were out
        now; `image_ids` as before."""
        new, rows_N = copy.copy(self), np.searchsorted(image_ids, np.array([*labelled, *rejected], np.int64))
        taught_N, refused_N = rows_N[: len(labelled)], rows_N[len(labelled) :]
        new.labelled = [*self.labelled, *labelled]
        new.labelled_N = np.concatenate([self.labelled_N, taught_N])
        new.labels_N = np.concatenate([self.labels_N, np.array(list(labelled.values()), np.int64)])
        new.rejected_N = np.concatenate([self.rejected_N, refused_N])
        new.open_N = self.open_N[~np.isin(self.open_N, rows_N)]
        out_N = np.searchsorted(image_ids, np.array(leased, np.int64))
        out_N = out_N[out_N < len(image_ids)]
        new.leased_N = out_N[np.isin(out_N, new.open_N)]
        return new


def _rows(ids: list[int], row_of: dict[int, int]) -> Ints:
    return np.array([row_of[image_id] for image_id in ids], np.int64)
