"""One training run on small images: it learns, repeats itself, stops, and names what goes wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from model import config, errors, train, train_views
from model.data import augment
from model.network import raum_net
from model.semi import methods

SHORT = config.TrainConfig(steps=6, batch_labelled=4, batch_unlabelled=4, ramp_start=0.0, ramp=0.0, tau=0.0, kappa=1.0)


TAUGHT = (
    "flexmatch",
    "softmatch",
    "freematch",
    "ups",
)  # by unlabelled images from the first steps; the others want to be sure


pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count, *, seed=0):
    """Grey noise; class 1 has a bright square somewhere, class 0 a bright bar."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 100, (count, 36, 36, 3), dtype=np.uint8)
    labels_N = np.arange(count) % 2
    for image, label in zip(images, labels_N, strict=True):
        x, y = rng.integers(6, 22, 2)
        if label:
            image[y : y + 8, x : x + 8] = 250
        else:
            image[y : y + 3, x - 5 : x + 13] = 250
    return images, labels_N


def build(classes=2, seed=0):
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=classes, image_size=32, seed=seed))


def run(net, chosen, *, count=16, unlabelled=16, **more):
    images, labels_N = pictures(count)
    others, _ = pictures(unlabelled, seed=1)
    return train.train(net, labelled_images=images, labels_N=labels_N, unlabelled_images=others, config=chosen, **more)


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("method", ["supervised", "raum"])
def test_two_shapes_are_told_apart_after_seconds(method):
    net = build()
    chosen = config.TrainConfig(method=method, steps=90, batch_labelled=12, batch_unlabelled=6, occlusion_rate=0.1)
    report = run(net, chosen, count=48)
    fresh, truth_N = pictures(100, seed=9)
    pixels = augment.center(torch.from_numpy(fresh), size=32, mean=net.config.mean, std=net.config.std)
    with torch.no_grad():
        right = (net(pixels).logits.argmax(1).numpy() == truth_N).mean()
    assert right >= 0.9
    assert not net.training
    assert report.steps == 90
    assert report.metrics["images_per_s"] > 0
    assert 0 < report.metrics["data_share"] < 0.6
    assert (report.metrics["accepted"] > 0) == (method == "raum")


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_trains_and_repeats_itself(method):
    chosen = config.TrainConfig(method=method, steps=6, batch_labelled=4, shown=8, cycle=3, tau_n=0.6, kappa_n=0.6)
    reports, nets = [], [build(), build()]
    for net in nets:
        reports.append(run(net, chosen))
        torch.manual_seed(7)
    assert reports[0].metrics["accepted"] == reports[1].metrics["accepted"]
    assert all(torch.equal(value, weights(nets[1])[name]) for name, value in weights(nets[0]).items())
    assert all(value.isfinite().all() for value in weights(nets[0]).values())
    assert (reports[0].metrics["loss_unlabelled"] != 0) == (method in TAUGHT)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = build(), build(), build()
    run(first, SHORT)
    torch.manual_seed(99)  # the global generator has no say
    run(again, SHORT)
    run(other, dataclasses.replace(SHORT, seed=1))
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(first).items())
    assert not torch.equal(first.head.linear.weight, other.head.linear.weight)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(build(), SHORT)
    assert torch.equal(before, torch.get_rng_state())


def test_no_unlabelled_images_one_label_of_a_class_and_a_class_without_any():
    images, _ = pictures(5)
    net = build(classes=4)
    report = train.train(
        net,
        labelled_images=images,
        labels_N=np.array([0, 0, 0, 0, 2]),
        unlabelled_images=np.zeros((0, 36, 36, 3), np.uint8),
        config=SHORT,
    )
    assert report.metrics["accepted"] == 0
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def test_stop_ends_the_run_and_says_so():
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 1

    report = run(build(), dataclasses.replace(SHORT, steps=1000), stop=stop)
    assert report.stopped
    assert report.steps < 10


def test_progress_rises_to_one_and_threads_are_asked_again():
    told, asked = [], []

    def threads():
        asked.append(1)
        return 1

    run(build(), SHORT, progress=lambda fraction, message: told.append((fraction, message)), threads=threads)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "step 6: loss" in told[-1][1]
    assert len(asked) == 2


def test_seconds_bound_a_run_without_steps():
    report = run(build(), dataclasses.replace(SHORT, steps=0, seconds=0.8))
    assert 1 <= report.steps < 400
    assert report.metrics["seconds"] < 5


def test_a_loss_that_is_not_finite_names_the_step():
    net = build()
    with torch.no_grad():
        net.head.linear.bias[0] = float("nan")
    with pytest.raises(errors.TrainingDiverged, match="nan at step 1;"):
        run(net, SHORT)


