"""The names of a checkpoint's classes: from the workspace that it was made in, as they are called there now."""

from __future__ import annotations

from pathlib import Path

from app import errors, jobs, settings
from model import checkpoint, classifier
from store import classes
from store.database import Database


def of(ckpt: Path, workspace: Path | None) -> list[str] | None:
    """The names in the order of the checkpoint's classes; None where no workspace knows them, and the file itself may.

    workspace: where the checkpoint was made; without one the folder in whose checkpoints/ it lies."""
    place = workspace or home(ckpt)
    if place is None:
        return None
    with jobs.opened(there(settings.load(place))) as db:
        return in_database(db, checkpoint.describe(file_of(ckpt))["class_ids"])


def in_database(db: Database, class_ids: list[int]) -> list[str]:
    """Names by id; merged and retired classes keep the ones they had. BadRequest for ids that the workspace never had."""
    with db.read() as tx:
        known = {each.id: each.name for each in classes.ever(tx)}
    if unknown := [each for each in class_ids if each not in known]:
        raise errors.BadRequest(f"the workspace has no class {unknown[0]}: the checkpoint was made in another one")
    names = [known[each] for each in class_ids]
    return [name if names.count(name) == 1 else f"{name} ({k})" for k, name in zip(class_ids, names, strict=True)]


def file_of(source: Path) -> Path:
    """The checkpoint itself, or the one in an exported folder."""
    return source / classifier.EXPORTED if source.is_dir() else source


def home(ckpt: Path) -> Path | None:
    """The workspace in whose checkpoints/ the file lies, if it does."""
    folder = ckpt.absolute().parent
    return folder.parent if folder.name == "checkpoints" and settings.load(folder.parent).exists else None


def there(chosen: settings.Settings) -> settings.Settings:
    """The settings of a workspace that exists; BadRequest for one that does not, before it would be made."""
    if not chosen.workspace.is_dir():
        raise errors.BadRequest(f"there is no workspace {chosen.workspace}: check --workspace")
    return chosen
