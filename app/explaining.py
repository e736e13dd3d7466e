"""`explain`: what a checkpoint looks at in the images of a folder, every kind of map as a picture, and a page of all."""

import dataclasses
import html
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import errors, jobs, overlays, painting, pool
from model import checkpoint, predict
from model import errors as model_errors
from model.data import datasets, pixels

Progress = Callable[[float, str], None]
Pixels = NDArray[np.uint8]
BATCH = 16
SHORT_SIDE = 384  # of the pictures that are written
ALL = "all"


@dataclasses.dataclass(frozen=True)
class _Asked:
    """One image of the folder: its picture as it is shown, and the path of what is made of it, without KIND.png."""

    pixels_HWC: Pixels
    name: str


def command(ckpt: Path, folder: Path, *, kinds: Sequence[str], out: Path) -> None:
    """Write the pictures with a bar, then say how many; unreadable images are named and left out."""
    with jobs.bar("explain") as tell:
        written, left_out = explain(ckpt, folder, kinds=kinds, out=out, progress=tell)
    for problem in left_out:
        print(f"left out: {problem}")
    print(f"{written:,} pictures; look at {out / 'index.html'}")


def explain(ckpt: Path, folder: Path, *, kinds: Sequence[str], out: Path, progress: Progress) -> tuple[int, list[str]]:
    """Write IMAGE.KIND.png for every image and kind into `out`, in folders like the images', and index.html.

    Returns how many pictures were written, and a sentence for each image that cannot be read. Raises BadRequest for a
    kind that this network does not have."""
    net, class_ids, meta = checkpoint.load(ckpt)
    net.to(pool.device())
    wanted = _wanted(kinds, net)
    names = meta.get("class_names") or [f"class {class_id}" for class_id in class_ids]
    paths = _paths(folder)
    stems = Counter((path.parent, path.stem) for path in paths)
    left_out: list[str] = []
    rows: list[str] = []
    written = 0
    for start in range(0, len(paths), BATCH):
        asked: list[_Asked] = []
        inputs: list[Pixels] = []
        for path in paths[start : start + BATCH]:
            try:
                inputs.append(pixels.decode(path, size=net.config.image_size))
                shown = pixels.decode(path, short_side=SHORT_SIDE)
            except model_errors.UnreadableImage as problem:
                left_out.append(str(problem))
                del inputs[len(asked) :]
                continue
            alone = stems[path.parent, path.stem] == 1
            asked.append(
                _Asked(shown, path.relative_to(folder).with_name(path.stem if alone else path.name).as_posix())
            )
        if asked:
            found, shares_NK = pictures(net, np.stack(inputs))
            for each, drawn, shares_K in zip(asked, found, shares_NK, strict=True):
                row = _write(each, {kind: drawn[kind] for kind in wanted if kind in drawn}, shares_K, names, out)
                rows.append(row)
                written += row.count("<figure>")
        progress(min(1.0, (start + BATCH) / len(paths)), f"{min(start + BATCH, len(paths)):,} of {len(paths):,} images")
    if not rows:
        raise errors.BadRequest(
            f"none of the {len(paths)} images below {folder} could be read; the first: {left_out[0]}"
        )
    (out / "index.html").write_text(_page(ckpt, rows, left_out), encoding="utf-8")
    return written, left_out


def pictures(
    net: Any, images_NHWC: Pixels, *, rank: int = 0
) -> tuple[list[dict[str, predict.Picture]], NDArray[np.float32]]:
    """Every kind of map of each image in 0..1, for the network's own class at `rank` (0 its likeliest), and probabilities
    (N, K)."""
    found = predict.embed(net, images_NHWC, keep_features=True, rank=rank)
    assert found.features_NDHW is not None
    assert found.attention_NHW is not None
    assert found.own_N is not None
    with torch.inference_mode():
        embeddings = torch.from_numpy(found.embeddings_ND).to(next(net.parameters()).device)
        shares_NK = net.head(embeddings).float().softmax(1).cpu().numpy()
        directions_KD = net.head.linear_form(embeddings[:1])[0].float().cpu().numpy()
    drawn = []
    for row, order in enumerate(np.argsort(-shares_NK, axis=1, kind="stable")):
        top = [int(k) for k in order[min(rank, len(order) - 1) :][:2]]
        features, pooling = found.features_NDHW[row], found.attention_NHW[row]
        maps = overlays.kinds_of(features, pooling, directions_KD, top, trained=True)
        told = {
            kind: predict.Picture(
                overlays.shares(grid).astype(np.float16), top[0] if overlays.KINDS[kind].for_class else None
            )
            for kind, grid in maps.items()
        }
        drawn.append(told | found.own_N[row])
    return drawn, shares_NK


