"""The verbs of `launch.py bench`: each measures this installation and says how; what it needs is imported when it is run."""

import os
from pathlib import Path
from typing import Annotated

import typer

from app import bench_network_cli, options

bench = typer.Typer(help="Measure this installation; every figure says how it was measured.")
for verb in (
    bench_network_cli.cold, bench_network_cli.probe, bench_network_cli.scan, bench_network_cli.network,
    bench_network_cli.overlay, bench_network_cli.predict, bench_network_cli.last_layer, bench_network_cli.bad_images,
    bench_network_cli.pretrain, bench_network_cli.evidence, bench_network_cli.train,
):  # fmt: skip
    bench.command(verb.__name__.replace("_", "-"))(verb)


@bench.command("page")
def bench_page(
    answers: Annotated[int, typer.Option(help="key presses to measure")] = 100,
    training: Annotated[
        bool, typer.Option("--training/--idle", help="train a round on the same cores meanwhile")
    ] = True,
    images: Annotated[
        int, typer.Option(help="rows of a made pool to measure on instead of the demo pool, e.g. 1000000")
    ] = 0,
    classes: Annotated[int, typer.Option(help="with --images: its classes")] = 1000,
    people: Annotated[int, typer.Option(help="with --images: simulated people, an answer a second each")] = 20,
    seconds: Annotated[float, typer.Option(help="with --images: how long they work")] = 120.0,
    pool: Annotated[
        Path | None, typer.Option(help="with --images: folder where the pool is made, or lies since the last time")
    ] = None,
    json_file: options.Json = None,
) -> None:
    """Key press to next image painted, in headless Chromium: on the demo pool, or beside people on a large one."""
    if images:
        from app import bench_page as measuring

        measuring.command(
            images=images, class_count=classes, people=people, seconds=seconds, training=training, pool=pool,
            json_file=json_file,
        )  # fmt: skip
        return
    from app import benching

    benching.page(answers=answers, training=training, json_file=json_file)


@bench.command("round")
def bench_round(
    labelled: Annotated[int, typer.Option(help="images whose label the truth gives first")] = 120,
    json_file: options.Json = None,
) -> None:
    """Seconds and peak memory of one round on a fresh demo pool."""
    from app import benching

    benching.round_(labelled=labelled, json_file=json_file)


@bench.command("loop")
def bench_loop(
    images: Annotated[Path | None, typer.Option(help="ImageFolder with the truth; without it the demo pool")] = None,
    answers: Annotated[int, typer.Option(help="images to label by key while a round trains")] = 60,
    backbone: options.OneBackbone = "vmamba_nano",
    screenshot: Annotated[Path | None, typer.Option(help="write the page with its map to this PNG")] = None,
    json_file: options.Json = None,
) -> None:
    """Label in headless Chromium while a round trains: is every answer stored, how soon does it count, what changes?"""
    from app import benching

    benching.loop(images, answers=answers, backbone=backbone, screenshot=screenshot, json_file=json_file)


@bench.command("refresh")
def bench_refresh(
    images: Annotated[int, typer.Option(help="rows of the pool; its pictures are a handful of drawn ones")] = 100_000,
    dims: Annotated[
        int, typer.Option(help="of the made-up embeddings; 0: as the bundled network, and maps are drawn")
    ] = 384,
    classes: Annotated[int, typer.Option(help="classes, in equal shares")] = 200,
    labelled: Annotated[int, typer.Option(help="labels to begin with, besides 400 of the holdout")] = 1000,
    answers: Annotated[int, typer.Option(help="answers to measure, at rest and as many while a round trains")] = 100,
    pause: Annotated[float, typer.Option(help="seconds of thinking between two answers")] = 0.5,
    training: Annotated[bool, typer.Option("--training/--idle", help="measure beside a round, too")] = True,
    json_file: options.Json = None,
) -> None:
    """From a label to the queue that knows of it, by a real worker on a large pool of many classes."""
    from app import bench_refresh as measuring

    measuring.command(
        images=images, dims=dims, class_count=classes, labelled=labelled, answers=answers, pause=pause,
        training=training, json_file=json_file,
    )  # fmt: skip


