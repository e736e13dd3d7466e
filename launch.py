"""RAUM's command line: one verb, one function in app/. Without a verb it serves ./workspace on http://127.0.0.1:7860."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

# Several processes share the cores; linear algebra that spins on all of them at once was measured ten times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False, help=__doc__)
bench = typer.Typer(help="Measure this installation; every figure says how it was measured.")
app.add_typer(bench, name="bench")

Workspace = Annotated[Path, typer.Option("--workspace", help="the folder that holds everything RAUM stores")]
Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file")]
Backbone = Annotated[
    str | None, typer.Option(help="vmamba_nano|tiny|small|base, or hf:FOLDER_OR_ID for a pretrained one")
]
HOME = Path("workspace")


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    demo: Annotated[
        bool, typer.Option("--demo", help="make the demo pool unasked when the workspace is empty")
    ] = False,
) -> None:
    """Label images with single keys while a classifier trains in the background."""
    if context.invoked_subcommand is None:
        serve(demo=demo)


@app.command()
def serve(
    workspace: Workspace = HOME,
    images: Annotated[
        Path | None, typer.Option(help="folder with images to label; nothing is copied or uploaded")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="text file with one class name a line")] = None,
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="take folder names as labels")
    ] = False,
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
    backbone: Backbone = None,
    demo: Annotated[bool, typer.Option("--demo", help="make the demo pool when the workspace is empty")] = False,
) -> None:
    """Serve the labelling page and learn in the background."""
    from app import serving

    sys.exit(
        serving.serve(
            workspace,
            images=images,
            classes=classes,
            labels_from_folders=labels_from_folders,
            host=host,
            port=port,
            backbone=backbone,
            demo=demo,
        )
    )


@app.command(hidden=True)
def page(workspace: Workspace = HOME, host: str | None = None, port: int | None = None) -> None:
    """The page process alone; `serve` starts it."""
    from app import serving

    serving.page(workspace, host=host, port=port)


@app.command(hidden=True)
def worker(workspace: Workspace = HOME, backbone: Backbone = None) -> None:
    """The worker process alone; `serve` starts it."""
    from app import serving

    serving.worker(workspace, backbone=backbone)


@app.command()
def ingest(
    workspace: Workspace = HOME,
    images: Annotated[Path | None, typer.Option(help="folder with images")] = None,
    classes: Annotated[Path | None, typer.Option(help="text file with one class name a line, or a JSON list")] = None,
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="take folder names as labels")
    ] = False,
    demo: Annotated[bool, typer.Option("--demo", help="draw the demo pool and take it")] = False,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Add the images of a folder; running it again adds only what is new."""
    from app import jobs

    jobs.ingest(
        workspace, images, classes_file=classes, labels_from_folders=labels_from_folders, demo=demo, child=child
    )


@app.command()
def refresh(workspace: Workspace = HOME, backbone: Backbone = None) -> None:
    """Take in all labels now: refit the last layer, rank the pool, publish the queue."""
    from app import jobs

    jobs.refresh(workspace, backbone=backbone)


