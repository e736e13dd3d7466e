"""The verbs of `launch.py bench` about networks and their features; what each needs is imported when it is run."""

from pathlib import Path
from typing import Annotated

import typer

from app import options
from model import config


def cold(
    images_count: Annotated[int, typer.Option(help="images of the pool")] = 10_000,
    images: Annotated[
        Path | None, typer.Option(help="folder whose pictures they are, under as many names; without it drawn ones")
    ] = None,
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
    crops: options.Crops = config.BOTH,
    json_file: options.Json = None,
) -> None:
    """First refresh of a new pool: seconds until the queue is published, what took them, peak memory."""
    from app import bench_cold as measuring

    measuring.command(count=images_count, folder=images, backbone=backbone, crops=crops, json_file=json_file)


def probe(
    images: Annotated[Path, typer.Option(help="one folder per class; the split of its metadata.csv is used")],
    backbone: options.OneBackbone = "vmamba_nano",
    weights: Annotated[Path | None, typer.Option(help="a file that pretrain wrote, instead of the bundled one")] = None,
    random: Annotated[bool, typer.Option("--random", help="random weights, to compare with")] = False,
    size: Annotated[int, typer.Option(help="side of the picture; 0: the weights' own")] = 0,
    pooling: Annotated[str, typer.Option(help="mean|salient; without it the weights' own")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are cores")] = 0,
    seed: int = 0,
    json_file: options.Json = None,
) -> None:
    """Linear probe on frozen features: test accuracy and images a second."""
    from app import probing

    probing.command(
        images, backbone=backbone, weights=weights, random=random, size=size, pooling=pooling, seed=seed, threads=threads,
        json_file=json_file,
    )  # fmt: skip


def scan(
    repeats: Annotated[int, typer.Option(help="runs of which the median is told")] = 9,
    json_file: options.Json = None,
) -> None:
    """The selective scan's backends, alone and inside vmamba_nano and vmamba_small: milliseconds and ratios."""
    from app import bench_scan as measuring

    measuring.command(repeats=repeats, json_file=json_file)


def train(
    backbone: options.OneBackbone = "vmamba_nano",
    batch: Annotated[int, typer.Option(help="labelled images of a step; 0: as a round here takes")] = 0,
    steps: Annotated[int, typer.Option(help="training steps of each turn")] = 30,
    repeats: Annotated[int, typer.Option(help="turns of which the median is told")] = 3,
    precision: Annotated[str, typer.Option(help="auto|fp32|bf16|fp16")] = "auto",
    json_file: options.Json = None,
) -> None:
    """Images a second of a round's training beside the network's bare forward and backward pass."""
    from app import bench_train as measuring

    measuring.command(
        backbone=backbone, batch=batch, steps=steps, repeats=repeats, number=precision, json_file=json_file
    )


def network(
    backbone: Annotated[str, typer.Option(help="vmamba_nano|tiny|small|base")] = "vmamba_small",
    against: Annotated[
        Path | None, typer.Option(help="a checkout of github.com/MzeroMiko/VMamba, to run beside ours")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="folder of classes: on how many images bfloat16 changes the class")
    ] = None,
    size: Annotated[int, typer.Option(help="side of the picture; 0: the backbone's own")] = 0,
    batch: Annotated[int, typer.Option(help="pictures in a pass")] = 1,
    processes: Annotated[int, typer.Option(help="child processes of each kind")] = 3,
    steps: Annotated[int, typer.Option(help="forward passes in each; a third as many training steps")] = 6,
    json_file: options.Json = None,
) -> None:
    """A forward pass and a training step on the CPU: ours, ours in bfloat16, upstream's own code, and what RAUM-Net adds."""
    from app import bench_network as measuring

    measuring.command(
        backbone=backbone,
        against=against,
        images=images,
        size=size,
        batch=batch,
        processes=processes,
        steps=steps,
        json_file=json_file,
    )


