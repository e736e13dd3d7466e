"""`pretrain`: a small backbone learns from a teacher's features on pictures of any kind; what it leaves is one file."""

import dataclasses
import importlib.util
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import board as boards
from app import dreaming, errors, jobs, loggers, pool, processes
from model import config, pretrain, pretrain_crops, together
from model import errors as model_errors
from model.data import datasets, pixels, procedural
from model.network import pretrained, raum_net

Progress = Callable[[float, str], None]
SIDE = procedural.SIDE


@dataclasses.dataclass(frozen=True)
class Dreams:
    """How many pictures to dream, their share of every batch, and of how many of the teacher's classes (0: all)."""

    count: int = 0
    share: float = 0.5
    classes: int = 0


def command(
    folders: Sequence[Path],
    *,
    drawn: int,
    drawn_share: float,
    dreams: Dreams,
    teacher: str,
    student: str,
    size: int,
    start: Path | None,
    out: Path,
    recipe: config.PretrainConfig,
    licence: str,
    resume: bool,
    threads: int,
) -> None:
    """One distillation with its bar; prints what the file says of itself. threads 0: as many as torch takes."""
    processes.keep_memory()
    if threads:
        torch.set_num_threads(threads)
    with jobs.bar("pretrain") as tell:
        figures = pretrain_(
            folders,
            drawn=drawn,
            drawn_share=drawn_share,
            dreams=dreams,
            teacher=teacher,
            student=student,
            size=size,
            start=start,
            out=out,
            recipe=recipe,
            licence=licence,
            resume=resume,
            progress=tell,
        )
    print(json.dumps(figures, indent=1))


