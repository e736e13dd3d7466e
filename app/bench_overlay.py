"""`bench overlay`: how good the maps of each attention are: boxes, energy, deletion and insertion, class, cost."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import errors, explaining, jobs, options, overlay_data, pool, processes
from model import checkpoint, config, overlay_quality, predict, train
from model.network import raum_net

Progress = Callable[[float, str], None]
CHUNK = 32  # images whose maps are held at once
COLUMNS = {  # name of a figure -> heading, digits
    "top1": ("top-1", 3), "v2": ("V2", 3), "iou30": ("IoU .3", 3), "iou50": (".5", 3), "iou70": (".7", 3),
    "lift": ("lift", 2), "deletion": ("deletion", 3), "insertion": ("insertion", 3), "sensitivity": ("class", 2),
    "ms": ("ms", 1),
}  # fmt: skip
HOW = """\
V2: MaxBoxAccV2, the mean of the shares of images at IoU .3, .5 and .7 where any region of the map (upsampled to 224) above a
threshold, the best for the whole set, has a tight box that overlaps the true box so much. lift: the map's energy in the
box by the box's share of the image (1: anywhere). deletion, insertion: area under the probability of the network's own
class while cells go, or come back into a blur, by the map, minus the same in random order: less and more is better; on
{faithful} images. class: 1 - correlation of the maps of the first and second class (0: it does not follow the class).
ms: an image's pass with all its maps in batches. parameters: beyond those of cam with the same backbone.
uniform, centre: a map without network, for the boxes alone."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, for how long (steps 0: the backbone's own number), and on how many test images deletion runs."""

    backbone: str
    attentions: list[str]
    ckpts: list[Path]
    steps: int
    method: str
    seeds: int
    faithful: int


def command(folder: Path | None, plan: Plan, sizes: overlay_data.Sizes, *, json_file: Path | None) -> None:
    """Train what is named, measure, print a row for each map and how it was measured, write the figures."""
    processes.keep_memory()
    with jobs.bar("overlay") as tell:
        runs, material = measure(folder, plan, sizes, progress=tell)
    _print(runs)
    boxes = int(np.isfinite(material.boxes_N4[material.test_N]).all(axis=1).sum())
    trained = f"; trained on {len(material.labelled_N)} labelled and {len(material.unlabelled_N)} unlabelled images, "
    trained += f"{plan.method}, {plan.steps or 'its own number of'} steps, {plan.seeds} seed(s), ± is their deviation"
    print(
        f"{material.name}: {len(material.test_N)} test images, {boxes} with a true box"
        + (trained if plan.attentions else "")
    )
    print(HOW.format(faithful=min(plan.faithful, len(material.test_N))))
    if json_file:
        told = {"material": material.name, "plan": dataclasses.asdict(plan), "runs": runs}
        json_file.write_text(json.dumps(told, indent=1, default=str), encoding="utf-8")


def measure(
    folder: Path | None, plan: Plan, sizes: overlay_data.Sizes, *, progress: Progress
) -> tuple[list[dict[str, Any]], overlay_data.Material]:
    """A row for each map of each trained network, checkpoint and seed; without a folder on freshly drawn beetles."""
    loaded = [(path, *checkpoint.load(path)) for path in plan.ckpts]
    sides = {net.config.image_size for _, net, *_ in loaded}
    if plan.attentions:
        sides.add(config.for_backbone(plan.backbone, num_classes=2).image_size)
    if len(sides) != 1:
        raise errors.BadRequest("give --ckpt or --attention, and checkpoints whose images have one size")
    side = sides.pop()
    if folder is None:
        material = overlay_data.from_demo(sizes, side=side, progress=progress)
    else:
        material = overlay_data.from_folder(folder, sizes, side=side, seed=0, progress=progress)
    rows = _without_network(material)
    for path, net, class_ids, meta in loaded:
        if meta.get("class_names", material.class_names) != material.class_names or len(class_ids) != len(
            material.class_names
        ):
            raise errors.BadRequest(f"{path} knows other classes than {material.name}")
        rows += _measured(net.to(pool.device()), path.name, 0, material, plan, progress)
    for attention in plan.attentions:
        for seed in range(plan.seeds):
            net = _trained(attention, seed, material, plan, progress)
            rows += _measured(net, attention, seed, material, plan, progress)
    return rows, material


def _trained(attention: str, seed: int, material: overlay_data.Material, plan: Plan, progress: Progress) -> Any:
    network = config.for_backbone(plan.backbone, num_classes=len(material.class_names))
    name, *given = attention.split(":")
    wanted = dataclasses.replace(network, attention=name, attention_options=options.named(given), seed=seed)
    net = raum_net.build(wanted).to(pool.device())
    on_cpu = pool.device().type == "cpu"
    train.train(
        net,
        labelled_images=material.images_NHWC[material.labelled_N],
        labels_N=material.labels_N[material.labelled_N],
        unlabelled_images=material.images_NHWC[material.unlabelled_N],
        config=config.training(network, on_cpu=on_cpu, steps=plan.steps, method=plan.method, seed=seed),
        progress=lambda done, message: progress(done, f"{attention}, seed {seed}: {message}"),
    )
    return net


def _without_network(material: overlay_data.Material) -> list[dict[str, Any]]:
    """What a map scores that knows nothing of the image: the same everywhere, and a hill in the middle."""
    ruler = np.linspace(-2, 2, 14)
    hill_HW = np.exp(-np.add.outer(ruler**2, ruler**2) / 2)
    rows = []
    for name, map_HW in (("uniform", np.ones((14, 14))), ("centre", hill_HW)):
        boxes = _Boxes()
        for box in material.boxes_N4[material.test_N]:
            boxes.take(map_HW, box)
        rows.append({"head": "-", "map": name, "seed": 0, **boxes.figures()})
    return rows


