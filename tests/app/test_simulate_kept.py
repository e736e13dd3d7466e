"""A simulation that was stopped goes on where it was; sources are checked; curves become a picture."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich import console as consoles

from app import errors, simulate, simulate_arm, simulate_data, simulate_kept, simulate_plot, simulate_work

QUIET = consoles.Console(quiet=True)


def _material() -> simulate_data.Material:
    rng = np.random.default_rng(1)
    labels_N = np.repeat(np.arange(4), 30)
    points = np.eye(4)[labels_N] * 2 + rng.normal(size=(120, 4))
    return simulate_data.Material("points", list("abcd"), labels_N, None, None, points.astype(np.float32), "points")


def _plan(**more: object) -> simulate_arm.Plan:
    settings = {"budget": 24, "batch": 8, "seeds": 2, "target": 0.7} | more
    return simulate_arm.Plan(("random", "auto"), **settings)  # type: ignore[arg-type]


def _curves(result: dict) -> dict[str, list]:
    return {name: told["curves"] for name, told in result["strategies"].items()}


def test_a_stopped_simulation_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = simulate.run(_material(), _plan())
    simulate.run(_material(), _plan(seeds=1), kept=tmp_path)
    (file,) = tmp_path.glob("arms-*.jsonl")
    with file.open("a", encoding="utf-8") as handle:
        handle.write('{"strategy": "auto", "seed": 1, "poi')  # a write that was cut off
    told: list[str] = []
    resumed = simulate.run(_material(), _plan(), kept=tmp_path, progress=lambda _, words: told.append(words))
    assert told[0] == "2 of 4 arms, as kept"
    assert len(told) == 3
    assert _curves(resumed) == _curves(whole)
    again: list[str] = []
    simulate.run(_material(), _plan(target=0.5), kept=tmp_path, progress=lambda _, words: again.append(words))
    assert again == ["4 of 4 arms, as kept"]  # another target needs no arm anew
    simulate.run(_material(), _plan(), kept=tmp_path, fresh=True, progress=lambda _, words: told.append(words))
    assert told[-1] == "4 of 4 arms"
    assert len(told) == 3 + 5


def test_another_material_or_plan_takes_nothing_of_the_first(tmp_path: Path) -> None:
    material, plan = _material(), _plan()
    other = simulate_data.Material("points", list("abcd"), material.labels_N, None, None, material.embeddings_ND + 1)
    names = {
        simulate_kept.file_of(tmp_path, *each) for each in ((material, plan), (other, plan), (material, _plan(batch=4)))
    }
    assert len(names) == 3


def test_what_was_finished_before_a_stop_is_kept(tmp_path: Path) -> None:
    def stop(share: float, words: str) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(errors.Stopped, match="2 of 4 arms are kept"):
        simulate_work.run(_material(), simulate_work.jobs_of(_plan()), kept=tmp_path, progress=stop)
    (file,) = tmp_path.glob("arms-*.jsonl")
    assert len(simulate_kept.read(file)) == 2


def test_a_process_that_is_ended_from_outside_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise BrokenProcessPool("a child was killed")

    monkeypatch.setattr(simulate_work, "_each", broken)
    with pytest.raises(errors.Stopped, match="one of its processes was ended; 0 of 4 arms are kept"):
        simulate_work.run(_material(), simulate_work.jobs_of(_plan()), kept=tmp_path)


ROOT = Path(__file__).resolve().parents[2]
LONG = """
import sys
from pathlib import Path
from app import errors, simulate_arm, simulate_data, simulate_work
plan = simulate_arm.Plan(("random",), budget=40, batch=10, seeds=2000, classifier="logistic")
try:
    simulate_work.run(simulate_data.from_digits(), simulate_work.jobs_of(plan), workers=2, kept=Path(sys.argv[1]))
except errors.Stopped as stopped:
    print(stopped)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX's")
@pytest.mark.parametrize("way", ["Ctrl-C", "killed"])
def test_a_stop_ends_all_processes_and_leaves_what_is_finished(tmp_path: Path, way: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while not any(file.stat().st_size for file in tmp_path.glob("arms-*.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    if way == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
    else:
        process.kill()
    told, complaint = process.communicate(timeout=30)  # ends when nobody holds the pipes any more
    (file,) = tmp_path.glob("arms-*.jsonl")
    assert len(simulate_kept.read(file)) >= 1
    if way == "Ctrl-C":
        assert "are kept: the same command goes on from there" in told
        assert not complaint


def test_embeddings_are_saved_and_simulated_on(tmp_path: Path) -> None:
    file = tmp_path / "points.npz"
    simulate_data.save_embeddings(_material(), file)
    result = simulate.simulate(
        simulate.Source(embeddings=file),
        _plan(),
        cache=tmp_path,
        target="full:0.9",
        plot=tmp_path / "curves.png",
        console=QUIET,
    )
    assert _curves(result) == _curves(simulate.run(simulate_data.from_embeddings(file), _plan()))
    assert "last layer" in result["target_told"]
    with pytest.raises(errors.BadRequest, match="rounds need the images"):
        simulate.simulate(simulate.Source(embeddings=file), _plan(rounds_at=(8,)), cache=tmp_path, console=QUIET)


def test_files_of_embeddings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file, fine = tmp_path / "points.npz", _material()
    bad = fine.embeddings_ND.copy()
    bad[7, 0] = np.nan
    for arrays, words in (
        ({"labels_N": fine.labels_N}, "embeddings_ND"),
        ({"embeddings_ND": fine.embeddings_ND, "labels_N": fine.labels_N[:-1]}, "119"),
        ({"embeddings_ND": bad, "labels_N": fine.labels_N}, "7"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(errors.BadRequest, match=words):
            simulate_data.from_embeddings(file)
    file.write_bytes(b"no archive")
    with pytest.raises(errors.BadRequest, match=r"points\.npz"):
        simulate_data.from_embeddings(file)


def test_the_grid_compares_every_condition_with_random() -> None:
    result = simulate.run_grid(_material(), _plan(seeds=2, budget=16))
    assert list(result["grid"]["cells"]) == [
        "balanced",
        "tail 10",
        "30% out-of-class",
        "30% duplicates",
        "10% noise",
        "20% noise",
    ]
    auto = result["grid"]["strategies"]["auto"]
    by_hand = [r["strategies"]["auto"]["aubc"] - r["strategies"]["random"]["aubc"] for r in result["cells"].values()]
    np.testing.assert_allclose(auto["gain"], by_hand)
    assert auto["mean_gain"] == pytest.approx(np.mean(by_hand))


def test_curves_become_a_picture_of_the_stated_size(tmp_path: Path) -> None:
    result = simulate.run(_material(), _plan())
    simulate_plot.draw([result], tmp_path / "one.png")
    simulate_plot.draw([result] * 4, tmp_path / "four.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "four.png") as four:
        assert (one.format, one.size) == ("PNG", simulate_plot.ONE)
        assert four.size == (3 * simulate_plot.SMALL[0], 2 * simulate_plot.SMALL[1])
        colours = {colour for _, colour in one.getcolors(1 << 24)}
    assert (0, 114, 178) in colours  # the first strategy's own colour