def overlay(
    images: Annotated[
        Path | None,
        typer.Option(help="one folder per class; boxes and split from its metadata.csv. Without it drawn beetles"),
    ] = None,
    ckpt: Annotated[list[Path] | None, typer.Option(help="a checkpoint to measure; may be repeated")] = None,
    attention: Annotated[
        str,
        typer.Option(
            help="comma-separated, to train and measure, with options after colons, e.g. cam,acol:delta=0.8; or --ckpt"
        ),
    ] = "",
    backbone: options.OneBackbone = "vmamba_nano",
    labelled: Annotated[int, typer.Option(help="images whose label is used to train")] = 120,
    unlabelled: Annotated[
        int, typer.Option(help="images without label; 0: what is left of a folder, four times as many drawn ones")
    ] = 0,
    steps: Annotated[int, typer.Option(help="training steps; 0: the backbone's own number")] = 0,
    method: Annotated[str, typer.Option(help="supervised, fixmatch or raum")] = "raum",
    seeds: Annotated[int, typer.Option(help="trainings of each attention")] = 1,
    test: Annotated[int, typer.Option(help="test images at most")] = 400,
    faithful: Annotated[int, typer.Option(help="of them for deletion and insertion, 42 passes an image and map")] = 60,
    json_file: options.Json = None,
) -> None:
    """How good the maps of each attention are: boxes, energy, deletion and insertion, whether they follow the class, cost."""
    from app import bench_overlay as measuring
    from app import errors, overlay_data

    attentions, ckpts = options.names(attention), ckpt or []
    if not attentions and not ckpts:
        raise errors.BadRequest("give --attention NAME,NAME to train some, or --ckpt FILE")
    plan = measuring.Plan(
        backbone=backbone,
        attentions=attentions,
        ckpts=ckpts,
        steps=steps,
        method=method,
        seeds=seeds,
        faithful=faithful,
    )
    sizes = overlay_data.Sizes(labelled=labelled, unlabelled=unlabelled, test=test)
    measuring.command(images, plan, sizes, json_file=json_file)


def predict(
    images: Annotated[Path, typer.Option(help="folder of images, as in predict")],
    backbone: options.OneBackbone = "vmamba_nano",
    ckpt: Annotated[Path | None, typer.Option(help="a checkpoint, instead of a backbone with a fresh head")] = None,
    count: Annotated[int, typer.Option(help="at most so many images")] = 600,
    repeats: Annotated[int, typer.Option(help="pairs of which the median is told")] = 5,
    json_file: options.Json = None,
) -> None:
    """Images a second of predict, from files to answers, beside the bare network's on decoded images."""
    from app import bench_predict as measuring

    measuring.command(images=images, backbone=backbone, ckpt=ckpt, count=count, repeats=repeats, json_file=json_file)


def last_layer(
    images: Annotated[Path, typer.Option(help="one folder per class, with a metadata.csv that names train and test")],
    backbone: options.OneBackbone = "vmamba_nano",
    centre: Annotated[
        bool,
        typer.Option("--centre", help="show the network the middle of the picture, as ImageNet networks are tested"),
    ] = False,
    crops: options.Crops = config.BOTH,
    labels: Annotated[str, typer.Option(help="numbers of labels")] = "20,40,60,100,200",
    seeds: int = 10,
    first_seed: int = 1000,
    cache: Annotated[Path, typer.Option(help="where embeddings are kept between runs")] = Path(
        "workspace/cache/simulate"
    ),
    json_file: options.Json = None,
) -> None:
    """The refresh's classifier alone: accuracy by labels, on a long tail, its calibration, whether it knows its mistakes."""
    from app import bench_last_layer as measuring

    measuring.command(
        images, backbone=backbone, centre=centre, crops=crops, budgets=[int(each) for each in options.names(labels)],
        seeds=seeds, first_seed=first_seed, cache=cache, json_file=json_file,
    )  # fmt: skip


