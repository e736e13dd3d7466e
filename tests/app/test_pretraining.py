"""The verb as a person starts it: a tiny teacher's folder and some pictures in, one file out; refusals say what to do."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from app import dreaming, errors, pretraining, probing
from model import config, dreams
from model.network import pretrained

RECIPE = config.PretrainConfig(steps=2, batch=4, teacher_size=64)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    import transformers

    folder = tmp_path_factory.mktemp("teacher")
    settings = transformers.MobileNetV2Config(depth_multiplier=0.35, image_size=64)
    transformers.MobileNetV2ForImageClassification(settings).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    return f"hf:{folder}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for at in range(8):
            image = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((80, 60))
            image.save(tmp_path / "pictures" / name / f"{at}.png")
    return tmp_path / "pictures"


def _start(folders: list[Path], teacher: str, out: Path, **changes: object) -> dict[str, object]:
    options: dict[str, object] = {
        "drawn": 3, "dreams": pretraining.Dreams(), "student": "vmamba_nano", "size": 0, "start": None,
        "recipe": RECIPE, "resume": False, **changes,
    }  # fmt: skip
    return pretraining.pretrain_(
        folders,
        teacher=teacher,
        out=out,
        drawn_share=0.3,
        licence="ours",
        progress=lambda done, message: None,
        **options,  # type: ignore[arg-type]
    )


def test_a_file_comes_out_that_can_be_resumed_and_probed(
    folder: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one" / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "made" / "nano.safetensors"
    figures = _start([folder], teacher, out)
    assert figures["steps"] == 2
    assert "broken.jpg" in capsys.readouterr().out
    header = pretrained.describe(out)
    assert header["variant"] == "vmamba_nano"
    assert header["data"] == ["pictures: 16 pictures", "drawn pictures: 3 pictures"]
    assert header["licence"] == "ours"
    longer = config.PretrainConfig(steps=3, batch=4, teacher_size=64)
    assert _start([folder], teacher, out, resume=True, recipe=longer)["steps"] == 3
    assert pretrained.describe(out)["steps"] == 3
    (folder / "one" / "broken.jpg").unlink()
    probed = probing.probe_(
        folder, backbone="vmamba_nano", weights=out, random=False, seed=0, progress=lambda done, message: None
    )
    assert probed["weights"] == str(out)
    assert 0 <= probed["accuracy"] <= 1
    assert "linear probe" in probing.sentence(probed)
    assert (probed["image_size"], probed["pooling"]) == (96, config.SALIENT)
    assert "at 96 px, pooling salient, on" in probing.sentence(probed)
    told = {
        "backbone": "vmamba_nano",
        "weights": out,
        "random": False,
        "seed": 0,
        "progress": lambda done, message: None,
    }
    other = probing.probe_(folder, size=48, pooling=config.MEAN, **told)
    assert (other["image_size"], other["pooling"]) == (48, config.MEAN)
    with pytest.raises(errors.BadRequest, match="did you mean 'salient'"):
        probing.probe_(folder, pooling="saliant", **told)


def test_a_run_dreams_beside_its_file_and_goes_on_from_an_earlier_one(
    folder: Path, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dreams, "STAGES", ((16, 1), (64, 1)))
    monkeypatch.setattr(dreams, "SIDE", 64)
    monkeypatch.setattr(dreaming, "BATCH", 4)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    _start([folder], teacher, first, dreams=pretraining.Dreams(3, 0.5))
    assert (tmp_path / "first.safetensors.dreams.npz").is_file()
    assert "pictures dreamed from the teacher: 3 pictures" in pretrained.describe(first)["data"]
    still = config.PretrainConfig(steps=1, batch=4, teacher_size=64, lr=0.0, lr_matrix=0.0, weight_decay=0.0)
    _start([folder], teacher, second, start=first, size=96, recipe=still)
    told = pretrained.describe(second)
    assert (told["steps"], told["went_on_from"]["steps"]) == (1, 2)
    assert told["pooling"] == config.SALIENT
    third = tmp_path / "third.safetensors"
    _start([folder], teacher, third, start=second, recipe=still)
    assert [pretrained.pixels(path, "vmamba_nano")["image_size"] for path in (second, third)] == [96, 96]
    before, after = (safetensors.numpy.load_file(path) for path in (first, second))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_cannot_be_is_refused_by_name(folder: Path, teacher: str, tmp_path: Path) -> None:
    out = tmp_path / "nano.safetensors"
    with pytest.raises(errors.BadRequest, match="did you mean 'vmamba_nano'"):
        _start([folder], teacher, out, student="vmamba_nanoo")
    with pytest.raises(errors.BadRequest, match="there is no folder"):
        _start([folder], f"hf:{tmp_path / 'no' / 'teacher'}", out)
    with pytest.raises(errors.BadRequest, match="give hf:FOLDER"):
        _start([folder], "vmamba_tiny", out)
    with pytest.raises(errors.BadRequest, match="to resume"):
        _start([folder], teacher, out, resume=True)
    with pytest.raises(errors.BadRequest, match="nothing to learn from"):
        _start([], teacher, out, drawn=0)
    with pytest.raises(errors.BadRequest, match="is no folder"):
        _start([tmp_path / "absent"], teacher, out)
    assert not out.exists()
