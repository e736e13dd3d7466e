"""RAUM's command line: one verb, one function in app/. Without a verb it serves ./workspace on http://127.0.0.1:7860."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import (
    api_cli,
    bench_cli,
    explain_cli,
    import_cli,
    options,
    predict_cli,
    reproduce_cli,
    safety_cli,
    simulate_cli,
    training_cli,
    user_cli,
    weights_cli,
)  # fmt: skip

# Several processes share the cores; linear algebra that spins on all of them at once was measured ten times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Threads of torch that wait by spinning hold up the compiled scan's: a network was measured a fifth slower with them.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(bench_cli.bench, name="bench")
app.add_typer(reproduce_cli.reproduce, name="reproduce")
app.add_typer(user_cli.user, name="user")
app.add_typer(weights_cli.weights, name="weights")

Workspace = Annotated[Path, typer.Option("--workspace", help="the folder that holds everything RAUM stores")]
FromFolders = Annotated[bool, typer.Option("--labels-from-folders", help="take folder names as labels")]
HOME = Path("workspace")


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    demo: Annotated[
        bool, typer.Option("--demo", help="make the demo pool unasked when the workspace is empty")
    ] = False,
    database: options.Database = None,
    artifacts: options.Artifacts = None,
) -> None:
    """Label images with single keys while a classifier trains in the background."""
    options.keep_places(database=database, artifacts=artifacts)
    if context.invoked_subcommand is None:
        serve(demo=demo)


@app.command()
def serve(
    workspace: Workspace = HOME,
    images: options.Images = None,
    classes: Annotated[Path | None, typer.Option(help="text file with one class name a line")] = None,
    labels_from_folders: FromFolders = False,
    boxes: options.Boxes = None,
    box_confidence: options.BoxConfidence = None,
    box_categories: options.BoxCategories = None,
    empty_scenes: options.EmptyScenes = False,
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    root_path: options.RootPath = None,
    insecure: options.Insecure = False,
    backbone: options.Backbone = None,
    demo: Annotated[bool, typer.Option("--demo", help="make the demo pool when the workspace is empty")] = False,
) -> None:
    """Serve the labelling page and learn in the background."""
    from app import serving

    sys.exit(
        serving.serve(
            workspace, images=images, classes=classes, labels_from_folders=labels_from_folders, backbone=backbone,
            boxes=options.boxes(boxes, box_confidence, box_categories, empty_scenes), demo=demo, insecure=insecure,
            host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, root_path=root_path,
        )
    )  # fmt: skip


@app.command()
def page(
    workspace: Workspace = HOME,
    host: str | None = None,
    port: int | None = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    root_path: options.RootPath = None,
    insecure: options.Insecure = False,
) -> None:
    """The page alone, as `serve` starts it; with PostgreSQL several may serve one workspace."""
    from app import serving

    serving.page(
        workspace, insecure=insecure, host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, root_path=root_path
    )


@app.command()
def worker(workspace: Workspace = HOME, backbone: options.Backbone = None) -> None:
    """The worker alone, as `serve` starts it; with PostgreSQL more of them stand by."""
    from app import serving

    serving.worker(workspace, backbone=backbone)


@app.command()
def ingest(
    workspace: Workspace = HOME,
    images: options.Images = None,
    classes: Annotated[Path | None, typer.Option(help="text file with one class name a line, or a JSON list")] = None,
    labels_from_folders: FromFolders = False,
    boxes: options.Boxes = None,
    box_confidence: options.BoxConfidence = None,
    box_categories: options.BoxCategories = None,
    empty_scenes: options.EmptyScenes = False,
    demo: Annotated[bool, typer.Option("--demo", help="draw the demo pool and take it")] = False,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Add the images of a folder; running it again adds only what is new."""
    from app import jobs

    jobs.ingest(
        workspace, images, classes_file=classes, labels_from_folders=labels_from_folders, demo=demo, child=child,
        boxes=options.boxes(boxes, box_confidence, box_categories, empty_scenes),
    )  # fmt: skip


@app.command()
def refresh(
    workspace: Workspace = HOME,
    backbone: options.Backbone = None,
    launcher: options.Launcher = None,
    processes: options.Processes = None,
) -> None:
    """Take in all labels now: refit the last layer, rank the pool, publish the queue."""
    from app import learning_jobs

    learning_jobs.refresh(workspace, backbone=backbone, launcher=launcher, processes_here=processes)


