"""The bank of dreamed pictures: made once, continued, taken over only where it was made the same way."""

import json
from pathlib import Path

import numpy as np
import pytest

from app import dreaming, errors
from model import dreams
from model import errors as model_errors

STARTS = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


def _teacher(folder: Path, kind: str) -> str:
    import transformers

    settings = transformers.MobileNetV2Config(depth_multiplier=0.35, image_size=64, num_labels=4)
    getattr(transformers, kind)(settings).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _teacher(tmp_path_factory.mktemp("classifier"), "MobileNetV2ForImageClassification")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreams, "STAGES", ((16, 1), (32, 2)))
    monkeypatch.setattr(dreams, "SIDE", 32)
    monkeypatch.setattr(dreaming, "BATCH", 4)


def _dreamed(count: int, teacher: str, kept: Path, *, told: list[str] | None = None, seed: int = 0) -> np.ndarray:
    lines = [] if told is None else told
    return dreaming.dreamed(
        count,
        teacher=teacher,
        starts=STARTS,
        classes=3,
        seed=seed,
        kept=kept,
        progress=lambda done, message: lines.append(message),
    )


def test_a_bank_is_continued_and_ends_as_one_made_at_once(teacher: str, tmp_path: Path) -> None:
    told: list[str] = []
    first = _dreamed(4, teacher, tmp_path / "bank.npz", told=told)
    longer = _dreamed(7, teacher, tmp_path / "bank.npz", told=told)
    assert told == ["dreaming 0 of 4 pictures", "dreaming 4 of 7 pictures"]
    assert first.shape == (4, 32, 32, 3)
    assert np.array_equal(longer[:4], first)
    assert np.array_equal(longer, _dreamed(7, teacher, tmp_path / "other.npz"))
    assert np.array_equal(longer, _dreamed(7, teacher, tmp_path / "bank.npz", told=told))
    assert len(told) == 2


def test_a_bank_made_otherwise_or_broken_is_refused_by_name(teacher: str, tmp_path: Path) -> None:
    kept = tmp_path / "bank.npz"
    _dreamed(1, teacher, kept)
    with pytest.raises(errors.BadRequest, match="delete the file to make it anew"):
        _dreamed(1, teacher, kept, seed=1)
    kept.write_bytes(b"no bank")
    with pytest.raises(errors.BadRequest, match="cannot read the dreamed pictures"):
        _dreamed(1, teacher, kept)


def test_a_teacher_without_its_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(model_errors.BadConfig, match="no trained classifier"):
        _dreamed(1, _teacher(tmp_path / "headless", "MobileNetV2Model"), tmp_path / "bank.npz")
