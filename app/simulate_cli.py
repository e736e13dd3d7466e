"""The verb `launch.py simulate`: its options; what it needs is imported when it is run."""

import os
from pathlib import Path
from typing import Annotated

import typer

from app import options
from model import config


def simulate(
    images: Annotated[
        Path | None, typer.Option(help="ImageFolder with the truth; with metadata.csv its split is used")
    ] = None,
    boxes: options.Boxes = None,
    box_confidence: options.BoxConfidence = None,
    box_categories: options.BoxCategories = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the classes of those boxes (path, class, box_x, box_y, box_w, box_h) or of whole pictures; "
            "without: the box file's categories, or the pictures' folders where those are a detector's"
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="the demo pool, tested on freshly drawn images")] = False,
    digits: Annotated[bool, typer.Option("--digits", help="scikit-learn's bundled digits, raw pixels")] = False,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="a .npz file: embeddings_ND, labels_N (-1: the oracle rejects), optional class_names and split "
            "(0 pool, 1 test, -1 neither)"
        ),
    ] = None,
    save_embeddings: Annotated[
        Path | None, typer.Option(help="write such a file from --images or --demo, and do nothing else")
    ] = None,
    strategies: Annotated[str, typer.Option(help="comma-separated; random is always included")] = "random,auto",
    budget: Annotated[int, typer.Option(help="labels to spend")] = 200,
    batch: Annotated[int, typer.Option(help="labels between two refreshes")] = 20,
    seeds: Annotated[int, typer.Option(help="repetitions, each with its own split and start")] = 5,
    first_seed: Annotated[
        int, typer.Option(help="number of the first of them; fresh ones tell what luck does not")
    ] = 0,
    backbone: options.OneBackbone = "vmamba_nano",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="start our own variants without their pretrained weights")
    ] = False,
    crops: options.Crops = config.BOTH,
    classifier: Annotated[
        str, typer.Option(help="last_layer (the refresh's) or logistic (scikit-learn's, C 10, labels alone)")
    ] = "last_layer",
    start: Annotated[
        str, typer.Option(help="who chooses the first batch: own, or random or typical alike for all strategies")
    ] = "own",
    target: Annotated[
        str,
        typer.Option(
            help="accuracy whose cost is reported: 0.6, or a share of what all labels give: probe:0.9, full:0.9"
        ),
    ] = "0.6",
    audit: Annotated[float, typer.Option(help="share of random audit images among those asked")] = 0.0,
    noise: Annotated[
        float, typer.Option(help="share of answers that are wrong, uniformly among the other classes")
    ] = 0.0,
    tail: Annotated[float, typer.Option(help="pool class counts fall geometrically to one in this many")] = 1.0,
    out_of_class: Annotated[float, typer.Option(help="share of the pool that the oracle rejects as no class")] = 0.0,
    duplicates: Annotated[float, typer.Option(help="share of the pool that copies other images of it")] = 0.0,
    grid: Annotated[
        bool, typer.Option("--grid", help="the no-harm grid: balanced, tail, out-of-class, duplicates, two noises")
    ] = False,
    rounds_at: Annotated[
        str, typer.Option(help="label counts at which the whole network is trained, e.g. 40,120,300")
    ] = "",
    round_start: Annotated[
        str, typer.Option(help="what such a round begins with: pretrained, or last (that of the round before, by half)")
    ] = "pretrained",
    steps: Annotated[int, typer.Option(help="training steps of such a round; 0: the default")] = 0,
    draws: Annotated[int, typer.Option(help="posterior draws")] = 20,
    cache: Annotated[Path, typer.Option(help="where embeddings and finished arms are kept between runs")] = Path(
        "workspace/cache/simulate"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="take no finished arm from an earlier run")] = False,
    workers: Annotated[int, typer.Option(help="processes that share the work; 0: one for each core")] = 0,
    json_file: options.Json = None,
    plot: Annotated[Path | None, typer.Option(help="draw the curves with 95 % bands into this PNG")] = None,
) -> None:
    """The same loop without people: an oracle that knows the truth answers. Stopped, it goes on where it was."""
    from app import ingest_scenes, simulate_arm, simulate_conditions
    from app import simulate as loop

    rounds = tuple(sorted(int(at) for at in options.names(rounds_at)))
    plan = simulate_arm.Plan(
        tuple(options.names(strategies)), budget=budget, batch=batch, seeds=seeds, first_seed=first_seed, audit=audit,
        start=start, rounds_at=rounds, round_start=round_start, steps=steps, draws=draws, backbone=backbone,
        random_weights=random_weights, crops=crops, classifier=classifier,
        conditions=simulate_conditions.Conditions(noise, tail, out_of_class, duplicates),
    )  # fmt: skip
    asked = options.boxes(boxes, box_confidence, box_categories, False)
    loop.simulate(
        loop.Source(
            images, demo, digits, embeddings, boxes=ingest_scenes.Asked(**asked) if asked else None, labels=labels
        ), plan, cache=cache, target=target, grid=grid, fresh=fresh,
        save_embeddings=save_embeddings, workers=workers or os.cpu_count() or 1, json_file=json_file, plot=plot,
    )  # fmt: skip
