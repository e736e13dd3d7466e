"""The OpenAPI document of the REST API, for scripts that make a client of it; the served page keeps its own closed."""

from typing import Any

from fastapi import FastAPI

from app import labelling
from app.web import door_table, routes, server

PREFIX = "/api/v1/"
TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
ABOUT = (
    "The answers of people in, images to ask and labels out. docs/api.md shows the main acts. A page without users needs no "
    "token; with users each request sends one whose scopes hold the route's x-scope."
)

REFUSED = {
    "description": "Refused",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
}


def _object(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


# What a body may say, where a script is likely to write one; the others are told as any object.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/api/v1/events"): _object(
        ("uuid", "image_id", "kind"),
        uuid={**TEXT, "description": "of this answer, made by the sender: sent twice it counts once"},
        image_id=WHOLE,
        lease={**TEXT, "description": "as /api/v1/next gave it"},
        annotator={**TEXT, "description": "who says it; with users the token's owner, whatever stands here"},
        kind={**TEXT, "enum": list(labelling.KINDS)},
        class_id={**WHOLE, "description": "of a label"},
        reason={**TEXT, "enum": list(labelling.REASONS), "description": "of a reject"},
        note=TEXT,
        publication={**WHOLE, "description": "whose suggestions were seen"},
        shown_ms={**NUMBER, "description": "how long the image was looked at"},
    ),
    ("post", "/api/v1/undo"): _object(
        ("uuid",),
        uuid={**TEXT, "description": "of this undoing, made by the sender"},
        annotator=TEXT,
        client={**TEXT, "description": "as sent to /api/v1/next: it gets the image back"},
        target={**TEXT, "description": "uuid of the answer that is meant; without: the latest"},
        only={"type": "boolean", "description": "undo nothing else where the target does not stand any more"},
    ),
    ("post", "/api/v1/classes"): _object(("name",), name=TEXT, parent_id=WHOLE, annotator=TEXT),
    ("post", "/api/v1/commands"): _object(
        ("kind",), kind={**TEXT, "enum": list(routes.COMMANDS)}, payload={"type": "object"}
    ),
}


def document() -> dict[str, Any]:
    """Every route under /api/v1 with its parameters, its body where one is told, and the scope that it needs."""
    app = FastAPI(title="RAUM", version="1", description=ABOUT)
    for room in server.ROOMS:
        app.include_router(room.router)
    made = app.openapi()
    made["paths"] = {path: acts for path, acts in made["paths"].items() if path.startswith(PREFIX)}
    made["components"] = {
        "schemas": {"Refusal": _object(("error",), error={**TEXT, "description": "what is wrong and what to do next"})},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    made["security"] = [{}, {"token": []}]  # nobody logs in where there are no users
    for path, acts in made["paths"].items():
        for method, act in acts.items():
            act["x-scope"] = door_table.OURS[method.upper(), path]
            act["responses"].pop("422", None)  # FastAPI's own words, which are never sent
            act["responses"]["default"] = REFUSED
            if body := BODIES.get((method, path)):
                act["requestBody"]["content"]["application/json"]["schema"] = body
    return made
