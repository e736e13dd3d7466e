"""A workspace with drawn images, classes, a published queue and maps; the page over it, served in a thread."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image, ImageDraw, ImageFilter

from app import settings
from app.web import server
from store import classes, database, images, queue
from store.records import NewImage, NewPublication, QueueRow
from tests.web import browser
from tests.web import team as people

NAMES = ("Ash", "Birch", "Cedar", "Elm")
POOL, HOLDOUT = 24, 4
# what a browser logs of refusals, which the tests look at themselves
EXPECTED = ("net::ERR", "400 (Bad Request)", "503 (Service Unavailable)")


def draw_image(path: Path, number: int) -> None:
    """A coloured disc on a shaded ground; every number looks different."""
    size = (320, 240) if number % 3 else (240, 320)
    picture = Image.linear_gradient("L").resize(size).convert("RGB").point(lambda value: 90 + value // 3)
    pen = ImageDraw.Draw(picture)
    x, y = 60 + (37 * number) % (size[0] - 120), 60 + (53 * number) % (size[1] - 120)
    pen.ellipse((x - 45, y - 45, x + 45, y + 45), fill=((61 * number) % 256, (97 * number) % 256, (151 * number) % 256))
    pen.text((8, 8), str(number), fill="white", font_size=28)
    picture.save(path)


def draw_map(path: Path, number: int) -> None:
    """A 12 x 9 grey map with one hill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = Image.new("L", (12, 9))
    grid.putpixel((3 + number % 6, 4), 255)
    grid.filter(ImageFilter.GaussianBlur(1.2)).point(lambda value: min(255, value * 8)).save(path)


def fill(workspace: Path, names: tuple[str, ...] = NAMES, *, publish: bool = True) -> None:
    """Images of which the last few are holdout, classes, and (if asked) one publication over the pool."""
    folder = workspace / "pictures"
    folder.mkdir(parents=True)
    for number in range(POOL + HOLDOUT):
        draw_image(folder / f"{number:02d}.png", number)
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        rows = [_row(folder / f"{number:02d}.png", number) for number in range(POOL + HOLDOUT)]
        ids = images.add_many(tx, rows)
        made = [classes.add(tx, name, 1.0).id for name in names]
        if publish:
            _publish(tx, workspace, ids[:POOL], made)
    db.close()


def _row(path: Path, number: int) -> NewImage:
    width, height = (320, 240) if number % 3 else (240, 320)
    holdout = 0 if number < POOL else 1 + number % 2
    return NewImage(
        path=str(path),
        digest=f"{number:064x}",
        width=width,
        height=height,
        holdout=holdout,
        group_id=number,
        phash=f"{number:016x}",
    )


def _publish(tx: Any, workspace: Path, ids: list[int], made: list[int]) -> None:
    rows = [_asked(position, image_id, made) for position, image_id in enumerate(ids[:-6])]
    publication = queue.publish(
        tx, NewPublication(kind="refresh", watermark=0, created_at=1.0, calibrated=True, pool_size=POOL), rows
    )
    for position, image_id in enumerate(ids[:-6]):
        for kind in ("evidence", "contrast"):
            draw_map(
                workspace / "overlays" / str(publication) / f"{image_id}-{kind}.png", position + (kind == "contrast")
            )


def _asked(position: int, image_id: int, made: list[int]) -> QueueRow:
    first = position % len(made)
    order = made[first:] + made[:first]
    shares = [0.61, 0.27, 0.08, 0.04][: len(order)]
    return QueueRow(
        position=position,
        image_id=image_id,
        reason="audit" if position == 5 else "uncertain",
        epistemic=0.42,
        propensity=0.1 if position == 5 else None,
        suggestions=list(zip(order, shares, strict=False)),
        neighbours=[(class_id, [image_id % 20 + 1 + k for k in range(3)]) for class_id in order[:3]],
        overlays=["evidence", "contrast"],
    )


