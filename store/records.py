"""The frozen records that go into and come out of the store; times are unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class NewImage:
    """A file to add, or a box in one. `phash` is hexadecimal; `holdout` 0 no, 1 calibration half, 2 test half.

    Of a box `scene` is the file; the box and the scene's size are pixels of the upright picture, width and height those
    of what is cut out."""

    path: str
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int = 0
    mtime_ns: int = 0
    phash: str | None = None
    group_id: int | None = None
    holdout: int = 0
    status: str = "ok"
    problem: str | None = None
    taken_at: float | None = None
    added_at: float = 0.0
    scene: str | None = None
    box_x: int | None = None
    box_y: int | None = None
    box_w: int | None = None
    box_h: int | None = None
    scene_width: int | None = None
    scene_height: int | None = None

    @property
    def file(self) -> str:
        """The file that holds it."""
        return self.scene or self.path

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, width and height in its scene; None for a whole file."""
        if self.box_x is None or self.box_y is None or self.box_w is None or self.box_h is None:
            return None
        return self.box_x, self.box_y, self.box_w, self.box_h


@dataclass(frozen=True, kw_only=True)
class Image(NewImage):
    """An image row."""

    id: int


class Hashes(NamedTuple):
    """Parallel lists over the usable images, by id; the group is -1 where none was given."""

    ids: list[int]
    phashes: list[int]
    groups: list[int]
    holdout: list[int]


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """A class; `merged_into` names the class that took it over, `shortcut` the key it is pinned to."""

    id: int
    name: str
    position: int
    status: str
    merged_into: int | None
    added_at: float
    parent_id: int | None = None
    note: str = ""
    shortcut: str | None = None


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """A person, or a simulated one."""

    id: int
    name: str
    role: str
    added_at: float


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """What someone said about an image, and what they saw when they said it."""

    uuid: str
    image_id: int
    annotator_id: int
    kind: str
    class_id: int | None = None
    reason: str | None = None
    note: str | None = None
    target_seq: int | None = None
    source: str = "page"
    publication_id: int | None = None
    round_id: int | None = None
    lease_token: str | None = None
    suggestion_class_id: int | None = None
    suggestion_probability: float | None = None
    suggestion_visible: bool | None = None
    overlay_kind: str | None = None
    overlay_visible: bool | None = None
    shown_ms: float | None = None
    input_mode: str | None = None
    queue_reason: str | None = None
    queue_rank: int | None = None
    propensity: float | None = None
    region: str | None = None
    client_at: float | None = None
    asked_id: int | None = None  # of a skip: the annotator whom the image is passed to


@dataclass(frozen=True, kw_only=True)
class Event(NewEvent):
    """A stored event; `seq` is its watermark and grows in commit order."""

    seq: int
    received_at: float


@dataclass(frozen=True, kw_only=True)
class ImageState:
    """What counts now for one image: the fold of its events."""

    image_id: int
    lane: str
    draw: int
    kind: str | None
    class_id: int | None
    reason: str | None
    event_seq: int | None
    annotator_id: int | None
    source: str | None
    settled_at: float | None
    answers: int
    skips: int
    flags: int
    said_by: str = ""

    @property
    def settled(self) -> bool:
        """True once an unretracted label, reject or review stands."""
        return self.kind is not None

    @property
    def people(self) -> list[int]:
        """The annotators whose answer stands, by id."""
        return [int(each) for each in self.said_by.split(",") if each]


class Said(NamedTuple):
    """What one annotator says about one image: the latest label, reject or review of theirs that stands."""

    image_id: int
    annotator_id: int
    class_id: int | None  # None for a reject; else the class as merged today
    reason: str | None
    review: bool
    seq: int


class Contents(NamedTuple):
    """What is in a database file: its version, the seq of its newest event, answers (labels, rejects) ever given, images."""

    version: str
    watermark: int
    answers: int
    images: int


class Settled(NamedTuple):
    """One settled image; `class_id` is None for a reject, else the class as merged today."""

    image_id: int
    class_id: int | None
    reason: str | None
    event_seq: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One annotator's time-limited right to one image, and why it is asked."""

    image_id: int
    slot: int
    annotator_id: int
    client: str
    token: str
    publication_id: int | None
    position: int | None
    reason: str
    blind: bool
    propensity: float | None
    leased_at: float
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """One row of the published queue; position 0 is asked first. overlays: the kinds of maps there are of the image;
    beside: what belongs to one of a kind, as plain values (app/drawing.py writes them, app/items.py reads them)."""

    position: int
    image_id: int
    reason: str
    total: float | None = None
    epistemic: float | None = None
    aleatoric: float | None = None
    margin: float | None = None
    propensity: float | None = None
    suggestions: list[tuple[int, float]] = field(default_factory=list)
    neighbours: list[tuple[int, list[int]]] = field(default_factory=list)
    overlays: list[str] = field(default_factory=list)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewPublication:
    """What a refresh or a round leaves for the page; paths are relative to the workspace."""

    kind: str
    watermark: int
    created_at: float
    round_id: int | None = None
    checkpoint: str | None = None
    embeddings: str | None = None
    calibrated: bool = False
    pool_size: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Publication(NewPublication):
    """A published publication."""

    id: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """One slow learning step; `throughput` in images a second, `eta_s` in seconds."""

    id: int
    status: str
    seed: int
    settings: dict[str, Any]
    watermark: int
    pid: int | None
    phase: str
    fraction: float
    message: str
    throughput: float | None
    eta_s: float | None
    metrics: dict[str, Any]
    checkpoint: str | None
    error: str | None
    begun_at: float
    finished_at: float | None


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something the page asks of the worker."""

    id: int
    kind: str
    payload: dict[str, Any]
    asked_at: float
    taken_at: float | None
    finished_at: float | None
    result: dict[str, Any]
    error: str | None
