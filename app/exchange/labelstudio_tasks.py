"""The parts of a Label Studio task: which image it is about, what was chosen, who said so."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from app import ingest_files
from app.exchange import rows

IMAGE_KEYS = ("image", "img", "picture", "photo", "url", "file")
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts in front of the name of an uploaded file


def image(task: Mapping[str, Any]) -> tuple[str, str]:
    """The path that a task names, and the name an uploaded file had before; raises Wrong."""
    data = task.get("data")
    if not isinstance(data, dict):
        raise rows.Wrong("format", "it has no 'data': choose JSON, not JSON-MIN, where Label Studio exports")
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = [key for key in IMAGE_KEYS if key in texts] or [
        key for key, value in texts.items() if ingest_files.is_image_name(urllib.parse.urlsplit(value).path or value)
    ]
    if not named:
        raise rows.Wrong("image", f"none of {', '.join(map(rows.shown, data)) or 'its data'} names an image")
    return located(texts[named[0]])


def located(text: str) -> tuple[str, str]:
    """The path in a URL, a local-files address or an upload of Label Studio's, and the uploaded file's own name or ""."""
    try:
        url = urllib.parse.urlsplit(text)
    except ValueError as problem:
        raise rows.Wrong("image", f"{rows.shown(text)} is no address: {problem}") from problem
    if url.path.endswith("/data/local-files/"):
        return urllib.parse.parse_qs(url.query).get("d", [""])[0], ""
    if not url.scheme and not text.startswith("/data/upload/"):
        return text, ""
    path = urllib.parse.unquote(url.path).lstrip("/")
    if "/data/upload/" not in f"/{path}":
        return path, ""
    name = PurePosixPath(path).name  # the folder above it is the project's number
    return name, UPLOADED.sub("", name, count=1) if UPLOADED.match(name) else ""


def chosen(one: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """The question and the choice, at most one; and the results that are no choices. Raises Wrong for several choices."""
    results = objects(one, "result")
    made: list[tuple[str, str]] = []
    for each in (each for each in results if each.get("type") == "choices"):
        value = each.get("value")
        names = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise rows.Wrong("choices", f"{rows.shown(json.dumps(value, default=str))} holds no list of choices")
        made += [(str(each.get("from_name")), name) for name in names]
    if len(made) > 1:
        told = " and ".join(f"{rows.shown(name)} ({rows.plain(question)})" for question, name in made[:3])
        raise rows.Wrong("several choices", f"{told} are chosen: an image has one class here")
    return made, [each for each in results if each.get("type") != "choices"]


def objects(one: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects under a name, empty where there is none; raises Wrong for anything else."""
    told = one.get(name)
    if told is None:
        return []
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise rows.Wrong("format", f"{name} is {rows.shown(json.dumps(told, default=str))}, not a list of objects")
    return told


def who(told: Any) -> str | None:
    """Who annotated: an address, or a number where the export gives no more."""
    if isinstance(told, dict):
        told = told.get("email") or told.get("username") or told.get("id")
    return None if told is None else f"annotator {told}" if isinstance(told, int) else str(told)
