"""Made-up annotators, models and label errors for `bench consensus`; the truth is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import consensus_trust

SETTINGS: dict[str, dict[str, Any]] = {
    "model .85, 5 of 5 answers": {"each": 5},
    "model .85, 2 of 5": {"each": 2},
    "model .85, 1 of 5": {"each": 1},
    "model .85, 5 of 5, confused": {"each": 5, "confused": True},
    "model .85, 2 of 5, confused": {"each": 2, "confused": True},
    "overconfident .5, 5 of 5": {"each": 5, "right": 0.5, "sharper": 5.0},
    "overconfident .5, 2 of 5": {"each": 2, "right": 0.5, "sharper": 5.0},
    "no model, 5 of 5": {"each": 5, "right": None},
    "no model, 2 of 5": {"each": 2, "right": None},
    "no model, 5 of 5, confused": {"each": 5, "right": None, "confused": True},
}
HOLDOUT = 200


@dataclass(frozen=True)
class Crowd:
    """The arguments of `consensus.consensus`, the holdout's verdict, the true classes and qualities."""

    given: dict[str, Any]
    trust: consensus_trust.ModelTrust | None
    truth_I: NDArray[np.int64]
    quality_J: NDArray[np.float64]


def make(
    seed: int,
    *,
    items: int,
    each: int,
    people: int = 5,
    classes: int = 10,
    right: float | None = 0.85,
    sharper: float = 1.0,
    confused: bool = False,
) -> Crowd:
    """`each` answers of `people` to every image; a model that is right so often (None: no model)."""
    rng = np.random.default_rng(seed)
    truth_I, quality_J = rng.integers(classes, size=items), np.linspace(0.6, 0.95, people)
    item_A = np.repeat(np.arange(items), each)
    if people <= 10:  # every subset alike
        annotator_A = np.argsort(rng.random((items, people)), axis=1)[:, :each].ravel()
    else:  # a random first one and others a random step apart, too small to come round
        first_I, step_I = rng.integers(people, size=items), rng.integers(1, max(2, people // each), size=items)
        annotator_A = (first_I[item_A] + np.tile(np.arange(each), items) * step_I[item_A]) % people
    wrong_A = rng.random(len(item_A)) > quality_J[annotator_A]
    other_A = (truth_I[item_A] + rng.integers(1, classes, size=len(item_A))) % classes
    other_A = (truth_I[item_A] ^ 1) % classes if confused else other_A
    label_A = np.where(wrong_A, other_A, truth_I[item_A])
    log_probs, trust = None, None
    if right is not None:
        log_probs = _model(rng, truth_I, classes, right, sharper)
        held = rng.integers(classes, size=HOLDOUT)
        trust = consensus_trust.measure(_model(rng, held, classes, right, sharper), held)
    sizes = {"num_items": items, "num_annotators": people, "num_classes": classes}
    given = {"item_A": item_A, "annotator_A": annotator_A, "label_A": label_A, "model_log_probs_IK": log_probs}
    return Crowd({**given, **sizes}, trust, truth_I, quality_J)


def _model(
    rng: np.random.Generator, truth_I: NDArray[np.int64], classes: int, right: float, sharper: float
) -> NDArray[np.float32]:
    """Scores of unit noise, the true class lifted until it wins so often; m * scores is then their exact posterior."""
    scores = rng.standard_normal((len(truth_I), classes), dtype=np.float32)
    rows = np.arange(len(truth_I))
    own = scores[rows, truth_I].copy()
    scores[rows, truth_I] = -np.inf
    lift = float(np.quantile(scores.max(axis=1) - own, right))
    scores[rows, truth_I] = own + lift
    scores *= lift * sharper
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


def digits(
    seed: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Digits with a share of wrong labels: pixels, given labels, which are wrong, out-of-fold log-probabilities."""
    from sklearn import datasets, linear_model, model_selection, pipeline, preprocessing

    rng = np.random.default_rng(seed)
    x_ND, true_N = datasets.load_digits(return_X_y=True)
    wrong_N = rng.random(len(true_N)) < noise
    given_N = np.where(wrong_N, (true_N + rng.integers(1, 10, size=len(true_N))) % 10, true_N)
    net = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression(C=0.05, max_iter=500))
    folds = model_selection.StratifiedKFold(5, shuffle=True, random_state=seed)
    probs_NK = model_selection.cross_val_predict(net, x_ND, given_N, cv=folds, method="predict_proba")
    return x_ND, given_N, wrong_N, np.log(np.maximum(probs_NK, 1e-12))
