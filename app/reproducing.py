"""`reproduce table1`: trains what the published table asks for, one network after another, and goes on where it was stopped."""

import dataclasses
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import decoded, errors, pool, processes, table1, testing, training
from model import config
from model.data import datasets, occlusion
from model.network import raum_net

Progress = Callable[[float, str], None]
KEPT_BYTES = 2_000_000_000  # of covered test images
OF_A_MACHINE = ("precision", "accumulate", "fit_batch")  # values that say how it computes, not what


@dataclasses.dataclass(frozen=True)
class Plan:
    """seeds: of the trainings; steps: 0 for the training's own number; occlude_training: every column is trained with its own
    occlusion rate instead of one network, trained on whole images, for all three."""

    dataset: str
    root: Path
    cells: list[table1.Cell]
    seeds: list[int]
    backbone: str = "vmamba_nano"
    attention: str = "region"
    steps: int = 0
    class_subset: int = 0
    validation_share: float = 0.1
    occlude_training: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: `covered` is its occlusion rate in per cent, None where whole images serve every column."""

    method: str
    labels: int
    seed: int
    covered: int | None

    @property
    def name(self) -> str:
        """Its key in the file."""
        trained = "" if self.covered is None else f"/trained with {self.covered}"
        return f"{self.method}/{self.labels}/seed {self.seed}{trained}"

    @property
    def cells(self) -> list[table1.Cell]:
        """The cells that it serves."""
        served = table1.OCCLUSIONS if self.covered is None else (self.covered,)
        return [table1.Cell(self.method, self.labels, each) for each in served]


def table(plan: Plan, file: Path, *, progress: Progress, at_once: int = 1) -> dict[str, Any]:
    """Train and test every run of the plan that `file` does not hold yet, adding each to it when it is done; `at_once`
    of them at a time, which share the cores (and a GPU).

    Returns {"settings", "rows": of table1.figures} of all that the file holds and that was made with the plan's values, also
    of cells and seeds that this plan does not ask for. Raises BadRequest where the file is that of other data or another
    network.
    """
    kept = _kept(file, _settings(plan))
    missing = [run for run in runs(plan) if not _holds(kept, plan, run)]
    at_once = min(at_once, len(missing))
    done = _one_by_one(plan, missing, progress) if at_once < 2 else _apart(plan, missing, progress, at_once)
    for run, found in done:
        kept["runs"][run.name] = found
        _write(file, kept)
    made = [Run(**each["run"]) for each in kept["runs"].values()]
    outcomes = [
        table1.Outcome(cell, run.seed, _unpacked(kept["runs"][run.name]["tests"][str(cell.occlusion)]))
        for run in made
        if (run.covered is not None) == plan.occlude_training and _holds(kept, plan, run)
        for cell in run.cells
    ]
    return {"settings": kept["settings"], "rows": table1.figures(plan.dataset, outcomes)}


def _holds(kept: dict[str, Any], plan: Plan, run: Run) -> bool:
    """Whether the file has the run with the values that it would have now."""
    there: bool = kept["runs"].get(run.name, {}).get("values") == _values(plan, run)
    return there


def _one_by_one(plan: Plan, missing: list[Run], progress: Progress) -> Iterator[tuple[Run, dict[str, Any]]]:
    bench = _Bench(plan, progress) if missing else None
    for number, run in enumerate(missing):
        assert bench is not None
        yield run, bench.run(run, _share_of(progress, number, len(missing), run.name))


def _apart(plan: Plan, missing: list[Run], progress: Progress, count: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """In processes of their own, each run as it is done."""
    told = (plan, max(1, (os.cpu_count() or 1) // count), os.getpid())
    with futures.ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, told) as executor:
        begun = {executor.submit(_run, run): run for run in missing}
        try:
            for number, each in enumerate(futures.as_completed(begun), 1):
                progress(number / len(missing), f"{begun[each].name} is done")
                yield begun[each], each.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _begin(plan: Plan, threads: int, parent: int) -> None:
    """Prepare a process that runs will come to, and that ends with the one that sends them."""
    processes.end_with(parent)
    processes.keep_memory()
    torch.set_num_threads(threads)
    _held.append(_Bench(plan, _quiet))


def _run(run: Run) -> dict[str, Any]:
    return _held[0].run(run, _quiet)


def _quiet(share: float, said: str) -> None:
    """The progress of one run among many is told nobody."""


def _share_of(progress: Progress, number: int, count: int, name: str) -> Progress:
    return lambda share, said: progress((number + share) / count, f"{name}: {said}")


def runs(plan: Plan) -> list[Run]:
    """The trainings that the cells need, seed by seed, so that what is there at any moment can be compared."""
    found: dict[Run, None] = {}
    for seed in plan.seeds:
        for cell in plan.cells:
            covered = cell.occlusion if plan.occlude_training else None
            found[Run(cell.method, cell.labels, seed, covered)] = None
    return list(found)


class _Bench:
    """The data, decoded once, and the covered test images, made once where the memory is there."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan = plan
        self.data = datasets.load(plan.dataset, plan.root, classes=plan.class_subset)
        network = config.for_backbone(plan.backbone, num_classes=len(self.data.class_names))
        self.network = dataclasses.replace(network, attention=plan.attention)
        every = np.arange(len(self.data.paths))
        self.images = decoded.read(self.data.paths, every, side=network.image_size, progress=progress)
        self.covered: dict[tuple[int, bytes], NDArray[np.uint8]] = {}

    def run(self, run: Run, progress: Progress) -> dict[str, Any]:
        """Train, then test under every occlusion that it serves."""
        plan, labels_N = self.plan, self.data.labels_N
        task = training.Task(plan.dataset, plan.root, run.labels / 100, plan.class_subset, plan.validation_share)
        parts = training.divided(task, self.data, run.seed)
        net = raum_net.build(dataclasses.replace(self.network, seed=run.seed)).to(pool.device())
        figures = training.fit(net, labels_N, parts, self.images, _config(plan, run), progress=progress)
        seen = self.images.readable(parts.test)
        tests = {}
        for cell in run.cells:
            found = testing.score(net, self._test_images(seen, cell.occlusion), labels_N[seen], seed=run.seed)
            tests[str(cell.occlusion)] = {**found.figures, "right": np.packbits(found.right_N).tobytes().hex()}
        return {"run": dataclasses.asdict(run), "values": _values(plan, run), "training": figures, "tests": tests}

    def _test_images(self, seen: NDArray[np.int64], rate: int) -> NDArray[np.uint8]:
        key = (rate, seen.tobytes())
        if key not in self.covered:
            covered = occlusion.cover(self.images.of(seen), rate / 100, ids=[self.data.ids[at] for at in seen])
            if sum(each.nbytes for each in self.covered.values()) + covered.nbytes > KEPT_BYTES:
                return covered
            self.covered[key] = covered
        return self.covered[key]


