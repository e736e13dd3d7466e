"""`bench last-layer`: the refresh's classifier alone on frozen features: accuracy, a long tail, calibration, mistakes."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import special

from app import errors, jobs, processes, simulate, simulate_conditions, simulate_data, simulate_network
from model import acquisition, calibration, last_layer, roc, uncertainty

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

TAIL = 10.0
BINS = 15
SIMULATED = 50  # sets of labels of a perfectly calibrated model, for its calibration error
PASSES, DROPOUT = 30, 0.3
RESIZED, CROPPED = 256, 224  # px: what `--centre` shows the network, as ImageNet networks are tested
LOGISTIC_C = 160.0  # on rows of length one


def command(
    images: Path, *, backbone: str, centre: bool, crops: int, budgets: list[int], seeds: int, first_seed: int, cache: Path,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Measure, print, write."""
    processes.keep_memory()
    with jobs.bar("last layer") as tell:
        material = _material(images, backbone, centre, crops, cache, tell)
        found = [
            {**_seed(material, budgets, first_seed + at), "tail": _tailed(material, budgets, first_seed + at)}
            for at in range(seeds)
            if tell(at / seeds, f"seed {first_seed + at}") is None
        ]
    figures = {
        "images": images.name, "backbone": backbone, "view": "centre" if centre else "whole", "crops": crops, "budgets": budgets,
        "seeds": [first_seed, first_seed + seeds - 1], "pool": len(material.split(0)[0]),
        "test": len(material.split(0)[1]), "found": found,
    }  # fmt: skip
    print(told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _material(images: Path, backbone: str, centre: bool, crops: int, cache: Path, tell: Any) -> simulate_data.Material:
    if not centre:
        found = simulate.embedded(images, backbone, cache, crops)
    else:
        network = dataclasses.replace(simulate_network.start(backbone, crops=crops), image_size=CROPPED)
        found = simulate_data.from_folder(
            images, key=f"{backbone} ({simulate_network.weights(network)}), centre as it is", side=CROPPED, cache=cache,
            keep_pixels=False, embed=simulate_network.embedder(network, tell), progress=tell, decode=_centre,
        )  # fmt: skip
    if found.split_N is None:
        raise errors.BadRequest(f"{images} names no test images: a metadata.csv with file and split (train, test) does")
    return found


def _centre(file: Path, side: int) -> NDArray[np.uint8]:
    """The middle of the picture, its proportions kept."""
    with Image.open(file) as picture:
        whole = picture.convert("RGB")
    scale = RESIZED / min(whole.size)
    whole = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.BICUBIC)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    return np.asarray(whole.crop((left, top, left + side, top + side)))


def _seed(material: simulate_data.Material, budgets: list[int], seed: int) -> dict[str, Any]:
    """One seed's figures for each budget."""
    pool_P, test_T = material.split(seed)
    half_T = np.random.default_rng(seed).permutation(len(test_T)) < len(test_T) // 2
    prepared = last_layer.prepare(material.embeddings_ND[pool_P], rng=np.random.default_rng(seed))
    truth_P, truth_T = material.labels_N[pool_P], material.labels_N[test_T]
    rows: dict[str, Any] = {}
    for budget in budgets:
        chosen, layer = _fit(prepared, truth_P, budget, len(material.class_names), seed)
        log_probs_TK = layer.log_probs(material.embeddings_ND[test_T])
        x_TR = layer.space.project(material.embeddings_ND[test_T])
        rows[str(budget)] = {
            "accuracy": float((log_probs_TK.argmax(axis=1) == truth_T).mean()),
            "logistic": float((_logistic(prepared.x_NR[chosen], truth_P[chosen], x_TR) == truth_T).mean()),
            **_calibration(layer, log_probs_TK, truth_T, half_T, seed),
            **_mistakes(layer, material.embeddings_ND[test_T], x_TR, log_probs_TK, truth_T, seed),
        }
    return rows


def _tailed(material: simulate_data.Material, budgets: list[int], seed: int) -> dict[str, Any]:
    """Mean accuracy over the classes where the largest class of the pool has ten times the images of the smallest."""
    _, test_T = material.split(seed)
    pool_P = simulate_conditions.build(material, simulate_conditions.Conditions(tail=TAIL), seed).images_P
    prepared = last_layer.prepare(material.embeddings_ND[pool_P], rng=np.random.default_rng(seed))
    truth_P, truth_T = material.labels_N[pool_P], material.labels_N[test_T]
    weights_T, rows = 1.0 / np.bincount(truth_T)[truth_T], {}
    for budget in budgets:
        chosen, layer = _fit(prepared, truth_P, budget, len(material.class_names), seed)
        x_TR = layer.space.project(material.embeddings_ND[test_T])
        found = {
            "accuracy": layer.log_probs_at(x_TR).argmax(axis=1),
            "logistic": _logistic(prepared.x_NR[chosen], truth_P[chosen], x_TR),
        }
        rows[str(budget)] = {k: float(np.average(v == truth_T, weights=weights_T)) for k, v in found.items()}
    return rows


