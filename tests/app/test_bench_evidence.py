"""`bench evidence` as a person starts it, and its figures on proposals whose worth is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import launch
from app import bench_evidence


class Known:
    """Two marked images of one class; three proposals: one right, one beside the mark, one on another place."""

    truth_N4 = np.tile([0.4, 0.4, 0.2, 0.2], (5, 1))

    def proposed(self, clicks: int, seed: int) -> list[bench_evidence.Part]:
        boxes_M4 = np.array([[0.4, 0.4, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.0, 0.0, 0.2, 0.2]])
        return [(np.array([0, 1]), np.array([2, 3, 4]), boxes_M4)]


def test_a_person_confirms_what_is_right_and_takes_out_the_rest() -> None:
    found = bench_evidence.measure(Known(), 2, 3)  # type: ignore[arg-type]
    assert found["iou30"] == pytest.approx(1 / 3)
    assert found["centre"] == pytest.approx(2 / 3), "the second one's centre is the true box's corner"
    assert found["same_place"] == 1.0
    assert (found["gained"], found["for_a_mark"]) == (1, 0.5)
    assert found["for_a_press"] == pytest.approx(1 / (2 + 2 + 1)), "two marks, two taken out, one Enter"


def test_boxes_overlap_as_they_should() -> None:
    a_N4 = np.array([[0, 0, 0.2, 0.2], [0, 0, 0.2, 0.2], [0, 0, 0.2, 0.2]])
    b_N4 = np.array([[0, 0, 0.2, 0.2], [0.1, 0, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]])
    assert bench_evidence.overlaps(a_N4, b_N4) == pytest.approx([1, 1 / 3, 0])


def test_it_tells_what_marks_gain_and_teach(tmp_path: Path) -> None:
    options = [
        "--labelled",
        "16",
        "--test",
        "4",
        "--clicks",
        "1",
        "--seeds",
        "1",
        "--teach",
        "1",
        "--steps",
        "2",
        "--json",
    ]
    done = CliRunner().invoke(launch.app, ["bench", "evidence", *options, str(tmp_path / "told.json")])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "told.json").read_text())
    assert [row["clicks"] for row in told["clicks"]] == [1]
    assert all(0 <= told["clicks"][0][name] <= 1 for name in ("iou30", "iou50", "centre", "same_place"))
    taught = {row["taught"]: row["regions"] for row in told["taught"]}
    assert list(taught) == ["nothing", "1 marked a class", "1 marked, and confirmed", "every true box"]
    assert taught["nothing"] == 0 < taught["1 marked a class"] <= taught["1 marked, and confirmed"]
    assert "A person takes out what is under IoU .3" in done.output
    refused = CliRunner().invoke(launch.app, ["bench", "evidence", "--labelled", "16", "--clicks", "9"])
    assert refused.exit_code != 0
