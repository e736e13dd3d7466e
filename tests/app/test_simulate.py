"""The loop with an oracle: what it asks, what it counts, and what its figures mean."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image
from rich import console as consoles

from app import (
    errors,
    simulate,
    simulate_arm,
    simulate_data,
    simulate_network,
    simulate_report,
    simulate_tables,
    simulate_target,
)
from model.network import pretrained, raum_net

QUIET = consoles.Console(quiet=True)


def _material(seed: int = 0, classes: int = 4, each: int = 40, unusable: int = 0) -> simulate_data.Material:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = rng.normal(size=(classes, 12)) * 1.4
    points = centres[labels] + rng.normal(size=(len(labels), 12))
    labels[:unusable] = simulate_data.UNUSABLE
    names = [f"class {k}" for k in range(classes)]
    return simulate_data.Material("points", names, labels, None, None, points.astype(np.float32))


def _plan(*strategies: str, **more: object) -> simulate_arm.Plan:
    settings = {"budget": 24, "batch": 8, "seeds": 2, "target": 0.7} | more
    return simulate_arm.Plan(strategies, **settings)  # type: ignore[arg-type]


def _folder(root: Path, *, split: bool) -> Path:
    rng, rows = np.random.default_rng(0), ["file,class,split"]
    for name, colour in (("ash", (200, 40, 40)), ("oak", (40, 200, 40)), ("yew", (40, 40, 200))):
        (root / name).mkdir(parents=True)
        for at in range(12):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{at}.png")
            rows.append(f"{name}/{at}.png,{name},{'test' if at % 3 == 0 else 'train'}")
    if split:
        (root / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def _embed(images_NHWC: np.ndarray) -> np.ndarray:
    return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32)


def _read(folder: Path, cache: Path, embed: simulate_data.Embed = _embed) -> simulate_data.Material:
    return simulate_data.from_folder(
        folder, key="plain", side=8, cache=cache, keep_pixels=False, embed=embed, progress=lambda *_: None
    )


def test_random_is_always_an_arm_and_all_arms_count_alike() -> None:
    result = simulate.run(_material(), _plan("margin", "auto"))
    assert list(result["strategies"]) == ["random", "margin", "auto"]
    assert result["labels"] == [8, 16, 24]
    for figures in result["strategies"].values():
        assert np.shape(figures["curves"]) == (2, 3)
        assert [point["labels"] for point in figures["points"][0]] == [8, 16, 24]
    first = {name: [s[0]["accuracy"] for s in f["points"]] for name, f in result["strategies"].items()}
    assert first["margin"] == first["random"]  # a strategy that needs a posterior begins with the random arm's batch
    assert json.loads(json.dumps(result))["strategies"] == result["strategies"]


def test_with_a_shared_start_all_arms_begin_with_the_same_set() -> None:
    for start in ("random", "typical"):
        result = simulate.run(_material(), _plan("auto", "margin", start=start))
        starts = {tuple(s[0]["accuracy"] for s in f["points"]) for f in result["strategies"].values()}
        assert len(starts) == 1


def test_the_same_plan_gives_the_same_curves() -> None:
    one, two = (simulate.run(_material(), _plan("auto", audit=0.2)) for _ in range(2))
    for name in one["strategies"]:
        assert one["strategies"][name]["curves"] == two["strategies"][name]["curves"]


def test_arms_may_run_beside_each_other() -> None:
    told = []
    plan = _plan("auto")
    here = simulate.run(_material(), plan)
    beside = simulate.run(_material(), plan, workers=2, progress=lambda share, _: told.append(share))
    for name in plan.strategies:
        assert beside["strategies"][name]["curves"] == here["strategies"][name]["curves"]
    assert told == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_more_labels_than_images_end_at_the_pool() -> None:
    result = simulate.run(_material(each=10), _plan("auto", budget=500, batch=10, seeds=1))
    assert result["labels"] == [10, 20, 24]


def test_unusable_images_are_rejected_answers_and_never_classes() -> None:
    result = simulate.run(_material(unusable=15), _plan("auto", budget=80, batch=20))
    for points in result["strategies"]["random"]["points"]:
        assert points[-1]["classes"] == 4
        assert points[-1]["accuracy"] > 0.6


def test_rounds_train_on_the_answers_and_change_the_embeddings() -> None:
    material, told = _material(unusable=6), []

    def retrain(answers: simulate_arm.Answers, seed: int) -> np.ndarray:
        told.append(answers)
        assert (material.labels_N[answers.labelled] == answers.labels).all()
        assert (material.labels_N[answers.rejected] == simulate_data.UNUSABLE).all()
        return np.eye(5, dtype=np.float32)[material.labels_N]  # a network that has understood everything

    plan = _plan("auto", rounds_at=(16,))
    points = simulate_arm.run(simulate_arm.ready(material, plan, 0), plan, "auto", 0, retrain)
    assert len(told) == 1
    assert len(told[0].labelled) + len(told[0].rejected) == 16
    asked = np.concatenate([told[0].labelled, told[0].rejected])
    left_out = np.setdiff1d(material.split(0)[0], np.concatenate([asked, told[0].unlabelled]))
    unusable = [(material.labels_N[part] == simulate_data.UNUSABLE).mean() for part in (left_out, told[0].unlabelled)]
    assert 0 < len(left_out) < 8
    assert unusable[0] > unusable[1]  # what is like the rejects does not teach
    assert points[-1]["accuracy"] == 1.0


def test_a_folder_gives_its_split_and_its_embeddings_are_kept(tmp_path: Path) -> None:
    folder, cache, calls = _folder(tmp_path / "trees", split=True), tmp_path / "cache", []

    def embed(images_NHWC: np.ndarray) -> np.ndarray:
        calls.append(len(images_NHWC))
        return _embed(images_NHWC)

    first, second = (_read(folder, cache, embed) for _ in range(2))
    assert calls == [36]
    np.testing.assert_array_equal(first.embeddings_ND, second.embeddings_ND)
    pool, test = first.split(0)
    assert (len(pool), len(test)) == (24, 12)
    assert first.class_names == ["ash", "oak", "yew"]
    (folder / "ash" / "0.png").write_bytes((folder / "oak" / "1.png").read_bytes())
    _read(folder, cache, embed)
    assert calls == [36, 36]


def test_without_a_split_60_percent_of_every_class_are_the_pool(tmp_path: Path) -> None:
    material = _read(_folder(tmp_path / "trees", split=False), tmp_path)
    pool, test = material.split(3)
    assert np.bincount(material.labels_N[pool]).tolist() == [7, 7, 7]
    assert sorted([*pool, *test]) == list(range(36))
    assert not np.array_equal(pool, material.split(4)[0])


def test_labels_to_and_area_on_a_curve_known_by_heart() -> None:
    labels, curve = [10, 20, 40], np.array([0.2, 0.6, 0.8])
    assert simulate_report.aubc(labels, curve) == pytest.approx((10 * 0.4 + 20 * 0.7) / 30)
    assert simulate_report.labels_to(labels, curve, 0.6) == 20
    assert simulate_report.labels_to(labels, curve, 0.9) is None


def test_savings_are_paired_over_seeds_and_their_interval_holds_the_truth() -> None:
    labels = [10, 20, 30, 40]
    base = np.array([[0.1, 0.35, 0.55, 0.7], [0.2, 0.35, 0.55, 0.6], [0.1, 0.32, 0.51, 0.6]])
    found = simulate_report.against_random(labels, base + 0.2, base, 0.5)
    assert found["saved"] == pytest.approx(1 - 20 / 30)
    assert found["aubc_gain_interval"] == pytest.approx([0.2, 0.2])  # every seed gains the same
    assert found["saved_interval"][0] <= found["saved"] <= found["saved_interval"][1]
    arm = simulate_report.arm(labels, base, 0.9)
    assert arm["labels_to_target"] is None
    assert arm["labels_to_target_high"] is None
    assert arm["labels_to_target_per_seed"] == [None, None, None]


def test_the_printed_table_shows_where_rounds_ran() -> None:
    result = simulate.run(_material(), _plan("auto", budget=80, batch=8, seeds=1))
    shown = [
        [column.header for column in simulate_tables.accuracy(result).columns]
        for result["plan"]["rounds_at"] in ([], [60])
    ]
    assert "@64" not in shown[0]
    assert "@64" in shown[1]


def test_the_printed_table_names_every_strategy() -> None:
    result = simulate.run(_material(), _plan("auto", "entropy"))
    out = consoles.Console(width=120, file=io.StringIO())
    for table in simulate_tables.of(result):
        out.print(table)
    text = out.file.getvalue()
    for word in ("random", "auto", "entropy", "AUBC", "labels to 0.7", "refreshes only"):
        assert word in text


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    for plan, words in (
        (_plan("clever"), "clever"),
        (_plan("auto", start="warm"), "warm"),
        (_plan("auto", batch=0), "batch 0"),
        (_plan("auto", audit=2.0), "2.0"),
    ):
        with pytest.raises(errors.BadRequest, match=words):
            simulate.run(_material(), plan)
    with pytest.raises(errors.BadRequest, match="give one of them"):
        simulate.simulate(simulate.Source(), _plan("auto"), cache=tmp_path, console=QUIET)
    with pytest.raises(errors.BadRequest, match="two"):
        _read(tmp_path, tmp_path)


def test_kept_embeddings_tell_weights_apart_and_the_result_says_which_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = _folder(tmp_path / "trees", split=True), tmp_path / "cache"
    source = simulate.Source(images=folder)
    with_weights, without = _plan("auto", seeds=1), _plan("auto", seeds=1, random_weights=True)
    told = [simulate.simulate(source, each, cache=cache, console=QUIET)["measured"] for each in (with_weights, without)]
    assert told[1].startswith("vmamba_nano (random weights of seed 0, 2 crops)")
    bundled = pretrained.bundled("vmamba_nano").is_file()
    assert ("pretrained weights" in told[0]) == bundled
    assert len(list(cache.glob("simulate-trees-*.npy"))) == 1 + bundled
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "bundled")
    net = raum_net.build(simulate_network.start("vmamba_nano", random_weights=True))
    _bundle(net, tmp_path / "bundled")
    changed = simulate.simulate(source, with_weights, cache=cache, console=QUIET)
    assert "pretrained weights" in changed["measured"]
    assert changed["measured"].split("(")[1] != told[0].split("(")[1]
    assert len(list(cache.glob("simulate-trees-*.npy"))) == 2 + bundled
    one = simulate.simulate(source, _plan("auto", seeds=1, crops=1), cache=cache, console=QUIET)
    assert "crops" not in one["measured"]
    assert len(list(cache.glob("simulate-trees-*.npy"))) == 3 + bundled
    with pytest.raises(errors.BadRequest, match="hf:owner/name"):
        simulate_network.start("hf:owner/name", random_weights=True)
    with pytest.raises(errors.BadRequest, match="--crops is one of 1, 2, not 3"):
        simulate_network.start("vmamba_nano", crops=3)


def _bundle(net: raum_net.RaumNet, folder: Path) -> None:
    """The backbone's weights as the program would bring them."""
    described = {"format": pretrained.FORMAT, "variant": "vmamba_nano", "image_size": net.config.image_size}
    described |= {"mean": net.config.mean, "std": net.config.std}
    tensors = {name: tensor.contiguous() for name, tensor in net.backbone.state_dict().items()}
    folder.mkdir()
    safetensors.torch.save_file(tensors, folder / "vmamba_nano.safetensors", {"raum": json.dumps(described)})