def test_arrays_that_do_not_fit_are_refused():
    images, labels_N = pictures(4)
    nothing = np.zeros((0, 36, 36, 3), np.uint8)
    for changed, message in (
        ({"labels_N": labels_N[:3]}, "4 labelled images for 3 labels"),
        ({"labels_N": labels_N + 1}, "labels run from 1 to 2; the network has 2 classes"),
        ({"labelled_images": images.astype(np.float32)}, "labelled images are float32"),
    ):
        given = {"labelled_images": images, "labels_N": labels_N, "unlabelled_images": nothing, **changed}
        with pytest.raises(errors.BadInput, match=message):
            train.train(build(), config=SHORT, **given)
    with pytest.raises(errors.UnknownName, match="did you mean 'fixmatch'"):
        run(build(), dataclasses.replace(SHORT, method="fixmach"))


def test_certain_soft_labels_train_bit_by_bit_as_the_labels_do():
    _, labels_N = pictures(16)
    plain, soft = build(), build()
    run(plain, SHORT)
    run(soft, SHORT, targets_NK=np.eye(2)[labels_N])
    assert all(torch.equal(value, weights(soft)[name]) for name, value in weights(plain).items())


def test_soft_labels_keep_the_network_unsure():
    _, labels_N = pictures(48)
    fresh, _ = pictures(60, seed=9)
    chosen = config.TrainConfig(method="supervised", steps=60, batch_labelled=12)
    unsure = []
    for share in (1.0, 0.6):
        net = build()
        run(net, chosen, count=48, targets_NK=share * np.eye(2)[labels_N] + (1 - share) * np.eye(2)[1 - labels_N])
        pixels = augment.center(torch.from_numpy(fresh), size=32, mean=net.config.mean, std=net.config.std)
        with torch.no_grad():
            unsure.append(1 - net(pixels).logits.softmax(1).max(1).values.mean().item())
    assert unsure[1] > unsure[0] + 0.1


@pytest.mark.parametrize(
    ("targets_NK", "why"),
    [
        (np.full((16, 3), 1 / 3), "no probabilities"),
        (np.full((16, 2), 0.4), "sums to"),
        (np.full((16, 2), np.nan), "no probabilities"),
        (np.tile([0.3, 0.7], (16, 1)), "largest"),
    ],
)
def test_soft_labels_that_do_not_fit_are_refused(targets_NK, why):
    with pytest.raises(errors.BadInput, match=why):
        run(build(), SHORT, targets_NK=targets_NK)


@pytest.mark.parametrize(
    ("method", "rate", "labelled", "strong"),
    [("fixmatch", 0.0, 0.0, 0.3), ("fixmatch", 0.4, 0.4, 0.4), ("raum", 0.0, 0.4, 0.4), ("raum", 0.6, 0.6, 0.6)],
)
def test_labelled_and_strong_views_are_covered_and_the_weak_ones_never(method, rate, labelled, strong, monkeypatch):
    drawn, plain = {}, augment.view

    def watched(images, strength, **options):
        views = plain(images, strength, **options)
        kind = "weak" if strength == augment.WEAK else "strong" if strength.grey else "labelled"
        drawn.setdefault(kind, []).extend((views == 0).all(1).float().mean((1, 2)).tolist())
        return views

    monkeypatch.setattr(augment, "view", watched)
    changes = {"method": method, "occlusion_rate": rate, "steps": 4, "batch_labelled": 16, "batch_unlabelled": 16}
    run(build(), dataclasses.replace(SHORT, **changes))
    assert max(drawn["weak"]) < 0.01
    for kind, most in (("labelled", labelled), ("strong", strong)):
        covered = [share for share in drawn[kind] if share > 0.1]
        assert (len(covered) > 16) == (most > 0)  # of 64, half are meant to be
        assert max(drawn[kind]) <= max(most, 0.01) + 0.01


def test_covers_grow_where_nothing_is_known_to_begin_with():
    chosen = methods.settled(dataclasses.replace(SHORT, method="raum"))
    scratch, tuned = (
        train_views.Views(build(), dataclasses.replace(chosen, first_head=first_head), torch.Generator())
        for first_head in (False, True)
    )
    for kind, usual in ((augment.LABELLED, 0.0), (augment.STRONG, 0.3)):  # strong ones are covered in any case
        for done, most in ((0.0, 0.0), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (1.0, 0.4)):
            seen = scratch.strength(kind, done)
            assert (seen.occlusion[1] if seen.occlude else 0.0) == pytest.approx(max(most, usual))
        assert tuned.strength(kind, 0.0) == scratch.strength(kind, 1.0)