class Page:
    """A served page: its address, its workspace, and a way to take the server away and bring it back."""

    def __init__(self, workspace: Path, **overrides: Any) -> None:
        self.workspace = workspace
        self.settings = settings.load(workspace, **{"port": 0, "holdout_rate": 0.0, "hidden_rate": 0.0, **overrides})
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server: uvicorn.Server | None = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 90  # a busy machine takes long to import Gradio
        while not (self.server and self.server.started) and self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.server is not None
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def _serve(self) -> None:
        """The app is made in this thread: the test's own already runs Playwright's event loop."""
        self.app = server.create_app(self.settings)
        config = uvicorn.Config(
            self.app,
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.server.run()

    def stop(self) -> None:
        if self.server is not None:
            self.server.should_exit = True
        self.thread.join(timeout=20)

    def events(self) -> list[Any]:
        """Everything in the store's event table, oldest first."""
        from store import labels

        db = database.open(self.settings.database)
        with db.read() as tx:
            found = list(labels.all_events(tx))
        db.close()
        return found

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=10)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard workspace, to be copied; its image rows keep pointing to the pictures here."""
    workspace = tmp_path_factory.mktemp("template") / "workspace"
    workspace.mkdir()
    fill(workspace)
    return workspace


@pytest.fixture(scope="session")
def team_template(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """The standard workspace with the people of team.PEOPLE, to be copied: hashing passwords takes a moment."""
    workspace = tmp_path_factory.mktemp("team") / "workspace"
    shutil.copytree(template, workspace)
    people.fill(workspace)
    return workspace


@pytest.fixture
def make_page(tmp_path: Path, template: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Makes served pages over a fresh workspace: make_page(names), make_page(empty=True), make_page(team=True)."""
    made: list[Page] = []

    def make(names: tuple[str, ...] = NAMES, *, empty: bool = False, team: bool = False, **overrides: Any) -> Page:
        workspace = tmp_path / "workspace"
        if names == NAMES and not empty:
            shutil.copytree(request.getfixturevalue("team_template") if team else template, workspace)
        else:
            workspace.mkdir()
        if names != NAMES:
            fill(workspace, names)
        made.append(Page(workspace, **overrides))
        return made[-1]

    yield make
    for page in made:
        page.stop()


@pytest.fixture
def page_server(make_page: Callable[..., Page]) -> Page:
    """The page over the standard workspace."""
    return make_page()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.launched() as found:
        yield found


def wait_for_the_first(route: Any) -> None:
    """Serve the page's stock of images with a minute of patience."""
    response = route.fetch()
    hasty = "const PATIENCE_MS = 300;"
    assert hasty in response.text()
    route.fulfill(response=response, body=response.text().replace(hasty, "const PATIENCE_MS = 60000;"))


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """opened(page_server, width=..., height=...) is a tab with the first image on it; no console error may appear.

    With frame=True Gradio's own bundle is loaded, too; without, the surface stands alone, as in the page's first second.
    The first-run guide is done, unless guide=True. Images come in the queue's order, however late a busy machine decodes the
    first of them: the page itself lets one that is ready go first after 300 ms.
    """
    contexts: list[Any] = []
    errors: list[str] = []

    def open_tab(
        server: Page,
        *,
        width: int = 1280,
        height: int = 720,
        wait: str = browser.IMAGE,
        frame: bool = False,
        guide: bool = False,
        **options: Any,
    ) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        if not guide:
            context.add_init_script("localStorage.setItem('raum.guided', 'yes')")
        tab = context.new_page()
        tab.on("pageerror", lambda problem: errors.append(str(problem)))
        tab.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        tab.route("**/surface/*/stock.js", wait_for_the_first)
        if not frame:
            tab.route("**/assets/**", lambda route: route.abort())
        tab.goto(server.url)
        if frame:
            tab.wait_for_selector(".raum-slot .raum")
        tab.wait_for_selector(wait)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert [error for error in errors if not any(known in error for known in EXPECTED)] == []