def test_a_target_may_be_a_share_of_what_all_labels_give(tmp_path: Path) -> None:
    material = _material()
    value, told = simulate_target.resolve("full:0.9", material, _plan("auto"), tmp_path)
    probed, _ = simulate_target.resolve("probe:0.9", material, _plan("auto"), tmp_path)
    assert 0.5 < value < 0.9
    assert f"{value:.4f}" in told
    assert simulate_target.resolve("probe:1.0", material, _plan("auto"), tmp_path)[0] == pytest.approx(probed / 0.9)
    assert simulate_target.resolve("0.6", material, _plan("auto"), None) == (0.6, "accuracy 0.6")
    for wrong in ("all", "half:0.9", "probe:1.5"):
        with pytest.raises(errors.BadRequest, match=wrong):
            simulate_target.resolve(wrong, material, _plan("auto"), None)


def test_where_random_never_arrives_the_saving_is_a_bound() -> None:
    labels = [10, 20, 30]
    random = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    found = simulate_report.against_random(labels, random + 0.4, random, 0.6)
    assert (found["saved"], found["saved_bound"]) == (pytest.approx(1 - 20 / 40), "at least")
    lost = simulate_report.against_random(labels, random, random + 0.4, 0.6)
    assert (lost["saved"], lost["saved_bound"], lost["harmful"]) == (None, "none", True)
    assert lost["harm"] == pytest.approx(0.4)


def test_who_wins_over_seeds_is_a_paired_test() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 20)  # some seeds are hard for all: only pairs tell the difference
    found = simulate_report.wins(
        {"a": hard + rng.normal(0.1, 0.05, 20), "b": hard, "c": hard + rng.normal(0, 0.05, 20)}
    )
    assert found["a"]["b"]["wins"]
    assert not found["b"]["a"]["wins"]
    assert not found["c"]["b"]["wins"]