def bad_images(
    images: Annotated[Path, typer.Option(help="one folder per class")],
    backbone: options.OneBackbone = "vmamba_nano",
    share: Annotated[float, typer.Option(help="of the pool that is spoiled: blurred, black or over-exposed")] = 0.05,
    seeds: int = 10,
    cache: Annotated[Path, typer.Option(help="where embeddings are kept between runs")] = Path(
        "workspace/cache/simulate"
    ),
    json_file: options.Json = None,
) -> None:
    """What rejects as bad images teach: how well a few of them find the other spoiled pictures of a pool."""
    from app import bench_bad_images as measuring

    measuring.command(images, backbone=backbone, share=share, seeds=seeds, cache=cache, json_file=json_file)


def pretrain(
    images: Annotated[
        Path | None, typer.Option(help="one folder per class, its metadata.csv may split; without it the demo pool")
    ] = None,
    backbone: Annotated[str, typer.Option(help="as in serve, one of ours")] = "vmamba_nano",
    random: Annotated[bool, typer.Option("--random", help="start from random weights")] = False,
    objectives: Annotated[
        str, typer.Option(help="comma-separated, of vicreg, simsiam and dino")
    ] = "vicreg,simsiam,dino",
    seconds: Annotated[float, typer.Option(help="of each training")] = 120.0,
    steps: Annotated[int, typer.Option(help="at most so many; 0: by time alone")] = 0,
    batch: int = 32,
    side: Annotated[int, typer.Option(help="of a view in pixels; 0: the network's own")] = 0,
    gentle: Annotated[float, typer.Option(help="factor of the rates where trained weights are gone on from")] = 0.1,
    count: Annotated[int, typer.Option(help="images of the demo pool, 60 % to learn from")] = 600,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are cores")] = 0,
    seed: int = 0,
    json_file: options.Json = None,
) -> None:
    """Pretraining on a pool's own images without labels: a linear probe before and after, by objective."""
    from app import bench_pretrain as measuring
    from model import self_taught_config

    recipe = self_taught_config.SelfTaughtConfig(
        seconds=seconds, steps=steps, batch=batch, side=side, gentle=gentle, seed=seed
    )
    measuring.command(
        images, backbone=backbone, random=random, objectives=options.names(objectives), recipe=recipe, count=count,
        threads=threads, json_file=json_file,
    )  # fmt: skip


def evidence(
    images: Annotated[
        Path | None,
        typer.Option(help="one folder per class; boxes and split from its metadata.csv. Without it drawn beetles"),
    ] = None,
    backbone: options.OneBackbone = "vmamba_nano",
    clicks: Annotated[str, typer.Option(help="marked images a class, comma-separated")] = "1,3,5",
    labelled: Annotated[int, typer.Option(help="labelled images")] = 240,
    test: Annotated[int, typer.Option(help="with --teach: test images at most")] = 200,
    seeds: Annotated[int, typer.Option(help="draws of the marked images, and trainings")] = 3,
    teach: Annotated[int, typer.Option(help="train rounds, too, with so many marked a class; 0: none")] = 0,
    method: Annotated[str, typer.Option(help="of the rounds: supervised, fixmatch, raum ...")] = "supervised",
    steps: Annotated[int, typer.Option(help="training steps; 0: the backbone's own number")] = 0,
    json_file: options.Json = None,
) -> None:
    """What a click for evidence is worth: regions found by it in the class's other images, and what they teach a round."""
    from app import bench_evidence as measuring
    from app import overlay_data

    plan = measuring.Plan(
        backbone=backbone, clicks=[int(each) for each in options.names(clicks)], seeds=seeds, teach=teach, method=method,
        steps=steps,
    )  # fmt: skip
    sizes = overlay_data.Sizes(labelled=labelled, unlabelled=1, test=test)
    measuring.command(images, plan, sizes, json_file=json_file)