@app.command(hidden=True)
def embed(
    workspace: Workspace = HOME,
    backbone: options.Backbone = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Embed the pool with another backbone; the worker starts it, and takes over what it leaves."""
    from app import switching

    switching.embed(workspace, backbone=backbone, child=child)


@app.command("pretrain-pool")
def pretrain_pool(
    workspace: Workspace = HOME,
    backbone: options.Backbone = None,
    minutes: Annotated[float | None, typer.Option(help="how long; the setting pretrain_minutes unless given")] = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Teach the workspace's backbone the pool's own images, without labels; broken off, the same command goes on."""
    from app import self_teaching

    self_teaching.pretrain(workspace, backbone=backbone, minutes=minutes, child=child)


@app.command("round")
def round_(
    workspace: Workspace = HOME,
    backbone: options.Backbone = None,
    launcher: options.Launcher = None,
    processes: options.Processes = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Train the whole network on what is labelled and, semi-supervised, on the rest; then publish."""
    from app import learning_jobs

    learning_jobs.round_(workspace, backbone=backbone, child=child, launcher=launcher, processes_here=processes)


@app.command()
def export(
    path: Path,
    workspace: Workspace = HOME,
    format: Annotated[
        str,
        typer.Option(
            help="csv|jsonl|labelstudio|coco|huggingface|croissant|fiftyone|imagefolder|yolo; events: all that was ever said"
        ),
    ] = "csv",
    certified: Annotated[
        float | None, typer.Option(help="add the model's labels, as far as at most this share is wrong, e.g. 0.02")
    ] = None,
) -> None:
    """Write the labels to PATH."""
    from app import jobs

    jobs.export(workspace, path, format=format, certified=certified)


for verb in (
    import_cli.import_labels, safety_cli.backup, safety_cli.restore, safety_cli.verify, safety_cli.replay, safety_cli.move,
    simulate_cli.simulate, training_cli.train, training_cli.evaluate, explain_cli.explain,
    predict_cli.predict, predict_cli.export_model, api_cli.api,
):  # fmt: skip
    app.command()(verb)


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="the file to write; OUT.run and OUT.jsonl stand beside it")],
    teacher: Annotated[str, typer.Option(help="hf:FOLDER_OR_ID whose features are to be learnt")],
    images: Annotated[list[Path] | None, typer.Option(help="folder of pictures, no labels; may be repeated")] = None,
    procedural: Annotated[int, typer.Option(help="pictures to draw beside them")] = 0,
    drawn_share: Annotated[float, typer.Option(help="share of every batch that is drawn ones")] = 0.3,
    dreamed: Annotated[int, typer.Option(help="pictures to dream from the teacher, starting at the others")] = 0,
    dreamed_share: Annotated[float, typer.Option(help="share of every batch that is dreamed ones")] = 0.5,
    dream_classes: Annotated[int, typer.Option(help="dream of the teacher's first so many classes; 0: all")] = 0,
    student: Annotated[str, typer.Option(help="vmamba_nano|tiny|small|base")] = "vmamba_nano",
    start: Annotated[Path | None, typer.Option(help="file of an earlier run whose weights to go on from")] = None,
    minutes: Annotated[float, typer.Option(help="how long to train")] = 0.0,
    steps: Annotated[int, typer.Option(help="or how many steps")] = 0,
    batch: Annotated[int, typer.Option(help="crops in one pass of the teacher")] = 32,
    size: Annotated[
        int, typer.Option(help="side of the student's input; 0: that of START, or of its bundled weights")
    ] = 0,
    teacher_size: Annotated[int, typer.Option(help="side of the teacher's input; 0: its own, less is faster")] = 0,
    views_per_step_reuse: Annotated[int, typer.Option(help="steps of the student for one pass of the teacher")] = 2,
    lr_matrix: Annotated[float, typer.Option(help="peak rate of the large matrices")] = 0.02,
    hints: Annotated[float, typer.Option(help="weight of the teacher's inner maps")] = 0.0,
    crop: Annotated[float, typer.Option(help="least side of a crop, as a share of the picture's")] = 0.28,
    mix: Annotated[float, typer.Option(help="share of batches whose crops are laid over each other")] = 0.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are cores")] = 0,
    licence: Annotated[str, typer.Option(help="what to write into the file about the data's and teacher's terms")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="go on from OUT.run")] = False,
    seed: int = 0,
) -> None:
    """Teach a small backbone the features of a large one, without labels; several processes by torchrun."""
    from app import pretraining
    from model import config

    recipe = config.PretrainConfig(
        seconds=60 * minutes, steps=steps, batch=batch, teacher_size=teacher_size, reuse=views_per_step_reuse,
        lr_matrix=lr_matrix, hints=hints, crop=crop, mix=mix, seed=seed,
    )  # fmt: skip
    pretraining.command(
        images or [], drawn=procedural, drawn_share=drawn_share, teacher=teacher, student=student, size=size, start=start,
        out=out,
        dreams=pretraining.Dreams(dreamed, dreamed_share, dream_classes),
        recipe=recipe, licence=licence, resume=resume, threads=threads,
    )  # fmt: skip


@app.command()
def doctor(workspace: Workspace = HOME) -> None:
    """What is installed here, which device and kernels are used, and what to install for more."""
    from app import doctor as examination

    examination.print_report(workspace)


options.with_places(app)


def run() -> None:
    """Entry: an expected error is one sentence and exit code 2 (1 where trying again may help), never a traceback."""
    from app import errors
    from model import errors as model_errors
    from store import errors as store_errors

    again = (errors.RemoteError, store_errors.Busy, store_errors.CannotWrite, model_errors.ModelError)
    try:
        app()
    except (errors.AppError, store_errors.StoreError, model_errors.ModelError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1 if isinstance(problem, again) else 2)


if __name__ == "__main__":
    run()