@bench.command("annotator")
def bench_annotator(
    images: Annotated[
        Path | None, typer.Option(help="one folder per class; without it ../shared/data/birds, where that is")
    ] = None,
    answers: Annotated[int, typer.Option(help="answers in each mode")] = 60,
    labelled: Annotated[int, typer.Option(help="images whose label the truth gives first")] = 120,
    backbone: options.OneBackbone = "vmamba_nano",
    name: Annotated[float, typer.Option(help="seconds of thinking to name the class of one image")] = 1.5,
    judge: Annotated[float, typer.Option(help="seconds to say yes or no")] = 0.8,
    glance: Annotated[float, typer.Option(help="seconds to look at one image of a page")] = 0.4,
    key: Annotated[float, typer.Option(help="seconds to press a key")] = 0.25,
    json_file: options.Json = None,
) -> None:
    """Answers an hour of a scripted expert in single, yes/no and grid mode, and the page's own share of the time."""
    from app import bench_annotator as measuring
    from app.web import bench_expert

    measuring.command(
        images, answers=answers, labelled=labelled, backbone=backbone,
        pace=bench_expert.Pace(name=name, judge=judge, glance=glance, key=key), json_file=json_file,
    )  # fmt: skip


@bench.command("select")
def bench_select(
    sizes: Annotated[str, typer.Option(help="images, comma-separated; a million needs 4 GB")] = "10000,100000",
    strategies: Annotated[str, typer.Option(help="comma-separated; empty: all")] = "",
    dim: Annotated[int, typer.Option(help="dimensions of an embedding")] = 384,
    classes: Annotated[int, typer.Option(help="classes of the posterior")] = 200,
    draws: Annotated[int, typer.Option(help="posterior draws, for strategies that compare them")] = 20,
    count: Annotated[int, typer.Option(help="images asked at once")] = 100,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="beside them scikit-activeml, modAL, baal and small-text, where pip installed them"
        ),
    ] = False,
    limit_s: Annotated[float, typer.Option(help="seconds that a row of another library may take")] = 300.0,
    json_file: options.Json = None,
) -> None:
    """Seconds and peak memory of each acquisition strategy, each in a process of its own."""
    from app import bench_select as measuring

    measuring.select(
        [int(part) for part in options.names(sizes)], options.names(strategies), dim=dim, classes=classes,
        draws=draws, count=count, peers=peers, limit_s=limit_s, json_file=json_file,
    )  # fmt: skip


@bench.command("arena")
def bench_arena(
    embeddings: Annotated[
        Path | None, typer.Option(help=".npz with embeddings_ND, labels_N, split; without it sklearn's digits")
    ] = None,
    arms: Annotated[str, typer.Option(help="comma-separated, e.g. RAUM,scikit-activeml badge; empty: all")] = "",
    seeds: Annotated[int, typer.Option(help="repetitions, each with its own split and first set")] = 20,
    budget: Annotated[int, typer.Option(help="labels to spend")] = 200,
    batch: Annotated[int, typer.Option(help="labels between two fits")] = 10,
    target: Annotated[float, typer.Option(help="accuracy whose cost in labels is reported")] = 0.9,
    start: Annotated[str, typer.Option(help="the first set of all arms: typical or random")] = "typical",
    workers: Annotated[int, typer.Option(help="processes that share the arms; 0: one for each core")] = 0,
    json_file: options.Json = None,
) -> None:
    """The same oracle, features and budget through other libraries' own loops (where pip installed them) and ours."""
    from app import bench_arena as contest
    from app import simulate_data

    contest.arena(
        simulate_data.from_digits() if embeddings is None else simulate_data.from_embeddings(embeddings),
        arms=options.names(arms), seeds=seeds, budget=budget, batch=batch, target=target, start=start,
        workers=workers or os.cpu_count() or 1, json_file=json_file,
    )  # fmt: skip


@bench.command("finish")
def bench_finish(
    images: Annotated[Path | None, typer.Option(help="ImageFolder with the truth")] = None,
    digits: Annotated[bool, typer.Option("--digits", help="scikit-learn's bundled digits")] = False,
    embeddings: Annotated[Path | None, typer.Option(help="an .npz file as simulate takes it")] = None,
    backbone: options.OneBackbone = "vmamba_nano",
    runs: Annotated[int, typer.Option(help="sessions, each with its own holdout and draws")] = 200,
    budget: Annotated[int, typer.Option(help="answers in a session")] = 500,
    batch: Annotated[int, typer.Option(help="answers between two refreshes")] = 25,
    blind: Annotated[float, typer.Option(help="holdout_rate and audit_rate of the sessions")] = 0.1,
    forecast: Annotated[bool, typer.Option("--forecast", help="test the forecast and the estimate instead")] = False,
    json_file: options.Json = None,
) -> None:
    """Does the certificate keep its promise? Whole sessions with an oracle, then all its labels are checked."""
    from app import bench_finish as measuring

    measuring.command(
        measuring.material(images, digits=digits, embeddings=embeddings, backbone=backbone),
        runs=runs,
        plan=measuring.Plan(budget=budget, batch=batch, blind=blind),
        forecast=forecast,
        json_file=json_file,
    )


