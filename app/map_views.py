"""The maps of an image as the page gets them: where each lies, in which words, and what is drawn beside it."""

from collections.abc import Sequence
from typing import Any

from app import class_names, overlays
from store.records import QueueRow


def shown(row: QueueRow, publication: int, names: class_names.Names, top: Sequence[str]) -> list[dict[str, Any]]:
    """kind, caption and url of each; box (shares), votes (look, name and probability) and erased where there are some.

    `top`: names of the two first suggestions, for which evidence and contrast speak; where there are none no class is
    named at all. A map for a class that is no longer there is left out, and votes that name one."""
    told = []
    for kind in row.overlays:
        facts = row.beside.get(kind, {})
        first, second = [*top[:2], "", ""][:2]
        if "class_id" in facts:
            name = _name(names, facts["class_id"])
            if not name:
                continue
            first = name if top else ""
        view: dict[str, Any] = {
            "kind": kind,
            "caption": overlays.caption(kind, first, second),
            "url": f"/overlay/{publication}/{row.image_id}?kind={kind}",
        }
        votes = [
            {"look": look, "name": _name(names, class_id), "probability": share}
            for look, (class_id, share) in zip(overlays.looks(kind), facts.get("votes", []), strict=False)
        ]
        if top and votes and all(each["name"] for each in votes):
            view["votes"] = votes
        told.append(view | {name: facts[name] for name in ("box", "erased") if name in facts})
    return told


def unnamed(view: dict[str, Any]) -> dict[str, Any]:
    """The same map without the name of any class, for where no suggestion may be seen."""
    plain = {name: value for name, value in view.items() if name != "votes"}
    return plain | {"caption": overlays.caption(view["kind"])}


def _name(names: class_names.Names, class_id: int) -> str:
    """What the class, or the one that took over, is called now; empty where it is gone."""
    return names.active.get(names.final(class_id) or 0, "")
