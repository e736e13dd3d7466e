"""Three lines: load, call, read. The answers are those of the network's posterior, whatever the batch and the order."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoint, classifier, config, errors, predict, uncertainty
from model.data import pixels
from model.network import raum_net

NAMES = ["ant", "bee", "wasp"]


@pytest.fixture(scope="module")
def net() -> raum_net.RaumNet:
    made = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, seed=2, pretrained=False))
    with torch.no_grad():
        made.head.linear.weight.mul_(40)  # opinions: fresh weights hold all classes for alike
    return made.eval()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng, found = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0), []
    for at in range(5):
        found.append(folder / f"{at}.png")
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(found[-1])
    return found


def saved(net: raum_net.RaumNet, file: Path, **meta: object) -> Path:
    checkpoint.save(file, net, class_ids=[7, 3, 9], meta=meta)
    return file


def test_the_answers_are_the_posteriors(net, paths: list[Path], tmp_path: Path) -> None:
    model = classifier.load(saved(net, tmp_path / "a.safetensors", class_names=NAMES), device=torch.device("cpu"))
    answers = model(paths)
    images_NHWC = np.stack([pixels.decode(path, size=32) for path in paths])
    embeddings = torch.from_numpy(predict.embed(net, images_NHWC).embeddings_ND)
    generator = torch.Generator().manual_seed(classifier.SEED)
    with torch.inference_mode():
        told = uncertainty.decompose(net.posterior(embeddings, classifier.DRAWS, generator).numpy())
    for row, answer in enumerate(answers):
        assert answer.path == str(paths[row])
        assert answer.name == NAMES[int(told.mean_NK[row].argmax())] == next(iter(answer.probabilities))
        assert answer.probability == pytest.approx(math.exp(told.mean_NK[row].max()), rel=1e-5)
        assert answer.entropy == pytest.approx(told.total_N[row], abs=1e-5)
        assert answer.epistemic == pytest.approx(told.epistemic_N[row], abs=1e-5)
        assert sum(answer.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert {answer.epistemic > 1e-4 for answer in answers} == {True}
    back = model([*reversed(paths)])
    assert [each.name for each in reversed(back)] == [each.name for each in answers]


def test_an_unreadable_image_is_named_and_stops_nothing(net, paths: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not a picture")
    found = classifier.load(saved(net, tmp_path / "a.safetensors"))([paths[0], broken, paths[1]])
    assert [bool(each.problem) for each in found] == [False, True, False]
    assert found[1].path == str(broken)
    assert found[1].name == ""
    assert math.isnan(found[1].probability)
    assert found[2].name in ("class 7", "class 3", "class 9")


def test_a_temperature_makes_it_less_sure_and_names_must_fit(net, paths: list[Path], tmp_path: Path) -> None:
    plain = classifier.load(saved(net, tmp_path / "a.safetensors"))(paths)
    cool = classifier.load(saved(net, tmp_path / "b.safetensors", temperature=4.0))(paths)
    assert all(after.entropy > before.entropy for before, after in zip(plain, cool, strict=True))
    for names in (["ant"], ["ant", "ant", "bee"]):
        with pytest.raises(errors.BadInput, match="distinct names for the 3 classes"):
            classifier.load(tmp_path / "a.safetensors", names=names)


def test_an_answer_is_a_plain_record(net) -> None:
    assert classifier.Answer._fields[:4] == ("path", "name", "probability", "probabilities")
    assert [field.name for field in dataclasses.fields(classifier.Classifier)] == ["net", "names", "judge", "meta"]