def _fit(
    prepared: last_layer.Prepared, truth_P: Ints, budget: int, classes: int, seed: int
) -> tuple[Ints, last_layer.LastLayer]:
    """Typical images, all chosen at once, and the layer that they teach."""
    chosen = acquisition.select(
        "typical", log_probs_NSK=None, embeddings_ND=prepared.x_NR, labelled_ND=None, count=budget,
        rng=np.random.default_rng(seed), context={"num_classes": classes},
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    return chosen, last_layer.fit(None, chosen, truth_P[chosen], classes, rng=rng, prepared=prepared)


def _logistic(x_LR: Floats, labels_L: Ints, x_TR: Floats) -> Ints:
    from sklearn import exceptions, linear_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        fitted = linear_model.LogisticRegression(C=LOGISTIC_C, max_iter=1000).fit(x_LR, labels_L)
    return np.asarray(fitted.predict(x_TR))


def _calibration(
    layer: last_layer.LastLayer, log_probs_TK: Floats, truth_T: Ints, half_T: NDArray[np.bool_], seed: int
) -> dict[str, float]:
    """Calibration error of one half of the test images with the temperature of the other, and what perfection would have."""
    temperature = calibration.fit_temperature(log_probs_TK[half_T], truth_T[half_T])
    told_TK = calibration.temper(log_probs_TK[~half_T], temperature)
    rng, cumulated_TK = np.random.default_rng(seed), np.exp(told_TK).cumsum(axis=1)
    drawn = [
        calibration.ece(told_TK, (cumulated_TK > rng.random((len(told_TK), 1)) * cumulated_TK[:, -1:]).argmax(axis=1))
        for _ in range(SIMULATED)
    ]
    truth = truth_T[~half_T]
    return {
        "ece": float(calibration.ece(told_TK, truth)), "ece_perfect": float(np.mean(drawn)),
        "nll": calibration.nll(told_TK, truth), "brier": calibration.brier(told_TK, truth),
    }  # fmt: skip


def _mistakes(
    layer: last_layer.LastLayer, embeddings_TD: Floats, x_TR: Floats, log_probs_TK: Floats, truth_T: Ints, seed: int
) -> dict[str, float | None]:
    """How well each uncertainty finds the classifier's own mistakes, as area under the ROC curve."""
    plain_TK = special.softmax(layer.inverse_temperature * (x_TR @ layer.weights_RK), axis=1)
    rng, passes = np.random.default_rng(seed), []
    for _ in range(PASSES):
        kept_TD = (rng.random(embeddings_TD.shape) >= DROPOUT) / (1.0 - DROPOUT)
        scores_TK = layer.space.project(embeddings_TD * kept_TD) @ layer.weights_RK
        passes.append(special.log_softmax(layer.inverse_temperature * scores_TK, axis=1).astype(np.float32))
    dropped = uncertainty.decompose(np.stack(passes, axis=1))
    dropped_T = layer.seen_K[dropped.mean_NK.argmax(axis=1)]
    return {
        "auroc": roc.area(-log_probs_TK.max(axis=1), log_probs_TK.argmax(axis=1) != truth_T),
        "auroc_softmax": roc.area(-plain_TK.max(axis=1), layer.seen_K[plain_TK.argmax(axis=1)] != truth_T),
        "auroc_dropout": roc.area(-dropped.confidence_N, dropped_T != truth_T),
        "auroc_dropout_information": roc.area(dropped.epistemic_N, dropped_T != truth_T),
    }


def told(figures: dict[str, Any]) -> str:
    """The figures as tables and sentences."""
    budgets, found = [str(each) for each in figures["budgets"]], figures["found"]

    def row(name: str, values: NDArray[np.floating]) -> str:
        cells = (f"{mean:8.3f} ±{error:.3f}" for mean, error in zip(values.mean(0), _errors(values), strict=True))
        return f"{name:>44}" + "".join(cells)

    def of(key: str, at: str = "") -> NDArray[np.floating]:
        rows = [[(seed[at] if at else seed)[budget][key] for budget in budgets] for seed in found]
        return np.array(rows, dtype=float)  # nan where there are no mistakes to find

    lines = [f"{'labels':>44}" + "".join(f"{budget:>14}" for budget in budgets)]
    lines += [row("accuracy, last layer", of("accuracy")), row("logistic regression", of("logistic"))]
    lines += [row("tenfold tail, mean over classes: last layer", of("accuracy", "tail"))]
    lines += [row("logistic regression", of("logistic", "tail"))]
    lines += [row("last layer less logistic", of("accuracy", "tail") - of("logistic", "tail"))]
    lines += [row("calibration error", of("ece")), row("of a perfectly calibrated model", of("ece_perfect"))]
    lines += [row("mistakes found: published uncertainty", of("auroc"))]
    for key, name in (
        ("auroc_softmax", "less that of max-softmax"),
        ("auroc_dropout", f"less that of {PASSES} dropout passes, mean"),
        ("auroc_dropout_information", f"less that of {PASSES} dropout passes, BALD"),
    ):
        lines.append(row(name, of("auroc") - of(key)))
    view = f"the middle {CROPPED} of {RESIZED} px" if figures["view"] == "centre" else "the whole picture"
    view += f", {figures['crops']} crops" if figures["crops"] > 1 else ""
    lines.append(
        f"{figures['images']}, {figures['backbone']} frozen, {view}; {figures['pool']} images in the pool, "
        f"{figures['test']} to test; typical images, all chosen at once; seeds {figures['seeds'][0]} to "
        f"{figures['seeds'][1]}, ± standard error.\n"
        "calibration error: 15 bins, on one half of the test images, temperature from the other; a perfect model's: labels "
        f"drawn {SIMULATED} times from the probabilities.\n"
        f"mistakes: area under the ROC curve; dropout {DROPOUT} on the embedding, through the same weights; max-softmax: "
        "the weights without their posterior."
    )
    return "\n".join(lines)


def _errors(values: NDArray[np.floating]) -> NDArray[np.floating]:
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))