class _Boxes:
    """How far maps agree with true boxes, image by image."""

    def __init__(self) -> None:
        self.ious: list[NDArray[np.float64]] = []
        self.lifts: list[float] = []

    def take(self, map_HW: NDArray[Any], box: NDArray[np.float64]) -> None:
        if np.isfinite(box).all():
            self.ious.append(overlay_quality.box_ious(map_HW, box.tolist()))
            self.lifts.append(overlay_quality.energy_lift(map_HW, box.tolist()))

    def figures(self) -> dict[str, float | None]:
        if not self.ious:
            return {}
        v2, rates, _ = overlay_quality.max_box_acc(np.stack(self.ious))
        return {"v2": v2, **dict(zip(("iou30", "iou50", "iou70"), rates, strict=True)), "lift": _mean(self.lifts)}


@dataclasses.dataclass
class _Map:
    """What is gathered of one kind of map."""

    boxes: _Boxes = dataclasses.field(default_factory=_Boxes)
    deletion: list[float] = dataclasses.field(default_factory=list)
    insertion: list[float] = dataclasses.field(default_factory=list)
    sensitivity: list[float] = dataclasses.field(default_factory=list)


def _measured(
    net: Any, head: str, seed: int, material: overlay_data.Material, plan: Plan, progress: Progress
) -> list[dict[str, Any]]:
    """A row for each kind of map that this network draws."""
    rng = np.random.default_rng(seed)
    gathered: dict[str, _Map] = {}
    right, seconds, done = 0, 0.0, 0
    explaining.pictures(net, material.images_NHWC[material.test_N[:2]])  # what is compiled first is not counted
    for start in range(0, len(material.test_N), CHUNK):
        chosen = material.test_N[start : start + CHUNK]
        images = material.images_NHWC[chosen]
        began = time.perf_counter()
        first, shares_NK = explaining.pictures(net, images)
        seconds += time.perf_counter() - began
        second, _ = explaining.pictures(net, images, rank=1)
        right += int((shares_NK.argmax(axis=1) == material.labels_N[chosen]).sum())
        for row, position in enumerate(chosen):
            random: dict[tuple[int, int], tuple[float, float]] = {}
            for kind, picture in first[row].items():
                found = gathered.setdefault(kind, _Map())
                found.boxes.take(picture.map_HW, material.boxes_N4[position])
                if kind in second[row]:
                    rival_HW = second[row][kind].map_HW
                    found.sensitivity.append(overlay_quality.class_sensitivity(picture.map_HW, rival_HW))
                if done < plan.faithful:
                    _faithful(net, images[row], picture, found, random, rng)
            done += 1
            progress(done / len(material.test_N), f"{head}, seed {seed}: {done:,} of {len(material.test_N):,} images")
    common = {"top1": right / len(material.test_N), "ms": 1000 * seconds / len(material.test_N), "more": _more(net)}
    return [
        {
            "head": head, "map": kind, "seed": seed, **common, **found.boxes.figures(), "deletion": _mean(found.deletion),
            "insertion": _mean(found.insertion), "sensitivity": _mean(found.sensitivity),
        }
        for kind, found in gathered.items()
    ]  # fmt: skip


def _faithful(
    net: Any, image: NDArray[np.uint8], picture: predict.Picture, found: _Map, random: dict[Any, Any], rng: Any
) -> None:
    """Deletion and insertion minus those of a random order of the same cells, drawn once an image and grid."""
    grid, mean = picture.map_HW.shape, net.config.mean
    if grid not in random:
        shuffled = rng.permutation(grid[0] * grid[1])
        random[grid] = overlay_quality.curves(image, shuffled, grid, lambda batch: _shares(net, batch), mean=mean)
    order = overlay_quality.order(picture.map_HW)
    deletion, insertion = overlay_quality.curves(image, order, grid, lambda batch: _shares(net, batch), mean=mean)
    found.deletion.append(deletion - random[grid][0])
    found.insertion.append(insertion - random[grid][1])


def _shares(net: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    embeddings = torch.from_numpy(predict.embed(net, images).embeddings_ND).to(next(net.parameters()).device)
    with torch.inference_mode():
        shares: NDArray[np.float32] = net.head(embeddings).float().softmax(1).cpu().numpy()
    return shares


def _more(net: Any) -> int:
    """Parameters beyond those of the same backbone with cam."""
    plain = dataclasses.replace(net.config, attention="cam", attention_options={}, pretrained=False)
    bare = raum_net.build(plain, backbone_settings=raum_net.describe_backbone(net))
    ours, plain_ones = (sum(p.numel() for p in each.parameters()) for each in (net, bare))
    return int(ours - plain_ones)


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _print(rows: Sequence[dict[str, Any]]) -> None:
    """A line for each head and map, the mean of its seeds."""
    from rich import console, table

    shown = table.Table("head", "map", box=None)
    for heading in (*(heading for heading, _ in COLUMNS.values()), "parameters"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for head, kind in dict.fromkeys((row["head"], row["map"]) for row in rows):
        same = [row for row in rows if (row["head"], row["map"]) == (head, kind)]
        cells = [_cell([row.get(name) for row in same], digits) for name, (_, digits) in COLUMNS.items()]
        more = f"{same[0]['more']:+,}" if "more" in same[0] else "-"
        shown.add_row(head, kind, *cells, more)
    wide = console.Console()
    console.Console(width=max(wide.width, 150)).print(shown)


def _cell(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f"±{statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.{digits}f}{spread}"
