"""A Label Studio project moves over with one command; hostile files of any format are refused in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from typer import testing

import launch
from app import bench_moving, errors, imported, importing, items, settings
from app.exchange import formats, json_file, labelstudio_tasks, rows
from store import annotators, classes, database, images, labels, queue, records

NOW = 1_700_000_000.0


def choice(name: str, question: str = "choice") -> dict[str, Any]:
    return {"from_name": question, "to_name": "image", "type": "choices", "value": {"choices": [name]}}


def said(*result: dict[str, Any], who: Any = "ann@example.org", **more: Any) -> dict[str, Any]:
    return {"result": list(result), "completed_by": who, "created_at": "2026-03-09T22:16:08.728353Z", **more}


def guess(name: str, sure: float | None, model: str = "v1", **more: Any) -> dict[str, Any]:
    return {"model_version": model, "score": sure, "result": [choice(name)], **more}


PROJECT = [
    {"id": 11, "data": {"image": "/data/upload/3/1a2b3c4d-one.png"}, "annotations": [said(choice("Owl"))]},
    {
        "id": 12, "data": {"image": "/data/local-files/?d=birds%2Ftwo%20b.png"},
        "annotations": [said(choice("Owl"), who={"id": 4, "email": "ben@example.org"}), said(choice("Crow"), who=9)],
    },
    {"id": 13, "data": {"image": "s3://bucket/birds/three.png"}, "annotations": [said(was_cancelled=True)]},
    {
        "id": 14, "data": {"text": "x", "shot": "http://host/birds/four.png?sig=1"}, "annotations": [],
        "predictions": [guess("Crow", 0.25, created_at="2026-01-02"), guess("Owl", 0.9, "v0", created_at="2026-01-01")],
    },
    {
        "id": 15, "data": {"image": "five.png"},
        "annotations": [said(choice("bad_image", "reject"), {"type": "rectanglelabels", "value": {}})],
    },
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, template: Path) -> settings.Settings:
    place = tmp_path / "w"
    place.mkdir()
    shutil.copy(template, place / "raum.db")
    db = database.open(place / "raum.db")
    with db.write() as tx:
        names = ("one.png", "birds/two b.png", "birds/three.png", "birds/four.png", "five.png")
        images.add_many(tx, [records.NewImage(path=f"/pool/{name}") for name in names])
    db.close()
    return settings.load(place)


def taken(workspace: settings.Settings, told: Any, **options: Any) -> list[str]:
    path = workspace.workspace / "project.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told, indent=2), encoding="utf-8")
    asked = importing.Asked(path, "labelstudio", **{"add_classes": True, "annotators": True, **options})
    return importing.run(workspace, asked, now=NOW)


def test_a_project_moves_over(workspace: settings.Settings) -> None:
    told = taken(workspace, PROJECT)
    assert told[0] == "4 answers added (Owl 2, Crow 1, rejected 1)"
    assert "1 predictions added, to be suggested until the first model here: 'v1'" in told
    assert "passed over: 1 tasks that somebody skipped" in told
    assert any("regions" in line for line in told)
    with database.open(workspace.database).read() as tx:
        names = {each.id: each.name for each in annotators.all_(tx)}
        events = [
            (each.image_id, names[each.annotator_id], each.reason, each.client_at) for each in labels.all_events(tx)
        ]
        found = {image_id: each for image_id, each in imported.all_(tx).items()}
        assert [(each.model, each.shares[0][1]) for each in found[4]] == [("v1", 0.25)]
    assert [event[:3] for event in events] == [
        (1, "ann@example.org", None), (2, "ben@example.org", None), (2, "annotator 9", None), (5, "ann@example.org", "bad_image"),
    ]  # fmt: skip
    assert all(at == pytest.approx(1773094568.728, abs=0.01) for *_, at in events)


def test_two_who_disagree_are_a_problem_without_their_names(workspace: settings.Settings) -> None:
    with pytest.raises(importing.ImportRefused, match="task 2: another answer for the image of task 2"):
        taken(workspace, PROJECT, annotators=False)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ([{"image": "one.png", "choice": "Owl"}], "task 1: it has no 'data': choose JSON, not JSON-MIN"),
        ([{"data": {"text": "x"}}], "task 1: none of 'text' names an image"),
        (
            [{"data": {"image": "one.png"}, "annotations": [said(choice("Owl"), choice("Day", "light"))]}],
            "task 1: 'Owl' (choice) and 'Day' (light) are chosen: an image has one class here",
        ),
        ([{"data": {"image": "nine.png"}, "predictions": [guess("Owl", 0.5)]}], "task 1: 'nine.png' is no image here"),
        (
            [{"data": {"image": "one.png"}, "predictions": [guess("Owl", 1.5)]}],
            "1.5' for class 'Owl' is no probability",
        ),
        ([{"data": {"image": "one.png"}, "annotations": 3}], "annotations is '3', not a list of objects"),
        ('[{"data": {"image": "one.png"}},\n{"data": ', "no JSON on line 2"),
        ('[{"data": {}}, 7]', "'7]' on line 1, where an object in braces belongs"),
        ('{"data": {}}', "the file begins with"),
        ("[", "the file ends in the middle"),
        ("[]", "the file holds no rows"),
        ('[{"a": NaN}]', "NaN is no value"),
        ("[" + "{" * 3000, "no JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(workspace: settings.Settings, told: Any, sentence: str) -> None:
    with pytest.raises(importing.ImportRefused) as refusal:
        taken(workspace, told)
    assert sentence in str(refusal.value)


def test_a_long_array_is_read_item_by_item_across_the_parts_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "_PART", 7)
    told = [{"a": "x" * n, "b": [{"c": n}]} for n in range(40)]
    (tmp_path / "x.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    assert list(json_file.items(tmp_path / "x.json")) == told
    monkeypatch.setattr(json_file, "LONGEST_ITEM", 20)
    with pytest.raises(rows.Unreadable):
        list(json_file.items(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b.png", ("a b.png", "")), ("/data/upload/3/1a2b3c4d-a.png", ("1a2b3c4d-a.png", "a.png")),
        ("https://ls.example/data/upload/3/1a2b3c4d-a.png", ("1a2b3c4d-a.png", "a.png")),
        ("/data/local-files/?d=x%2Fa.png", ("x/a.png", "")), ("gs://b/x/a%20b.png", ("x/a b.png", "")),
        ("https://h/x/a.png?X-Sig=1#f", ("x/a.png", "")),
    ],
)  # fmt: skip
def test_where_an_image_lies(text: str, found: tuple[str, str]) -> None:
    assert labelstudio_tasks.located(text) == found


def test_imported_predictions_are_suggested_until_there_is_a_model_and_never_blind(
    workspace: settings.Settings,
) -> None:
    taken(workspace, PROJECT)
    db = database.open(workspace.database)
    with db.write() as tx:
        person = annotators.ensure(tx, "Cleo", NOW)
        terms = {"annotator_id": person.id, "client": "tab", "now": NOW, "lease_seconds": 60.0, "holdout_rate": 0.0}
        leases = [each for each in queue.claim(tx, count=5, rng=random.Random(0), **terms) if each.image_id == 4]  # type: ignore[arg-type]
        (item,) = items.build(tx, leases)
    db.close()
    assert [(each["name"], each["probability"]) for each in item["suggestions"]] == [("Crow", 0.25)]
    assert item["why"].endswith("; imported: v1 suggests")
    assert not item["calibrated"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["one.png", "Owl", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "data", "image", "annotations", "predictions", "result", "type", "value", "choices", "id", "images", "categories",
        "annotations", "image_id", "category_id", "file_name", "name", "labels", "samples", "filepath", "_cls", "label",
        "distribution", "contentUrl", "encodingFormat", "attributes", "state", "soft_label", "digest", "confidence",
    ]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    st.sampled_from(sorted(formats.IMPORTS)),
    st.one_of(st.binary(max_size=80), JSON.map(lambda told: json.dumps(told).encode())),
)
def test_whatever_a_file_holds_it_is_taken_or_refused_in_words(
    workspace: settings.Settings, name: str, content: bytes
) -> None:
    path = workspace.workspace / "any"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for each in ("labels.json", "samples.json", "croissant.json", "x.parquet", "class.png"):
        (path / each).write_bytes(content)
    if hash(content) % 2:
        (path / "labels.json").unlink()
    with_folder = path if name in formats.FOLDERS else path / "labels.json"
    (path / "labels.json").exists() or name in formats.FOLDERS or (path / "labels.json").write_bytes(content)
    asked = importing.Asked(with_folder, name, dry_run=True, add_classes=True, annotators=True)
    with contextlib.suppress(errors.AppError):
        assert importing.run(workspace, asked, now=NOW)[0] == "a dry run, nothing is stored"


@pytest.mark.parametrize("url", ["../secret.csv", "/etc/passwd", "https://host/labels.csv", "no.csv", None])
def test_croissant_metadata_leads_to_no_file_outside_its_folder(
    workspace: settings.Settings, tmp_path: Path, url: str | None
) -> None:
    (tmp_path / "secret.csv").write_text("path,class\none.png,Owl\n", encoding="utf-8")
    told = {"distribution": [{"encodingFormat": "text/csv", "contentUrl": url}]}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "croissant.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(importing.ImportRefused, match="no file"):
        importing.run(workspace, importing.Asked(tmp_path / "in", "croissant"), now=NOW)


def test_one_command_takes_in_images_classes_labels_and_predictions(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    for number, name in enumerate(("1a2b3c4d-one.png", "two.png")):
        noise = np.random.default_rng(number).integers(0, 255, (30, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(media / name)
    project = [PROJECT[0], {"data": {"image": "two.png"}, "predictions": [guess("Crow", 0.5)]}]
    (tmp_path / "p.json").write_text(json.dumps(project), encoding="utf-8")
    line = ["import-labels", str(tmp_path / "p.json"), "--format", "labelstudio", "--images", str(media)]
    line += ["--add-classes", "--annotators", "--workspace", str(tmp_path / "w")]
    done = testing.CliRunner().invoke(launch.app, line)
    assert done.exit_code == 0, done.output
    assert "1 answers added (Owl 1)" in done.output
    db = database.open(tmp_path / "w" / "raum.db")
    with db.read() as tx:
        assert sorted(each.name for each in classes.ever(tx)) == ["Crow", "Owl"]
        assert len(imported.all_(tx)) == 1
    db.close()


@pytest.mark.skipif(os.name != "posix", reason="memory is counted on POSIX systems only")
def test_bench_import_label_studio_counts_what_it_moved(tmp_path: Path) -> None:
    figures = bench_moving.run(tmp_path, count=700)
    assert (figures["images"], figures["guesses"]) == (700, 700)
    assert all(step["seconds"] > 0 for step in figures["steps"].values())
    assert "predictions" in bench_moving.told(figures)
