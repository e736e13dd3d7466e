"""The verb `launch.py reproduce`: published tables, measured here beside what they claim."""

from pathlib import Path
from typing import Annotated

import typer

from app import options

reproduce = typer.Typer(no_args_is_help=True, help="Measure published tables here, beside what they claim.")


@reproduce.callback()
def _tables() -> None:
    """Measure published tables here, beside what they claim."""


@reproduce.command()
def table1(
    dataset: Annotated[str, typer.Option(help="cub200|cars (which the paper has), demo|folder|aircraft|dogs")],
    root: Annotated[Path | None, typer.Option(help="the data; default data/NAME")] = None,
    cells: Annotated[
        str,
        typer.Option(help="METHOD/LABELS/OCCLUSION, comma-separated, e.g. raum/10,fixmatch/10 or */*/40; default all"),
    ] = "",
    seeds: Annotated[
        int, typer.Option(help="trainings of each cell; without published lists each has labels of its own")
    ] = 3,
    first_seed: Annotated[int, typer.Option(help="number of the first of them")] = 0,
    steps: Annotated[int, typer.Option(help="training steps; 0: the training's own number")] = 0,
    backbone: options.OneBackbone = "vmamba_nano",
    attention: Annotated[str, typer.Option(help="as in train")] = "region",
    class_subset: Annotated[int, typer.Option(help="only the first so many classes; 0: all")] = 0,
    occlude_training: Annotated[
        bool,
        typer.Option("--occlude-training", help="train each column with its own occlusion, not once for all three"),
    ] = False,
    at_once: Annotated[
        int, typer.Option("--processes", help="trainings at a time; they share the cores, and a GPU")
    ] = 1,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="the cells' file, which a second run goes on with")
    ] = None,
) -> None:
    """RAUM-Net's table of methods, labels and occlusion; stopped, it goes on where it was."""
    from app import jobs, processes, reproducing
    from app import table1 as published

    processes.keep_memory()
    plan = reproducing.Plan(
        dataset, root or Path("data") / dataset, published.cells(options.names(cells)),
        list(range(first_seed, first_seed + seeds)), backbone=backbone, attention=attention, steps=steps,
        class_subset=class_subset, occlude_training=occlude_training,
    )  # fmt: skip
    file = json_out or Path("runs") / f"table1-{dataset}.json"
    with jobs.bar("table1") as tell:
        found = reproducing.table(plan, file, progress=tell, at_once=at_once)
    print(published.text(dataset, found["rows"]))
    print(f"\nEvery run, with its values and which images it got right: {file}")