def pretrain_(
    folders: Sequence[Path],
    *,
    drawn: int,
    drawn_share: float,
    dreams: Dreams,
    teacher: str,
    student: str,
    size: int,
    start: Path | None,
    out: Path,
    recipe: config.PretrainConfig,
    licence: str,
    resume: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Distil and write `out`; what the file says of itself is returned. Beside it stand OUT.run, to resume, and a log."""
    started = time.strftime("%Y-%m-%d")
    try:
        joined = together.join(os.environ, pool.device().type)
        run = pretrain.Distillation(*_networks(teacher, student, size, start), recipe, joined)
        kept = out.with_name(f"{out.name}.run")
        if resume:
            run.restore(_read_state(kept))
        groups = _pictures(folders, drawn, drawn_share, recipe.seed, progress)
        if dreams.count:
            groups = _with_dreams(groups, dreams, teacher, recipe.seed, out, progress)
        described: dict[str, Any] = {
            "teacher": Path(
                teacher.removeprefix(config.HF_PREFIX)
            ).name,  # where it lies on this machine tells others nothing
            "data": [f"{name}: {len(group.images_NHWC):,} pictures" for name, group in groups.items()],
            "licence": licence,
            "started": started,
        }
        if start is not None:
            described["went_on_from"] = pretrained.describe(start)
        with _logged(out, first=joined.rank == 0) as log:
            keep = _keeper(run, out, kept, described) if joined.rank == 0 else None
            pretrain.distil(run, list(groups.values()), progress=progress, log=log, keep=keep)
        joined.leave()
    except model_errors.ModelError as problem:
        raise errors.BadRequest(str(problem)) from problem
    return {**described, "steps": run.steps, "seconds": round(run.seconds, 1), "file": str(out)}


def _networks(teacher: str, student: str, size: int, start: Path | None) -> tuple[raum_net.RaumNet, raum_net.RaumNet]:
    """The student, with fresh weights or those of the file `start`, and the teacher, on this machine's device."""
    if student not in config.NATIVE_IMAGE_SIZES:
        raise model_errors.UnknownName("student", student, config.NATIVE_IMAGE_SIZES)
    if not teacher.startswith(config.HF_PREFIX):
        raise errors.BadRequest(f"the teacher is {teacher!r}; give hf:FOLDER or hf:OWNER/NAME with pretrained weights")
    if start is not None:
        size = size or int(pretrained.pixels(start, student)["image_size"])
    wanted = config.for_backbone(student, num_classes=1, image_size=size or None)
    # Each cell of the student is compared with the teacher's: nano's file says that cells need not count alike.
    pooling = config.SALIENT if student == config.NANO else wanted.pooling
    wanted = dataclasses.replace(wanted, pretrained=start is not None, weights=str(start or ""), pooling=pooling)
    guide = raum_net.build(config.for_backbone(teacher, num_classes=1))
    return raum_net.build(wanted).to(pool.device()), guide.to(pool.device())


def _keeper(
    run: pretrain.Distillation, out: Path, kept: Path, described: dict[str, Any]
) -> Callable[[dict[str, Any]], None]:
    """Writes the state to go on from, and the weights as they are."""

    def keep(state: dict[str, Any]) -> None:
        pretrain.write_state(kept, state)
        pretrain.save(out, run, described)

    return keep


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise errors.BadRequest(f"there is no {path} to resume; start without --resume")
    return pretrain.read_state(path)


def _pictures(
    folders: Sequence[Path], drawn: int, drawn_share: float, seed: int, progress: Progress
) -> dict[str, pretrain_crops.Group]:
    """The folders' pictures, shared by their number, and the drawn ones with their own share of every batch."""
    found = {str(folder): _read(folder, progress) for folder in folders}
    total = sum(len(images) for images in found.values())
    if not total and not drawn:
        raise errors.BadRequest("there is nothing to learn from; give --images DIR, --procedural N, or both")
    share = drawn_share if total and drawn else float(not total)
    groups = {
        Path(name).name: pretrain_crops.Group(images, (1 - share) * len(images) / total)
        for name, images in found.items()
    }
    if drawn:
        groups["drawn pictures"] = pretrain_crops.Group(_drawn(drawn, seed, progress), share)
    return groups


def _with_dreams(
    groups: dict[str, pretrain_crops.Group], wanted: Dreams, teacher: str, seed: int, out: Path, progress: Progress
) -> dict[str, pretrain_crops.Group]:
    """The groups, each with less of a batch, and pictures dreamed from pieces of the last (the drawn, if any), kept in
    OUT.dreams.npz."""
    images = dreaming.dreamed(
        wanted.count,
        teacher=teacher,
        starts=list(groups.values())[-1].images_NHWC,
        classes=wanted.classes,
        seed=seed,
        kept=out.with_name(f"{out.name}.dreams.npz"),
        progress=progress,
    )
    rest = 1 - wanted.share
    told = {name: pretrain_crops.Group(group.images_NHWC, group.share * rest) for name, group in groups.items()}
    return {**told, "pictures dreamed from the teacher": pretrain_crops.Group(images, wanted.share)}


def _read(folder: Path, progress: Progress) -> NDArray[np.uint8]:
    """Every readable picture below a folder as a square; the others are named and left out."""
    if not folder.is_dir():
        raise errors.BadRequest(f"{folder} is no folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in datasets.SUFFIXES)
    images = []
    for at, path in enumerate(paths):
        try:
            images.append(pixels.decode(path, size=SIDE))
        except model_errors.UnreadableImage as problem:
            print(f"left out: {problem}")
        if at % 50 == 0:
            progress(0.0, f"decoding {at:,} of {len(paths):,} images of {folder.name}")
    if not images:
        raise errors.BadRequest(f"{folder} holds no image that can be read")
    return np.stack(images)


def _drawn(count: int, seed: int, progress: Progress) -> NDArray[np.uint8]:
    """Pictures by their numbers, drawn by as many processes as there are cores."""
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    numbers = [seed * 1_000_003 + at for at in range(count)]
    with futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pens:
        for at, picture in enumerate(pens.map(procedural.draw, numbers, chunksize=16)):
            images[at] = picture
            if at % 50 == 0:
                progress(0.0, f"drawing {at:,} of {count:,} pictures")
    return images


@contextmanager
def _logged(out: Path, *, first: bool) -> Iterator[pretrain.Log]:
    """Figures to TensorBoard where it is installed, and always to OUT.jsonl; a second process logs nothing."""
    if not first:
        yield lambda step, figures: None
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    wanted = ["tensorboard"] if importlib.util.find_spec("tensorboard") else []
    with (
        loggers.opened(wanted, out.with_name(f"{out.name}.board"), {}) as writers,
        out.with_name(f"{out.name}.jsonl").open("a", encoding="utf-8") as lines,
    ):

        def log(step: int, figures: dict[str, float]) -> None:
            if step % 10:
                return
            lines.write(json.dumps({"step": step, **{name: round(value, 5) for name, value in figures.items()}}) + "\n")
            lines.flush()
            boards.tell(writers, "pretrain", figures, step)

        yield log
