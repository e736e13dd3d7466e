"""`bench evidence`: how many regions a few clicks give by propagation, and what they teach a round."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import errors, jobs, overlay_data, pool, processes
from model import config, overlay_quality, predict, propagate, train
from model.network import raum_net

Progress = Callable[[float, str], None]
Floats = NDArray[np.floating]
RIGHT = 0.3  # IoU with the true box from which a person confirms
Part = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
PAGE = 24  # boxes that one Enter confirms
HOW = """\
Of each class k random labelled images are marked with their true box, and boxes are proposed in its others by the backbone's
features alone (model/propagate.py). IoU .3, .5: proposals that overlap the true box so much; centre: whose centre lies in it;
same place: IoU .3 of the marks' mean box put on every image, without looking. A person takes out what is under IoU .3 and
confirms the rest; presses: k marks, a click for each box taken out, Enter for each page of {page}. gained: regions beyond the
marked ones, for each mark and for each press. Means over classes and {seeds} draws."""
TAUGHT = """\
A round on the same labelled images: no region, the first k marked ones of each class, those and the confirmed proposals, and
the true box of every image. energy: share of the region attention (above its least) in the true box of a test image, and as a
multiple of the box's share of the image. ± is the deviation over {seeds} seeds ({method}, {steps} steps)."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Marks a class, draws of them (and trainings), and with `teach` of how many marks rounds are trained (0: none)."""

    backbone: str
    clicks: list[int]
    seeds: int
    teach: int
    method: str
    steps: int


def command(folder: Path | None, plan: Plan, sizes: overlay_data.Sizes, *, json_file: Path | None) -> None:
    """Measure, print, write."""
    processes.keep_memory()
    if not plan.clicks or min(plan.clicks) < 1 or plan.seeds < 1:
        raise errors.BadRequest("give --clicks of 1 or more, and at least one seed")
    with jobs.bar("evidence") as tell:
        network = config.for_backbone(plan.backbone, num_classes=2)
        if folder is None:
            material = overlay_data.from_demo(sizes, side=network.image_size, progress=tell)
        else:
            material = overlay_data.from_folder(folder, sizes, side=network.image_size, seed=0, progress=tell)
        marked = Marked(material, plan.backbone, tell)
        found = [measure(marked, clicks, plan.seeds) for clicks in plan.clicks]
        taught = teach(marked, plan, tell) if plan.teach else []
    boxes = len(marked.truth_N4)
    print(
        f"{material.name}, {plan.backbone}: {boxes} labelled images of {len(material.class_names)} classes with a true box"
    )
    for row in found:
        print(_line(row))
    print(HOW.format(page=PAGE, seeds=plan.seeds))
    for row in taught:
        told = f"accuracy {_both(row['accuracy'])}   energy {_both(row['energy'])}   {_both(row['lift'], 2)} times"
        print(f"{row['taught']:<28} regions {row['regions']:>5}   {told}")
    if taught:
        print(TAUGHT.format(seeds=plan.seeds, method=plan.method, steps=plan.steps or "the backbone's own number of"))
    if json_file:
        figures = {"material": material.name, "plan": dataclasses.asdict(plan), "clicks": found, "taught": taught}
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


class Marked:
    """The labelled images whose true box is known (x, y, w, h in shares), with the untrained network's features."""

    def __init__(self, material: overlay_data.Material, backbone: str, tell: Progress) -> None:
        self.material = material
        known = np.isfinite(material.boxes_N4[material.labelled_N]).all(axis=1)
        self.at_N = material.labelled_N[known & (material.labels_N[material.labelled_N] >= 0)]
        self.truth_N4 = _sizes(material.boxes_N4[self.at_N])
        self.labels_N = material.labels_N[self.at_N]
        if not len(self.at_N):
            raise errors.BadRequest(f"{material.name} has no labelled image with a true box")
        net = raum_net.build(config.for_backbone(backbone, num_classes=2)).to(pool.device())
        found = predict.embed(net, material.images_NHWC[self.at_N], keep_features=True, progress=tell)
        assert found.features_NDHW is not None
        self.features_NDHW = found.features_NDHW

    def proposed(self, clicks: int, seed: int) -> list[Part]:
        """For each class with more images than that: the marked rows, the others, and the boxes proposed for those."""
        rng, parts = np.random.default_rng(seed), list[Part]()
        for class_index in np.unique(self.labels_N):
            rows = rng.permutation(np.flatnonzero(self.labels_N == class_index))
            if len(rows) > clicks:
                look = propagate.learn(self.features_NDHW[rows[:clicks]], self.truth_N4[rows[:clicks]])
                parts.append((rows[:clicks], rows[clicks:], propagate.find(look, self.features_NDHW[rows[clicks:]])[0]))
        if not parts:
            raise errors.BadRequest(
                f"no class has more than {clicks} labelled images with a true box: give fewer --clicks"
            )
        return parts


