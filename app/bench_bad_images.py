"""`bench bad-images`: how well one, three or ten rejects as bad pictures find the other spoiled pictures of a pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app import jobs, ranking, simulate_data, simulate_network
from model import bad_images, last_layer, looks, out_of_class, roc

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
KINDS = ("blurred", "black", "over-exposed")
BLUR = 0.04  # of the side: the deviation of the blur
REJECTS = (1, 3, 10)
LABELLED = 60


def command(images: Path, *, backbone: str, share: float, seeds: int, cache: Path, json_file: Path | None) -> None:
    """Measure, print, write."""
    with jobs.bar("bad images") as tell:
        network = simulate_network.start(backbone)
        embed = simulate_network.embedder(network, tell)
        material = simulate_data.from_folder(
            images, key=f"{backbone} ({simulate_network.weights(network)})", side=network.image_size, cache=cache,
            keep_pixels=True, embed=embed, progress=tell,
        )  # fmt: skip
        found = [run(material, embed, share, seed) for seed in range(seeds) if tell(seed / seeds, "") is None]
    rows = {
        str(count): {name: float(np.nanmean([each[count][name] for each in found])) for name in found[0][count]}
        for count in REJECTS
    }
    figures = {"images": images.name, "backbone": backbone, "share": share, "seeds": seeds, "rejects": rows}
    print(_told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(material: simulate_data.Material, embed: simulate_data.Embed, share: float, seed: int) -> dict[int, Any]:
    """One draw of spoiled pictures (20 at least), of labels and of rejects -> for each number of rejects its figures."""
    assert material.images_NHWC is not None
    rng = np.random.default_rng(seed)
    pool_P = rng.permutation(material.split(seed)[0])
    count = max(2 * REJECTS[-1], round(share * len(pool_P)))
    spoiled, kind_P = pool_P[:count], np.where(np.arange(len(pool_P)) < count, np.arange(len(pool_P)) % len(KINDS), -1)
    pictures = np.stack([spoil(material.images_NHWC[at], int(kind_P[n])) for n, at in enumerate(spoiled)])
    embeddings_PD = np.concatenate([embed(pictures), material.embeddings_ND[pool_P[count:]]])
    looks_PF = np.concatenate([looks.of(pictures), looks.of(material.images_NHWC[pool_P[count:]])])
    x_PR = last_layer.prepare(embeddings_PD, rng=np.random.default_rng(seed)).x_NR
    rejected = rng.permutation(count)
    labelled = count + rng.permutation(len(pool_P) - count)[: min(LABELLED, (len(pool_P) - count) // 2)]
    labels = material.labels_N[pool_P[labelled]]
    rows = {}
    for rejects in REJECTS:
        out = rejected[:rejects]
        seen_P = np.isin(kind_P, kind_P[out])
        before_P = out_of_class.probability(x_PR, labelled=labelled, labels=labels, rejected=out, rng=rng)
        alone_P = bad_images.probability(x_PR, None, rejected=out, ordinary=labelled)
        bad_P = bad_images.probability(x_PR, looks_PF, rejected=out, ordinary=labelled)
        open_P = ~np.isin(np.arange(len(pool_P)), np.concatenate([out, labelled]))
        alike_P = open_P & (seen_P | (kind_P < 0))
        rows[rejects] = {
            "auroc": _area(bad_P, kind_P, open_P),
            "auroc_alike": _area(bad_P, kind_P, alike_P),
            "auroc_embeddings_alike": _area(alone_P, kind_P, alike_P),
            "auroc_out_of_class_alike": _area(before_P, kind_P, alike_P),
            "found_alike": float((bad_P[alike_P & (kind_P >= 0)] >= ranking.PROBABLY).mean()),
            "ordinary_last": float((bad_P[open_P & (kind_P < 0)] >= ranking.PROBABLY).mean()),
        }
    return rows


def spoil(image_HWC: NDArray[np.uint8], kind: int) -> NDArray[np.uint8]:
    """The picture blurred, black with a sensor's noise, or over-exposed."""
    if KINDS[kind] == "blurred":
        radius = BLUR * len(image_HWC)
        return np.asarray(Image.fromarray(image_HWC).filter(ImageFilter.GaussianBlur(radius)))
    if KINDS[kind] == "black":
        noise = np.random.default_rng(int(image_HWC.sum())).normal(3, 2, image_HWC.shape)
        return np.asarray(np.clip(noise, 0, 255).astype(np.uint8))
    return np.asarray(np.clip(image_HWC * 3.0 + 60, 0, 255).astype(np.uint8))


def _area(score_P: Floats, kind_P: Ints, among_P: NDArray[np.bool_]) -> float:
    found = roc.area(score_P[among_P], kind_P[among_P] >= 0)
    return float("nan") if found is None else found


def _told(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['images']}, {figures['backbone']}: {figures['share']:.0%} of the pool spoiled ({', '.join(KINDS)}), "
        f"{LABELLED} labels, means of {figures['seeds']} draws",
        "AUROC: of all spoiled pictures; of those of a kind that was rejected, by us, by the embeddings alone, by the "
        "out-of-class score; of these found; ordinary ones put last",
    ]
    for count, row in figures["rejects"].items():
        told = [f"{row[name]:.3f}" for name in list(row)[:4]]
        lines.append(f"{count:>3} rejected  {'  '.join(told)}  {row['found_alike']:.1%}  {row['ordinary_last']:.2%}")
    return "\n".join(lines)
