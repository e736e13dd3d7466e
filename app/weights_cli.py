"""The verbs `launch.py weights ...`: trained weights of the backbones; what they need is imported when they are run."""

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(
    no_args_is_help=True,
    help="Trained weights of backbones: get them, take over a copied file, list. They lie in the folder RAUM_CACHE, or "
    "raum in the system's place for caches, and serve all workspaces; one in a workspace's cache/ goes before.",
)


@weights.command()
def fetch(
    name: Annotated[str, typer.Argument(help="as `weights list` says, or hf:OWNER/NAME", show_default=False)],
) -> None:
    """Download a backbone's trained weights and check them; broken off, the same command goes on."""
    from rich import console
    from rich import progress as bars

    from app import backbone_names, fetching

    backbone_names.named(name)
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn())
    more = (bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    shown = bars.Progress(*columns, *more, transient=True, console=console.Console(stderr=True))
    task = shown.add_task(name, total=None)

    def tell(come: int, total: int | None) -> None:
        shown.start()  # with the first bytes: before there are any, a refusal is one line
        shown.update(task, completed=come, total=total)

    try:
        told = fetching.fetch(name, tell)
    finally:
        shown.stop()
    print(told)


@weights.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="a .pth or .safetensors file of VMamba's or torchvision's")],
) -> None:
    """Take over a file that was copied here; which variant it holds is found out."""
    from app import fetching

    print(fetching.take_over(file))


@weights.command("list")
def list_() -> None:
    """The names, what a download takes, and which are on this machine."""
    from rich import console, table

    from app import backbone_names
    from model import config

    shown = table.Table("name", "MB", "here", "good for", box=None)
    here = "yes" if config.at_hand(backbone_names.BUNDLED) else ""
    shown.add_row(backbone_names.BUNDLED, "", here, "any CPU; what --backbone auto takes where nothing better is here")
    for name, each in {**backbone_names.OFFICIAL, **backbone_names.SHORTCUTS}.items():
        here = "yes" if config.at_hand(backbone_names.named(name)) else ""
        shown.add_row(name, str(each.megabytes), here, each.good_for)
    console.Console().print(shown)
