"""ONNX says what torch says, for any batch; a file that does not is not left."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from model import classifier, config, errors, half, onnx_file, predict
from model.network import cross_scan, raum_net, served

MISSING = [name for name in onnx_file.NEEDED if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")


def network(attention: str = "region", crops: int = 1) -> raum_net.RaumNet:
    facts = config.NetworkConfig(
        "vmamba_nano",
        num_classes=4,
        attention=attention,
        image_size=32,
        pooling="salient",
        crops=crops,
        pretrained=False,
    )
    net = raum_net.build(facts)
    with torch.no_grad():
        net.head.linear.weight.mul_(40)
    return net.eval()


def module(net: raum_net.RaumNet) -> served.Served:
    return served.Served(net, draws=5, seed=3, temperature=1.5)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=[1, 2])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, raum_net.RaumNet, dict[str, float]]:
    path, net = tmp_path_factory.mktemp("onnx") / "model.onnx", network(crops=request.param)
    return path, net, onnx_file.write(path, module(net), images_NHWC=pictures(7))


@needs_onnx
def test_every_output_is_the_classifiers_in_any_batch(written) -> None:
    path, net, apart = written
    assert set(apart) == {"embedding", "log_probs", "spread", "entropy", "epistemic"}
    assert 0 < max(apart.values()) <= onnx_file.TOLERANCE
    session = onnx_file.session_of(path)
    for count in (1, 3, 7):
        found = dict(zip(apart, session.run(None, {onnx_file.INPUT: pictures(count)}), strict=True))
        with torch.inference_mode():
            draws = net.posterior(torch.from_numpy(found["embedding"]), 5, torch.Generator().manual_seed(3))
            draws = (draws / 1.5).log_softmax(-1).exp().numpy()
        np.testing.assert_allclose(np.exp(found["log_probs"]), draws.mean(1), atol=1e-5)
        np.testing.assert_allclose(found["spread"], draws.std(1), atol=1e-5)
        assert found["spread"].max() > 1e-3
        assert (found["epistemic"] > 0).all()


@needs_onnx
def test_the_network_is_left_as_it_was(written) -> None:
    _, net, _ = written
    assert {block.op.backend for stage in net.backbone.layers for block in stage["blocks"]} == {None}


@needs_onnx
def test_a_file_that_differs_is_refused_by_name_and_not_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", 1e-12)
    with pytest.raises(onnx_file.Differs, match=r"^\w+ differs by .* no ONNX file is left"):
        onnx_file.write(tmp_path / "model.onnx", module(network("cam")), images_NHWC=pictures(2))
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_command_is_named(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_file, "NEEDED", ("onnx", "no_such_package_here"))
    with pytest.raises(errors.BackendUnavailable, match=r"needs no_such_package_here: run `pip install onnx=="):
        onnx_file.write(tmp_path / "model.onnx", module(network()))


@pytest.mark.parametrize("crops", [1, 2])
def test_served_says_what_the_classifier_says(crops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "has_units", lambda device: False)
    net, images_NHWC = network(crops=crops), pictures(3)
    with torch.inference_mode():
        ours = served.Served(net, draws=classifier.DRAWS, seed=classifier.SEED, temperature=2.0)(
            torch.from_numpy(images_NHWC)
        )
    np.testing.assert_allclose(ours.embedding.numpy(), predict.embed(net, images_NHWC).embeddings_ND, atol=1e-4)
    judged = classifier.posterior(net, 2.0)(ours.embedding.numpy())
    np.testing.assert_allclose(ours.log_probs.exp().numpy(), judged.probs_BK, atol=1e-5)
    np.testing.assert_allclose(ours.entropy.numpy(), judged.entropy_B, atol=1e-5)
    np.testing.assert_allclose(ours.epistemic.numpy(), judged.epistemic_B, atol=1e-5)


@pytest.mark.parametrize("states", [1, 2])
def test_the_scan_that_is_written_down_is_the_loops(states: int) -> None:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(2, 5, 4, 6, generator=rng)
    weights = {
        "x_proj_KED": 0.3 * torch.randn(4, 3 + 2 * states, 6, generator=rng),
        "dt_proj_KDR": 0.3 * torch.randn(4, 6, 3, generator=rng),
        "dt_bias_KD": torch.randn(4, 6, generator=rng),
        "A_logs": torch.randn(24, states, generator=rng),
        "Ds": torch.randn(24, generator=rng),
    }
    judge = cross_scan.scan(z, backend="reference", **weights)
    torch.testing.assert_close(cross_scan.scan(z, backend="traced", **weights), judge, atol=1e-5, rtol=1e-4)