@app.command("round")
def round_(
    workspace: Workspace = HOME,
    backbone: Backbone = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Train the whole network on what is labelled and, semi-supervised, on the rest; then publish."""
    from app import jobs

    jobs.round_(workspace, backbone=backbone, child=child)


@app.command()
def export(
    path: Path,
    workspace: Workspace = HOME,
    format: Annotated[str, typer.Option(help="csv or imagefolder")] = "csv",
    certified: Annotated[
        float | None, typer.Option(help="add the model's labels, as far as at most this share is wrong, e.g. 0.02")
    ] = None,
) -> None:
    """Write the labels to PATH."""
    from app import jobs

    jobs.export(workspace, path, format=format, certified=certified)


@app.command()
def simulate(
    images: Annotated[
        Path | None, typer.Option(help="ImageFolder with the truth; with metadata.csv its split is used")
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
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
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
    steps: Annotated[int, typer.Option(help="training steps of such a round; 0: the default")] = 0,
    draws: Annotated[int, typer.Option(help="posterior draws")] = 20,
    cache: Annotated[Path, typer.Option(help="where embeddings and finished arms are kept between runs")] = Path(
        "workspace/cache/simulate"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="take no finished arm from an earlier run")] = False,
    workers: Annotated[int, typer.Option(help="processes that share the work; 0: one for each core")] = 0,
    json_file: Json = None,
    plot: Annotated[Path | None, typer.Option(help="draw the curves with 95 % bands into this PNG")] = None,
) -> None:
    """The same loop without people: an oracle that knows the truth answers. Stopped, it goes on where it was."""
    from app import simulate as loop
    from app import simulate_arm, simulate_conditions

    plan = simulate_arm.Plan(
        _names(strategies), budget=budget, batch=batch, seeds=seeds, first_seed=first_seed, audit=audit, start=start,
        rounds_at=tuple(sorted(int(at) for at in _names(rounds_at))), steps=steps, draws=draws, backbone=backbone,
        classifier=classifier, conditions=simulate_conditions.Conditions(noise, tail, out_of_class, duplicates),
    )  # fmt: skip
    loop.simulate(
        loop.Source(images, demo, digits, embeddings), plan, cache=cache, target=target, grid=grid, fresh=fresh,
        save_embeddings=save_embeddings, workers=workers or os.cpu_count() or 1, json_file=json_file, plot=plot,
    )  # fmt: skip


def _names(listed: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(",") if part.strip())


@app.command()
def train(
    root: Annotated[Path | None, typer.Option(help="the data; default data/NAME")] = None,
    dataset: Annotated[str, typer.Option(help="folder, cub200, cars or aircraft")] = "folder",
    labeled_ratio: Annotated[float, typer.Option(help="share of the training images whose label is used")] = 0.1,
    occlusion_rate: Annotated[float, typer.Option(help="share of each training image that is covered")] = 0.0,
    method: Annotated[str, typer.Option(help="supervised, fixmatch or raum")] = "raum",
    attention: Annotated[str, typer.Option(help="region")] = "region",
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
    steps: Annotated[int, typer.Option(help="training steps; 0: the default")] = 0,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="folder for the checkpoint and its figures")] = Path("runs/last"),
) -> None:
    """Train once on a labelled data set with part of its labels, and test."""
    from app import jobs

    jobs.train(
        dataset,
        root,
        labeled_ratio=labeled_ratio,
        occlusion_rate=occlusion_rate,
        method=method,
        attention=attention,
        backbone=backbone,
        steps=steps,
        seed=seed,
        out=out,
    )


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="the file to write; OUT.run and OUT.jsonl stand beside it")],
    teacher: Annotated[str, typer.Option(help="hf:FOLDER_OR_ID whose features are to be learnt")],
    images: Annotated[list[Path] | None, typer.Option(help="folder of pictures, no labels; may be repeated")] = None,
    procedural: Annotated[int, typer.Option(help="pictures to draw beside them")] = 0,
    drawn_share: Annotated[float, typer.Option(help="share of every batch that is drawn ones")] = 0.3,
    student: Annotated[str, typer.Option(help="vmamba_nano|tiny|small|base")] = "vmamba_nano",
    minutes: Annotated[float, typer.Option(help="how long to train")] = 0.0,
    steps: Annotated[int, typer.Option(help="or how many steps")] = 0,
    batch: Annotated[int, typer.Option(help="crops in one pass of the teacher")] = 32,
    teacher_size: Annotated[int, typer.Option(help="side of the teacher's input; 0: its own, less is faster")] = 0,
    views_per_step_reuse: Annotated[int, typer.Option(help="steps of the student for one pass of the teacher")] = 2,
    lr_matrix: Annotated[float, typer.Option(help="peak rate of the large matrices")] = 0.02,
    mix: Annotated[float, typer.Option(help="share of batches whose crops are laid over each other")] = 0.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are cores")] = 0,
    licence: Annotated[str, typer.Option(help="what to write into the file about the data's and teacher's terms")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="go on from OUT.run")] = False,
    seed: int = 0,
) -> None:
    """Teach a small backbone the features of a large one, without labels; several processes by torchrun."""
    from app import pretraining
    from model import config

    pretraining.command(
        images or [],
        drawn=procedural,
        drawn_share=drawn_share,
        teacher=teacher,
        student=student,
        out=out,
        recipe=config.PretrainConfig(
            seconds=60 * minutes,
            steps=steps,
            batch=batch,
            teacher_size=teacher_size,
            reuse=views_per_step_reuse,
            lr_matrix=lr_matrix,
            mix=mix,
            seed=seed,
        ),
        licence=licence,
        resume=resume,
        threads=threads,
    )


@app.command()
def evaluate(
    ckpt: Annotated[Path, typer.Option(help="a checkpoint written by train or by a round")],
    root: Annotated[Path | None, typer.Option(help="the data; default data/NAME")] = None,
    dataset: Annotated[str, typer.Option(help="folder, cub200, cars or aircraft")] = "folder",
    occlusion_rate: Annotated[float, typer.Option(help="share of each test image that is covered")] = 0.0,
    seed: int = 0,
    json_out: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Test a checkpoint: accuracy, calibration, and how well its uncertainty finds the mistakes."""
    from app import jobs

    jobs.evaluate(ckpt, dataset, root, occlusion_rate=occlusion_rate, seed=seed, as_json=json_out)


@app.command()
def doctor(workspace: Workspace = HOME) -> None:
    """What is installed here, which device and kernels are used, and what to install for more."""
    from app import doctor as examination

    examination.print_report(workspace)


@bench.command("page")
def bench_page(
    answers: Annotated[int, typer.Option(help="key presses to measure")] = 100,
    training: Annotated[
        bool, typer.Option("--training/--idle", help="train a round on the same cores meanwhile")
    ] = True,
    json_file: Json = None,
) -> None:
    """Key press to next image painted, in headless Chromium on the demo pool."""
    from app import benching

    benching.page(answers=answers, training=training, json_file=json_file)


@bench.command("round")
def bench_round(
    labelled: Annotated[int, typer.Option(help="images whose label the truth gives first")] = 120,
    json_file: Json = None,
) -> None:
    """Seconds and peak memory of one round on a fresh demo pool."""
    from app import benching

    benching.round_(labelled=labelled, json_file=json_file)


@bench.command("loop")
def bench_loop(
    images: Annotated[Path | None, typer.Option(help="ImageFolder with the truth; without it the demo pool")] = None,
    answers: Annotated[int, typer.Option(help="images to label by key while a round trains")] = 60,
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
    screenshot: Annotated[Path | None, typer.Option(help="write the page with its map to this PNG")] = None,
    json_file: Json = None,
) -> None:
    """Label in headless Chromium while a round trains: is every answer stored, how soon does it count, what changes?"""
    from app import benching

    benching.loop(images, answers=answers, backbone=backbone, screenshot=screenshot, json_file=json_file)


@bench.command("probe")
def bench_probe(
    images: Annotated[Path, typer.Option(help="one folder per class; the split of its metadata.csv is used")],
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
    weights: Annotated[Path | None, typer.Option(help="a file that pretrain wrote, instead of the bundled one")] = None,
    random: Annotated[bool, typer.Option("--random", help="random weights, to compare with")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are cores")] = 0,
    seed: int = 0,
    json_file: Json = None,
) -> None:
    """Linear probe on frozen features: test accuracy and images a second."""
    from app import probing

    probing.command(
        images, backbone=backbone, weights=weights, random=random, seed=seed, threads=threads, json_file=json_file
    )


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
    json_file: Json = None,
) -> None:
    """Seconds and peak memory of each acquisition strategy, each in a process of its own."""
    from app import bench_select as measuring

    measuring.select(
        [int(part) for part in sizes.split(",") if part.strip()],
        [name.strip() for name in strategies.split(",") if name.strip()],
        dim=dim,
        classes=classes,
        draws=draws,
        count=count,
        peers=peers,
        limit_s=limit_s,
        json_file=json_file,
    )


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
    json_file: Json = None,
) -> None:
    """The same oracle, features and budget through other libraries' own loops (where pip installed them) and ours."""
    from app import bench_arena as contest
    from app import simulate_data

    contest.arena(
        simulate_data.from_digits() if embeddings is None else simulate_data.from_embeddings(embeddings),
        arms=[name.strip() for name in arms.split(",") if name.strip()],
        seeds=seeds,
        budget=budget,
        batch=batch,
        target=target,
        start=start,
        workers=workers or os.cpu_count() or 1,
        json_file=json_file,
    )