_held: list[_Bench] = []  # of a process that _begin prepared


def _config(plan: Plan, run: Run) -> config.TrainConfig:
    rate = (run.covered or 0) / 100
    return training.configured(plan.backbone, run.method, {}, steps=plan.steps, occlusion_rate=rate, seed=run.seed)


def _values(plan: Plan, run: Run) -> dict[str, Any]:
    """Every value of the training: a run that was made with other ones is made again."""
    told = dataclasses.asdict(_config(plan, run))
    return {name: value for name, value in told.items() if value is not None and name not in OF_A_MACHINE}


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "dataset": plan.dataset,
        "root": str(plan.root.absolute()),
        "backbone": plan.backbone,
        "attention": plan.attention,
        "class_subset": plan.class_subset,
        "validation_share": plan.validation_share,
    }


def _kept(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What the file holds. Raises BadRequest where it is broken or belongs to other settings."""
    if not file.exists():
        return {"settings": settings, "runs": {}}
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        known = dict(kept["settings"])
        kept["runs"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise errors.BadRequest(f"{file} holds no cells of table 1 ({problem}); give another --json FILE") from problem
    for name, value in settings.items():
        if known.get(name) != value:
            raise errors.BadRequest(
                f"{file} was made with {name} {known.get(name)!r}, not {value!r}; give another --json FILE"
            )
    return kept


def _write(file: Path, kept: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    os.replace(beside, file)


def _unpacked(test: dict[str, Any]) -> NDArray[np.bool_]:
    bits = np.frombuffer(bytes.fromhex(test["right"]), np.uint8)
    return np.unpackbits(bits, count=test["n"]).astype(bool)