def measure(marked: Marked, clicks: int, seeds: int) -> dict[str, Any]:
    """The figures of one number of marks a class."""
    rows = []
    for seed in range(seeds):
        for marks, others, boxes_M4 in marked.proposed(clicks, seed):
            true_M4 = marked.truth_N4[others]
            ious = overlaps(boxes_M4, true_M4)
            middle = boxes_M4[:, :2] + boxes_M4[:, 2:] / 2
            inside = ((middle >= true_M4[:, :2]) & (middle <= true_M4[:, :2] + true_M4[:, 2:])).all(axis=1)
            same = overlaps(np.broadcast_to(marked.truth_N4[marks].mean(axis=0), true_M4.shape), true_M4)
            good = ious >= RIGHT
            right = int(good.sum())
            presses = clicks + (len(others) - right) + -(-len(others) // PAGE)
            shares = (good.mean(), (ious >= 0.5).mean(), inside.mean(), (same >= RIGHT).mean())
            rows.append([*shares, right, right / clicks, right / presses])
    names = ("iou30", "iou50", "centre", "same_place", "gained", "for_a_mark", "for_a_press")
    return {"clicks": clicks, **dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))}


def teach(marked: Marked, plan: Plan, tell: Progress) -> list[dict[str, Any]]:
    """A round without regions, with the marked ones, with those and the confirmed ones, and with all true ones."""
    rows: dict[str, dict[str, Any]] = {}
    for seed in range(plan.seeds):
        drawn_N4 = np.full(marked.truth_N4.shape, np.nan)
        both_N4 = drawn_N4.copy()
        for marks, others, boxes_M4 in marked.proposed(plan.teach, seed):
            right = overlaps(boxes_M4, marked.truth_N4[others]) >= RIGHT
            drawn_N4[marks] = both_N4[marks] = marked.truth_N4[marks]
            both_N4[others[right]] = boxes_M4[right]
        arms = {
            "nothing": np.full(marked.truth_N4.shape, np.nan), f"{plan.teach} marked a class": drawn_N4,
            f"{plan.teach} marked, and confirmed": both_N4, "every true box": marked.truth_N4,
        }  # fmt: skip
        for name, regions_N4 in arms.items():
            row = rows.setdefault(name, {"taught": name, "accuracy": [], "energy": [], "lift": []})
            row["regions"] = int(np.isfinite(regions_N4).all(axis=1).sum())
            told = _taught(marked, regions_N4, plan, seed, lambda done, text, name=name: tell(done, f"{name}: {text}"))  # type: ignore[misc]
            for figure, value in told.items():
                row[figure].append(value)
    return list(rows.values())


def _taught(marked: Marked, regions_N4: Floats, plan: Plan, seed: int, tell: Progress) -> dict[str, float]:
    material, device = marked.material, pool.device()
    wanted = config.for_backbone(plan.backbone, num_classes=len(material.class_names))
    net = raum_net.build(dataclasses.replace(wanted, seed=seed)).to(device)
    train.train(
        net,
        labelled_images=material.images_NHWC[marked.at_N],
        labels_N=marked.labels_N,
        unlabelled_images=material.images_NHWC[material.unlabelled_N],
        config=config.training(wanted, on_cpu=device.type == "cpu", steps=plan.steps, method=plan.method, seed=seed),
        regions_N4=regions_N4.astype(np.float32) if np.isfinite(regions_N4).any() else None,
        progress=tell,
    )
    tests = material.test_N
    found = predict.embed(net, material.images_NHWC[tests], keep_features=True)
    with torch.inference_mode():
        said_N = net.head.mean_network(torch.from_numpy(found.embeddings_ND).to(device)).argmax(1).cpu().numpy()
    assert found.attention_NHW is not None
    energies, lifts = [], []
    for map_HW, box in zip(found.attention_NHW, material.boxes_N4[tests], strict=True):
        if np.isfinite(box).all():
            lifts.append(overlay_quality.energy_lift(map_HW - map_HW.min(), box.tolist()))
            energies.append(lifts[-1] * float(np.prod(box[2:] - box[:2])))
    right = float((said_N == material.labels_N[tests]).mean())
    return {"accuracy": right, "energy": float(np.mean(energies)), "lift": float(np.mean(lifts))}


def overlaps(a_N4: Floats, b_N4: Floats) -> Floats:
    """The IoU of each pair of boxes x, y, w, h."""
    over_N2 = np.minimum(a_N4[:, :2] + a_N4[:, 2:], b_N4[:, :2] + b_N4[:, 2:]) - np.maximum(a_N4[:, :2], b_N4[:, :2])
    shared_N = np.clip(over_N2, 0, None).prod(axis=1)
    return np.asarray(shared_N / (a_N4[:, 2:].prod(axis=1) + b_N4[:, 2:].prod(axis=1) - shared_N))


def _sizes(edges_N4: Floats) -> Floats:
    """left, top, right, bottom as x, y, w, h."""
    return np.concatenate([edges_N4[:, :2], edges_N4[:, 2:] - edges_N4[:, :2]], axis=1)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['clicks']:>3} marked a class   IoU .3 {row['iou30']:.3f}   .5 {row['iou50']:.3f}   centre {row['centre']:.3f}   "
        f"same place {row['same_place']:.3f}   gained {row['gained']:.1f} a class, {row['for_a_mark']:.1f} for a mark, "
        f"{row['for_a_press']:.1f} for a press"
    )


def _both(values: list[float], digits: int = 3) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"