def _wanted(kinds: Sequence[str], net: Any) -> list[str]:
    """The asked kinds in the order of the table; every one that the network has where ALL is among them."""
    own = set(net.attention.KINDS)
    there = [kind for kind in overlays.KINDS if kind in own or kind in overlays.EVERYWHERE]
    for kind in kinds:
        if kind != ALL and kind not in there:
            raise errors.BadRequest(
                f"a network with the attention {net.config.attention!r} has no map {kind!r}; it has {', '.join(there)}"
            )
    return [kind for kind in there if ALL in kinds or kind in kinds]


def _paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise errors.BadRequest(f"{folder} is no folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in datasets.SUFFIXES)
    if not found:
        raise errors.BadRequest(f"{folder} holds no image ({', '.join(datasets.SUFFIXES)})")
    return found


def _write(
    asked: _Asked, drawn: dict[str, predict.Picture], shares_K: NDArray[np.float32], names: Sequence[str], out: Path
) -> str:
    """Write the pictures of one image; returns its part of the page."""
    order = np.argsort(-shares_K, kind="stable")
    said = ", ".join(f"{names[k]} {shares_K[k]:.0%}" for k in order[:3])
    figures = []
    for kind, each in drawn.items():
        file = out / f"{asked.name}.{kind}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = painting.paint(
            asked.pixels_HWC, each.map_HW, frame_only=kind == "zoom", box=each.box, erased_HW=each.erased_HW
        )
        picture.save(file)
        first = names[order[0] if each.class_index is None else each.class_index]
        caption = overlays.caption(kind, first, names[order[1]] if len(order) > 1 else "")
        figures.append(_figure(file.relative_to(out), caption + _votes(kind, each, names)))
    return f"<h2>{html.escape(asked.name)}</h2><p>{html.escape(said)}</p><div>{''.join(figures)}</div>"


def _votes(kind: str, picture: predict.Picture, names: Sequence[str]) -> str:
    """What each look says, e.g. " (whole: Ash 48 %, zoom: Elm 71 %)"; nothing where there is one look."""
    if picture.votes_SK is None:
        return ""
    said = [
        f"{look}: {names[int(shares_K.argmax())]} {shares_K.max():.0%}"
        for look, shares_K in zip(overlays.looks(kind), picture.votes_SK, strict=False)
    ]
    return f" ({', '.join(said)})"


def _figure(file: Path, caption: str) -> str:
    address, told = (
        html.escape(file.as_posix().replace("%", "%25").replace("#", "%23").replace("?", "%3F")),
        html.escape(caption),
    )
    return f'<figure><img src="{address}" alt="{told}" loading="lazy"><figcaption>{told}</figcaption></figure>'


def _page(ckpt: Path, rows: Sequence[str], left_out: Sequence[str]) -> str:
    missing = "".join(f"<li>{html.escape(problem)}</li>" for problem in left_out)
    title = f"What {html.escape(ckpt.name)} looks at"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>'
        "body{font:15px/1.4 system-ui,sans-serif;margin:24px;color-scheme:light dark}div{display:flex;flex-wrap:wrap;gap:12px}"
        "figure{margin:0}img{height:220px;display:block}figcaption{max-width:320px;font-size:14px}</style>"
        f"<h1>{title}</h1>{''.join(rows)}{f'<h2>Left out</h2><ul>{missing}</ul>' if missing else ''}</html>\n"
    )
