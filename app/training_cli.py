"""The verbs `train` and `evaluate`: one training run on a labelled data set, one test of a checkpoint."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import errors, options

Root = Annotated[Path | None, typer.Option(help="the data; default data/NAME")]
Dataset = Annotated[str, typer.Option(help="demo|folder|cub200|cars|aircraft|dogs")]
ATTENTIONS = "cam|region|sam|sam_bilinear|ra_cnn|aam|cbam|acol"
METHODS = "supervised|fixmatch|flexmatch|softmatch|freematch|anomalymatch|ups|raum"
Tta = Annotated[str, typer.Option(help="none|flip|ten-crop: views of each test image that are averaged")]
SHORT = {"sam_target": "target", "scales": "scales", "attention_at": "at", "delta": "delta"}


def train(
    root: Root = None,
    dataset: Dataset = "folder",
    labeled_ratio: Annotated[float, typer.Option(help="share of the training images whose label is used")] = 0.1,
    occlusion_rate: Annotated[float, typer.Option(help="largest share of a training image that is covered")] = 0.0,
    method: Annotated[str, typer.Option(help=METHODS)] = "raum",
    method_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, a value of the method (docs/learning.md); may be repeated")
    ] = None,
    attention: Annotated[str, typer.Option(help=ATTENTIONS)] = "region",
    attention_at: Annotated[str | None, typer.Option(help="aam, cbam: last|stages of the backbone")] = None,
    sam_target: Annotated[str | None, typer.Option(help="sam, sam_bilinear: cam|gradcam")] = None,
    scales: Annotated[int | None, typer.Option(help="ra_cnn: 2|3")] = None,
    delta: Annotated[float | None, typer.Option(help="acol: what is erased, a share of the map's range")] = None,
    attention_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, any other option of the attention; may be repeated")
    ] = None,
    class_subset: Annotated[int, typer.Option(help="only the first so many classes, e.g. 30, 50, 100; 0: all")] = 0,
    validation_share: Annotated[
        float, typer.Option(help="share of the training images that choose the checkpoint; 0: the last one is kept")
    ] = 0.1,
    regions: Annotated[
        bool, typer.Option("--regions", help="tell the attention where to look: the boxes of the labelled images")
    ] = False,
    tta: Tta = "none",
    recipe: Annotated[
        str, typer.Option(help="own|aam: optimiser and length of a published training instead of ours")
    ] = "own",
    aux_loss: Annotated[str, typer.Option(help="none|center|mc, beside the cross-entropy")] = "none",
    backbone: options.OneBackbone = "vmamba_nano",
    pretrain: Annotated[
        str, typer.Option(help="none|pool: first teach the backbone all training images, without their labels")
    ] = "none",
    pretrain_minutes: Annotated[float, typer.Option(help="how long")] = 10.0,
    pretrain_steps: Annotated[int, typer.Option(help="or at most how many steps; 0: by time alone")] = 0,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="start one of our own backbones without its pretrained weights")
    ] = False,
    steps: Annotated[int, typer.Option(help="training steps; 0: the recipe's own number")] = 0,
    log: Annotated[
        list[str] | None, typer.Option(help="tensorboard|wandb|mlflow: losses and maps go there, too; may be repeated")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto|fp32|bf16|fp16; auto: bf16 or fp16 on a GPU, fp32 on a CPU")
    ] = "auto",
    accumulate: Annotated[int, typer.Option(help="pieces in which a batch is taken, one after the other")] = 1,
    batch_size: Annotated[
        str,
        typer.Option(help="labelled images in a batch; auto: the recipe's own, in as many pieces as fit the memory"),
    ] = "auto",
    launcher: options.Launcher = None,
    processes: options.Processes = None,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="folder for the checkpoint and its figures")] = Path("runs/last"),
) -> None:
    """Train once on a labelled data set with part of its labels, and test."""
    from app import launching

    if launcher not in (None, *launching.LAUNCHERS):
        raise errors.BadRequest(f"--launcher is one of {', '.join(launching.LAUNCHERS)}, not {launcher!r}")
    if launching.is_due(launcher or launching.NONE):
        if launching.run(sys.argv[1:], processes or 0):
            raise errors.PeerLost("the training failed: the reason of the process that did stands above")
        return
    from app import backbones, jobs, loggers, pool, self_teaching, team, training
    from app import processes as running
    from model import config

    log_to = loggers.check(log or [])
    short = {"sam_target": sam_target, "scales": scales, "attention_at": attention_at, "delta": delta}
    given = {SHORT[name]: value for name, value in short.items() if value is not None}
    given.update(options.named(attention_option or []))
    running.keep_memory()
    with team.gathered(pool.device().type) as beside, jobs.bar("train", shown=beside.first) as tell:
        if (told := backbones.from_scratch(backbone)) and beside.first:
            print(f"note: {told}", file=sys.stderr)
        chosen = training.configured(
            backbone, method, options.named(method_option or [], of="a method"),
            steps=steps, recipe=recipe, occlusion_rate=occlusion_rate, seed=seed, aux_loss=aux_loss,
        )  # fmt: skip
        figures = training.train(
            training.Task(
                dataset, root or Path("data") / dataset, labeled_ratio, class_subset, validation_share, regions
            ),
            backbone=backbone,
            attention=attention,
            attention_options=given,
            chosen=config.in_pieces(chosen, precision, accumulate, batch_size),
            out=out,
            progress=tell,
            tta_name=tta,
            log_to=log_to,
            taught=self_teaching.recipe(pretrain, pretrain_minutes, steps=pretrain_steps, seed=seed),
            random_weights=random_weights,
            beside=beside,
        )
    if beside.first:
        print(json.dumps(figures, indent=1))


def evaluate(
    ckpt: Annotated[Path, typer.Option(help="a checkpoint written by train or by a round")],
    root: Root = None,
    dataset: Dataset = "folder",
    occlusion_rate: Annotated[float, typer.Option(help="share of each test image that is covered")] = 0.0,
    tta: Tta = "none",
    class_subset: Annotated[int | None, typer.Option(help="as in train; default: the checkpoint's own")] = None,
    seed: Annotated[int | None, typer.Option(help="as in train; default: the checkpoint's own")] = None,
    json_out: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Test a checkpoint: accuracy, calibration, and how well its uncertainty finds the mistakes."""
    from app import jobs, processes, training

    processes.keep_memory()
    with jobs.bar("evaluate") as tell:
        figures = training.evaluate(
            ckpt, dataset, root or Path("data") / dataset, occlusion_rate=occlusion_rate, seed=seed, progress=tell,
            class_subset=class_subset, tta_name=tta,
        )  # fmt: skip
    if json_out:
        print(json.dumps(figures, indent=1))
        return
    print(
        f"accuracy {figures['accuracy']:.3f} ({figures['low']:.3f} to {figures['high']:.3f}) on {figures['n']:,} images"
    )
    print(f"calibration error {figures['ece']:.3f}; mistakes found by uncertainty: AUROC {figures['auroc_margin']:.3f}")
