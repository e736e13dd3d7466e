"""A trained classifier in three lines: load a file, call it with images, read names and probabilities.

from model import classifier
net = classifier.load("runs/last/checkpoint.safetensors")
for answer in net(["a.jpg", "b.jpg"]): print(answer.path, answer.name, answer.probability)
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from model import checkpoint, errors, predict, uncertainty
from model.data import ahead, sources
from model.network import raum_net

DRAWS, SEED = 30, 0  # of the posterior: always the same masks, so that an image always gets the same answer
EXPORTED = "model.safetensors"  # in a folder that was exported
NOTHING = float("nan")
Looked = TypeVar("Looked")


class Judged(NamedTuple):
    """What a head says of a batch: probabilities (B, K), and per image, in nats, the entropy of those and its epistemic part."""

    probs_BK: NDArray[np.floating]
    entropy_B: NDArray[np.floating]
    epistemic_B: NDArray[np.floating]


class Answer(NamedTuple):
    """One image. `probabilities` of every class, the likeliest first; `entropy` of them and `epistemic`, its part that more
    labels would remove, in nats. An unreadable image has a `problem`, no name and NaN."""

    path: str
    name: str
    probability: float
    probabilities: dict[str, float]
    entropy: float
    epistemic: float
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Classifier:
    """`judge` turns embeddings into answers; `meta` is what the checkpoint says of itself."""

    net: raum_net.RaumNet
    names: list[str]
    judge: Callable[[NDArray[np.float32]], Judged]
    meta: dict[str, Any]

    def __call__(self, paths: Iterable[sources.Where]) -> list[Answer]:
        """An answer for each image file, in order."""
        return list(self.stream(paths))

    def stream(self, paths: Iterable[sources.Where], *, workers: int = 0) -> Iterator[Answer]:
        """The same, one after another, for any number of files: the next ones are decoded while the network computes."""
        for path, found in each(self.net, paths, self._look, workers=workers):
            if isinstance(found, errors.UnreadableImage):
                yield Answer(path, "", NOTHING, {}, NOTHING, NOTHING, found.problem)
            else:
                yield found._replace(path=path)

    def _look(self, embeddings_BD: NDArray[np.float32]) -> list[Answer]:
        judged, answers = self.judge(embeddings_BD), []
        order_BK = np.argsort(-judged.probs_BK, axis=1, kind="stable")
        for probs_K, order_K, entropy, epistemic in zip(judged.probs_BK, order_BK, *judged[1:], strict=True):
            of = {self.names[k]: float(probs_K[k]) for k in order_K}
            name = self.names[order_K[0]]
            answers.append(Answer("", name, of[name], of, float(entropy), float(epistemic)))
        return answers


def each(
    net: raum_net.RaumNet,
    paths: Iterable[sources.Where],
    look: Callable[[NDArray[np.float32]], Sequence[Looked]],
    *,
    workers: int = 0,
) -> Iterator[tuple[str, Looked | errors.UnreadableImage]]:
    """Each path with what `look` finds in its embedding (it gets a batch of them), or with why it cannot be read."""
    taken, side = collections.deque[str](), net.config.image_size

    def noted() -> Iterator[sources.Where]:
        for path in paths:
            taken.append(str(path))
            yield path

    for part in ahead.batches(noted(), side=side, batch=predict.good_batch(net), workers=workers):
        found: list[Any] = [None] * (len(part.images_NHWC) + len(part.problems))
        if len(part.images_NHWC):
            looked = look(predict.embed(net, part.images_NHWC).embeddings_ND)
            for at, answer in zip(part.positions_N, looked, strict=True):
                found[at] = answer
        problems = iter(part.problems)
        for answer in found:
            yield taken.popleft(), next(problems) if answer is None else answer


def load(source: str | Path, *, names: list[str] | None = None, device: torch.device | None = None) -> Classifier:
    """From a checkpoint, or from a folder that `export-model` wrote.

    names: of the classes, in the order of the checkpoint's class ids; without them those that it holds, else their ids.
    Raises BadCheckpoint, NotFinite as checkpoint.load does, BadInput where the names do not fit.
    """
    file = Path(source) / EXPORTED if Path(source).is_dir() else Path(source)
    net, class_ids, meta = checkpoint.load(file)
    names = names or meta.get("class_names") or [f"class {each}" for each in class_ids]
    if len(names) != len(class_ids) or len(set(names)) != len(names):
        raise errors.BadInput(f"{len(set(names))} distinct names for the {len(class_ids)} classes of {file}")
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = net.to(device)
    return Classifier(net, names, posterior(net, float(meta.get("temperature", 1.0))), meta)


def posterior(net: raum_net.RaumNet, temperature: float) -> Callable[[NDArray[np.float32]], Judged]:
    """The network's own head: the mean of its posterior draws, always the same ones, at this temperature."""
    draws = draws_of(net, temperature)

    def judge(embeddings_BD: NDArray[np.float32]) -> Judged:
        told = uncertainty.decompose(draws(embeddings_BD))
        return Judged(np.exp(told.mean_NK), told.total_N, told.epistemic_N)

    return judge


def draws_of(net: raum_net.RaumNet, temperature: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """From embeddings to log_probs_BSK: DRAWS draws of the network's own head, always the same ones."""
    weights_SKD = net.head.drawn(DRAWS, torch.Generator().manual_seed(SEED)).detach()

    def draw(embeddings_BD: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding = torch.from_numpy(embeddings_BD).to(weights_SKD.device)
            return net.head.under(embedding, weights_SKD, temperature).cpu().numpy()

    return draw
