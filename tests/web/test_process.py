"""The page process stays light: no torch, no heavy numerics of the worker, no stubs written into site-packages."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from fastapi import Request

from app.web import server
from store import database, errors

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "faiss", "sklearn", "transformers", "scipy", "alembic", "matplotlib")
LOOK = """
import json, sys, time
start = time.perf_counter()
from app import settings
from app.web import server
server.create_app(settings.load(sys.argv[1]))
print(json.dumps({"seconds": time.perf_counter() - start, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def made_app(workspace: Path) -> dict[str, object]:
    answer = subprocess.run(
        [sys.executable, "-c", LOOK, str(workspace)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, object] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_the_page_process_never_imports_what_only_the_worker_needs(tmp_path: Path) -> None:
    database.open(tmp_path / "raum.db").close()  # making a new database needs alembic, opening one does not
    modules = made_app(tmp_path)["modules"]
    assert isinstance(modules, list)
    assert "gradio" in modules
    assert not set(HEAVY) & set(modules)


def test_gradio_writes_no_stubs_when_it_is_loaded(tmp_path: Path) -> None:
    code = (
        "from app.web import quick_gradio; import inspect; real = inspect.getfile\n"
        "gradio = quick_gradio.load(); from gradio import component_meta as meta\n"
        "assert inspect.getfile is real\n"
        "import time; assert gradio.HTML is not None and gradio.Blocks is not None\n"
        "import pathlib; folder = pathlib.Path(gradio.__file__).parent / 'components'\n"
        "print(sum(1 for path in folder.glob('*.pyi') if time.time() - path.stat().st_mtime < 5))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert answer.stdout.strip() == "0"


def test_an_answer_that_the_disk_or_a_damaged_file_refuses_stays_in_the_browser() -> None:
    """The browser drops an answer on 4xx, which says that it cannot be taken, and sends it again on 5xx."""
    for problem, status in (
        (errors.CannotWrite("full"), 507),
        (errors.Damaged("torn"), 503),
        (errors.Busy("busy"), 503),
    ):
        assert asyncio.run(server._refused(Request({"type": "http"}), problem)).status_code == status
    assert asyncio.run(server._refused(Request({"type": "http"}), errors.BadEvent("no"))).status_code == 409
