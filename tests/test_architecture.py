"""The house stands as drawn: who imports whom, no pickles, no torch on the page, files of a readable length."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("app", "model", "store")
ALLOWED = {"app": {"app", "model", "store"}, "model": {"model"}, "store": {"store"}}
LEARNING_SIDE = {  # of app's rooms only these import model's torch rooms
    "app/learning.py",
    "app/pool.py",
    "app/switching.py",
    "app/training.py",
    "app/testing.py",
    "app/reproducing.py",
    "app/dreaming.py",
    "app/pretraining.py",
    "app/propagating.py",
    "app/probing.py",
    "app/self_teaching.py",
    "app/bench_pretrain.py",
    "app/bench_train.py",
    "app/bench_evidence.py",
    "app/explaining.py",
    "app/bench_network.py",
    "app/bench_overlay.py",
    "app/board.py",
    "app/loggers.py",
    "app/bench_raum.py",
    "app/bench_refresh.py",
    "app/refreshing.py",
    "app/sharing.py",
    "app/round_start.py",
    "app/round_steps.py",
    "app/team.py",
    "app/ranks.py",
    "app/bench_scan.py",
    "app/upstream.py",
    "app/simulate_network.py",
    "app/doctor.py",
    "app/fetching.py",
    "app/jobs.py",
    "app/learning_jobs.py",
    "app/bench_predict.py",
    "app/model_card.py",
    "app/model_export.py",
    "app/model_facts.py",
    "app/named_classes.py",
    "app/predict_folder.py",
    "app/published_model.py",
}
TORCH_ROOMS = (
    "model.network", "model.train", "model.predict", "model.checkpoint", "model.semi", "model.data.augment",
    "model.classifier", "model.onnx_file",
)  # fmt: skip
LONGEST_FILE = 300


def _files() -> list[Path]:
    return sorted(path for wing in WINGS for path in (ROOT / wing).rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_each_wing_imports_only_what_it_may(path: Path) -> None:
    wing = path.relative_to(ROOT).parts[0]
    for name in _imports(path):
        first = name.split(".")[0]
        assert first not in WINGS or first in ALLOWED[wing], f"{_name(path)} imports {name}"
        assert first != "torchvision", f"{_name(path)} needs torchvision"
        if wing == "model":
            assert first not in ("sqlalchemy", "gradio"), f"{_name(path)} imports {name}"
        if wing == "store":
            assert first != "gradio", f"{_name(path)} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=_name)
def test_only_the_learning_side_of_app_touches_torch(path: Path) -> None:
    heavy = {name for name in _imports(path) if name.split(".")[0] == "torch" or name.startswith(TORCH_ROOMS)}
    assert not heavy or _name(path) in LEARNING_SIDE or "web/bench" in _name(path), (
        f"{_name(path)} imports {sorted(heavy)}"
    )


@pytest.mark.parametrize("path", [ROOT / "launch.py", *_files()], ids=_name)
def test_every_file_says_what_it_is_for_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert not text.strip() or ast.get_docstring(ast.parse(text)), (
        f"{_name(path)} has no first line that says what it is for"
    )


def test_nothing_ever_loads_a_pickle() -> None:
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert called not in ("pickle.load", "pickle.loads", "joblib.load"), f"{_name(path)}: {called}"
            if called == "torch.load":
                assert options.get("weights_only") == "True", f"{_name(path)}: torch.load without weights_only=True"
            assert options.get("allow_pickle") != "True", f"{_name(path)}: {called} with allow_pickle"


def test_faiss_is_loaded_in_one_place_where_it_is_told_of_the_processor() -> None:
    assert [_name(path) for path in _files() if "faiss" in _imports(path)] == ["model/faiss_kernels.py"]


def test_the_page_process_never_imports_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from app import settings; from app.web import server; from pathlib import Path;"
        "server.create_app(settings.load(Path(sys.argv[1])));"
        "print(sorted(m for m in ('torch', 'transformers', 'faiss', 'scipy', 'sklearn') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_command_line_imports_nothing_heavy_before_a_verb_runs() -> None:
    code = (
        "import sys, launch, typer.main; typer.main.get_command(launch.app);"
        "print(sorted(m for m in ('torch', 'numpy', 'scipy', 'sqlalchemy', 'gradio') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