@bench.command("finish")
def bench_finish(
    images: Annotated[Path | None, typer.Option(help="ImageFolder with the truth")] = None,
    digits: Annotated[bool, typer.Option("--digits", help="scikit-learn's bundled digits")] = False,
    embeddings: Annotated[Path | None, typer.Option(help="an .npz file as simulate takes it")] = None,
    backbone: Annotated[str, typer.Option(help="as in serve")] = "vmamba_nano",
    runs: Annotated[int, typer.Option(help="sessions, each with its own holdout and draws")] = 200,
    budget: Annotated[int, typer.Option(help="answers in a session")] = 500,
    batch: Annotated[int, typer.Option(help="answers between two refreshes")] = 25,
    blind: Annotated[float, typer.Option(help="holdout_rate and audit_rate of the sessions")] = 0.1,
    forecast: Annotated[bool, typer.Option("--forecast", help="test the forecast and the estimate instead")] = False,
    json_file: Json = None,
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
    json_file: Json = None,
) -> None:
    """People who disagree: accuracy of each method, label errors found, intervals of quality, seconds and memory."""
    from app import bench_consensus as measuring

    measuring.command(
        answers=answers,
        people=annotators,
        classes=classes,
        items=items,
        seeds=seeds,
        others=others,
        json_file=json_file,
    )


def run() -> None:
    """Entry: an expected error is one sentence and exit code 2, never a traceback."""
    from app import errors

    try:
        app()
    except errors.AppError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run()