@bench.command("consensus")
def bench_consensus(
    answers: Annotated[int, typer.Option(help="answers in the timing, three to an image")] = 1_000_000,
    annotators: Annotated[int, typer.Option(help="people in the timing")] = 50,
    classes: Annotated[int, typer.Option(help="classes in the timing")] = 200,
    items: Annotated[int, typer.Option(help="images in the table of accuracies")] = 2000,
    seeds: Annotated[int, typer.Option(help="repetitions of the tables")] = 5,
    others: Annotated[
        bool,
        typer.Option(
            "--others/--alone", help="beside ours, what `pip install cleanlab==2.9.0 crowd-kit==1.4.2` brings"
        ),
    ] = True,
    json_file: options.Json = None,
) -> None:
    """People who disagree: accuracy of each method, label errors found, intervals of quality, seconds and memory."""
    from app import bench_consensus as measuring

    measuring.command(
        answers=answers, people=annotators, classes=classes, items=items, seeds=seeds, others=others,
        json_file=json_file,
    )  # fmt: skip


@bench.command("store")
def bench_store(
    clients: Annotated[int, typer.Option(help="processes that claim and answer as fast as they can")] = 32,
    images: Annotated[int, typer.Option(help="rows of the pool; no pixels are needed")] = 100_000,
    seconds: Annotated[float, typer.Option(help="how long they work")] = 30.0,
    kills: Annotated[int, typer.Option(help="writers to kill with -9 in that time; a successor starts at once")] = 0,
    threads: Annotated[
        bool, typer.Option("--threads", help="clients as threads of one process, as the page has them")
    ] = False,
    place: Annotated[
        Path | None, typer.Option(help="folder on the disk to measure; without it the system's for temporary files")
    ] = None,
    seed: int = 0,
    server: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="then the same in this empty PostgreSQL database")
    ] = None,
    json_file: options.Json = None,
) -> None:
    """Claims and answers by many processes while queues are published: latency beside bare commits, and nothing lost."""
    from app import bench_store as measuring

    measuring.command(
        clients=clients, pool=images, seconds=seconds, kills=kills, threads=threads, seed=seed, place=place,
        json_file=json_file, server=server,
    )  # fmt: skip


@bench.command("scale")
def bench_scale(
    sizes: Annotated[
        str, typer.Option(help="images, comma-separated, ascending; links to a few tiny files, a million take 4 GB")
    ] = "10000,100000,1000000",
    files: Annotated[bool, typer.Option(help="also verify, backup and restore")] = True,
    place: Annotated[Path | None, typer.Option(help="as in store")] = None,
    server: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="with the rows in this empty PostgreSQL database")
    ] = None,
    json_file: options.Json = None,
) -> None:
    """Ingest, queue, refresh, browse, export, backup at each size: seconds, memory, how they grow; a person beside."""
    from app import bench_scale as measuring

    measuring.command(
        sizes=[int(part) for part in options.names(sizes)], files=files, place=place, json_file=json_file, server=server
    )


@bench.command("browse")
def bench_browse(
    rows: Annotated[int, typer.Option(help="images of the pool; no pixels are needed")] = 1_000_000,
    repeat: Annotated[int, typer.Option(help="pages at random places for each filter and order")] = 40,
    place: Annotated[
        Path | None, typer.Option(help="folder for the workspace; without it the system's for temporary files")
    ] = None,
    json_file: options.Json = None,
) -> None:
    """The Browse tab's requests over a large pool: latency of every filter and order, bulk actions, the map, memory."""
    from app import bench_browse as measuring

    measuring.command(rows=rows, repeat=repeat, place=place, json_file=json_file)


@bench.command("import")
def bench_import(
    rows: Annotated[int, typer.Option(help="rows of the file, each the label of another image")] = 100_000,
    place: Annotated[
        Path | None, typer.Option(help="folder on the disk to measure; without it the system's for temporary files")
    ] = None,
    label_studio: Annotated[
        bool,
        typer.Option("--label-studio", help="instead: a Label Studio project's tasks and predictions"),
    ] = False,
    json_file: options.Json = None,
) -> None:
    """Import a file of labels while a person answers: seconds, memory, write-lock, the person's latency."""
    from app import bench_import, bench_moving

    measuring = bench_moving if label_studio else bench_import
    measuring.command(count=rows, place=place, json_file=json_file)
