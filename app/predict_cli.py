"""The verbs with which a trained classifier leaves: `predict` and `export-model`."""

from pathlib import Path
from typing import Annotated

import typer

from app import options


def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of images, nested or not")],
    ckpt: Annotated[
        Path | None, typer.Option(help="a checkpoint of a round or of train, or a folder that export-model wrote")
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(help="without --ckpt: ask the model that its page shows; with it: names of the classes"),
    ] = None,
    format: Annotated[str, typer.Option(help="csv or jsonl")] = "csv",
    out: Annotated[Path | None, typer.Option(help="file to write; without it the rows are printed")] = None,
    top: Annotated[int, typer.Option(help="how many classes of each image to write")] = 2,
    boxes: options.Boxes = None,
    box_confidence: options.BoxConfidence = None,
    box_categories: options.BoxCategories = None,
    empty_scenes: options.EmptyScenes = False,
) -> None:
    """Say the class of every image in DIR, or of every box in them, how probable it is, and how unsure the model is."""
    from app import predict_folder

    asked = options.boxes(boxes, box_confidence, box_categories, empty_scenes)
    predict_folder.command(folder, ckpt=ckpt, workspace=workspace, format=format, out=out, top=top, boxes=asked)


def export_model(
    ckpt: Annotated[Path, typer.Option(help="a checkpoint of a round or of train")],
    out: Annotated[Path, typer.Option(help="folder to write: model.safetensors, model.json, README.md")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="model.onnx, too, compared with torch (needs onnx and onnxruntime)")
    ] = False,
    check: Annotated[
        Path | None, typer.Option(help="folder of images to compare on; without it the workspace's, or noise")
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="where the checkpoint was made: gives names, counts and rounds, fits the temperature and measures; found "
            "by itself for a file in a workspace's checkpoints/"
        ),
    ] = None,
) -> None:
    """Write a trained network as files that others can use, with a model card."""
    from app import model_export

    print(model_export.export(ckpt, out, onnx=onnx, check=check, workspace=workspace))
