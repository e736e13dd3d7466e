"""The consensus's K-fold fits: kept while few answers are new, with the consensus that fits made anew would give."""

import dataclasses

import numpy as np
import pytest

from app import agreement, agreement_model, settings, simulate_data, snapshot
from model import last_layer
from store.records import Said

NOISE = 0.2


@pytest.fixture(scope="module")
def digits() -> tuple[simulate_data.Material, last_layer.Prepared]:
    found = simulate_data.from_digits()
    return found, last_layer.prepare(found.embeddings_ND, rng=np.random.default_rng(0))


def after(truth_N: np.ndarray, labels: int) -> snapshot.Snapshot:
    """Two people, one wrong answer in five, have answered the first `labels` images; the last hundred are holdout."""
    rng = np.random.default_rng(5)
    said_NJ = np.where(
        rng.random((len(truth_N), 2)) < NOISE, rng.integers(10, size=(len(truth_N), 2)), truth_N[:, None]
    )
    held = range(len(truth_N) - 100, len(truth_N))
    said = [
        Said(image_id=i, annotator_id=j + 1, class_id=int(said_NJ[i, j]), reason=None, seq=2 * i + j + 1, review=False)
        for i in range(labels)
        for j in range(2)
    ]
    return snapshot.Snapshot(
        watermark=2 * labels,
        class_ids=list(range(10)),
        labelled={i: int(said_NJ[i, 1]) for i in range(labels)},
        holdout={i: 1 + i % 2 for i in held},
        holdout_labels={i: int(truth_N[i]) for i in held},
        rejected=set(),
        leased=[],
        round_id=None,
        said=said,
    )


def test_few_new_answers_are_judged_by_the_fits_that_are_there(
    digits: tuple[simulate_data.Material, last_layer.Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, prepared = digits
    ids, chosen = np.arange(len(found.labels_N)), settings.Settings(consensus="auto")
    fits: list[int] = []
    real = last_layer.fit
    monkeypatch.setattr(last_layer, "fit", lambda *a, **more: fits.append(1) or real(*a, **more))

    def settled(seen: snapshot.Snapshot, kept: agreement_model.Kept | None) -> snapshot.Snapshot:
        return agreement.settle(seen, ids, prepared, settings=chosen, rng=np.random.default_rng(1), kept=kept)[0]

    kept = agreement_model.Kept()
    settled(after(found.labels_N, 600), kept)
    assert len(fits) == agreement_model.FOLDS + 1
    more = after(found.labels_N, 612)
    more.labelled[3] = (more.labelled[3] + 1) % 10  # someone changed his mind
    told = settled(more, kept)
    assert len(fits) == agreement_model.FOLDS + 1, "no fit for a dozen answers"
    labels = np.array([[each.labelled[i] for i in range(612)] for each in (told, settled(more, None))])
    assert (labels[0] == labels[1]).mean() > 0.98, "fits with other folds differ in seven of a thousand"
    right = (labels == found.labels_N[:612]).mean(axis=1)
    assert abs(right[0] - right[1]) < 0.01
    assert (labels[0, 600:] == found.labels_N[600:612]).mean() >= 0.8, "new images are heard, too"
    fits.clear()
    settled(after(found.labels_N, 640), kept)
    assert len(fits) == agreement_model.FOLDS + 1, "a twentieth of new labels is fitted anew"


def test_another_space_other_classes_and_a_class_seen_first_are_fitted_anew(
    digits: tuple[simulate_data.Material, last_layer.Prepared],
) -> None:
    found, prepared = digits
    ids, seen, rng = np.arange(len(found.labels_N)), after(found.labels_N, 200), np.random.default_rng(1)
    for change in ("none", "space", "classes", "seen", "gone"):
        kept = agreement_model.Kept()
        agreement_model.model(seen, ids, prepared, kept=kept, rng=rng)
        before, now, space = kept.fits, seen, prepared
        if change == "space":
            space = dataclasses.replace(prepared)
        if change == "classes":
            now = dataclasses.replace(seen, class_ids=list(range(11)))
        if change == "seen":
            now = dataclasses.replace(seen, labelled={i: k for i, k in seen.labelled.items() if k != 4})
        if change == "gone":
            now = dataclasses.replace(seen, labelled={i: k for i, k in seen.labelled.items() if i != 7})
        told = agreement_model.model(now, ids, space, kept=kept, rng=rng)
        assert (kept.fits is before) == (change in ("none", "gone"))
        assert list(told.labelled) == list(now.labelled)
        assert np.exp(told.log_probs_LK).sum(axis=1) == pytest.approx(np.ones(len(now.labelled)), abs=1e-3)
