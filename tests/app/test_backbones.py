"""Which backbone a workspace works with: auto by machine and what is here, names as asked, never changed unasked."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from typer import testing

import launch
from app import backbone_names, backbones, doctor, errors, learning, pool, pool_files, progress, serving, settings
from model import config
from model.network import hub, pretrained, resnet, vgg, vmamba
from store import queue, rounds
from store.records import NewPublication
from tests.app.conftest import Workspace

ROOT = Path(__file__).resolve().parents[2]
LAPTOP = backbones.Machine("", 0.0, 2)
DESKTOP = backbones.Machine("", 0.0, 8)
LARGE = backbones.Machine("Some GPU", 40.0, 16)
MIDDLE = backbones.Machine("Some GPU", 12.0, 16)
FULL = backbones.Machine("Some GPU", 1.0, 16)


def here(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


def choose(asked: str, machine: backbones.Machine, *names: str, built_on: str | None = None) -> backbones.Choice:
    return backbones.choose(asked, machine, built_on=built_on, at_hand=here(*names))


@pytest.mark.parametrize(
    ("machine", "at_hand", "name"),
    [
        (LAPTOP, ("vmamba_small", "vmamba_tiny"), "vmamba_nano"),
        (LARGE, ("vmamba_small", "vmamba_tiny"), "vmamba_small"),
        (LARGE, ("vmamba_tiny",), "vmamba_tiny"),
        (MIDDLE, ("vmamba_small", "vmamba_tiny"), "vmamba_tiny"),
        (FULL, ("vmamba_small", "vmamba_tiny"), "vmamba_nano"),
        (LARGE, (), "vmamba_nano"),
    ],
)
def test_auto_takes_the_best_that_is_here_and_fits(
    machine: backbones.Machine, at_hand: tuple[str, ...], name: str
) -> None:
    assert choose("auto", machine, *at_hand).name == name


@pytest.mark.parametrize(
    ("machine", "at_hand", "better", "command"),
    [
        (LAPTOP, (), "mobilenet_v2 (", "launch.py serve --backbone mobilenet_v2 (downloads 14 MB)"),
        (DESKTOP, (), "dinov2 (", "launch.py serve --backbone dinov2 (downloads 88 MB)"),
        (DESKTOP, ("hf:facebook/dinov2-small",), "dinov2 (", "launch.py serve --backbone dinov2"),
        (LARGE, (), "vmamba_small (", "launch.py weights fetch vmamba_small (downloads 201 MB), then start again"),
        (MIDDLE, (), "vmamba_tiny (", "launch.py weights fetch vmamba_tiny (downloads 121 MB), then start again"),
        (LARGE, ("vmamba_small",), "", ""),
    ],
)
def test_what_would_be_better_here_and_how_to_get_it(
    machine: backbones.Machine, at_hand: tuple[str, ...], better: str, command: str
) -> None:
    choice = choose("auto", machine, "vmamba_nano", *at_hand)
    assert choice.better.startswith(better)
    assert choice.command == command
    assert "random" not in choice.why
    assert all(text in backbones.sentence(choice) for text in (choice.why, choice.better, choice.command))


def test_a_named_one_is_taken_and_random_weights_are_told_with_the_way_out() -> None:
    asked = choose("vmamba_small", LAPTOP)
    assert asked.name == "vmamba_small"
    assert "starts from random weights" in asked.why
    assert "weights fetch vmamba_small" in asked.command
    assert choose("vmamba_small", LARGE, "vmamba_small").why == "asked for by name"
    assert choose("hf:some/where", LARGE, built_on="vmamba_nano").name == "hf:some/where"


def test_a_workspace_keeps_its_backbone_while_that_is_to_be_had() -> None:
    kept = choose("auto", LARGE, "vmamba_small", built_on="vmamba_nano")
    assert kept.name == "vmamba_nano"
    assert "built on it" in kept.why
    assert kept.command == "launch.py serve --backbone vmamba_small"
    assert choose("auto", LAPTOP, "vmamba_tiny", built_on="vmamba_tiny").name == "vmamba_tiny"
    gone = choose("auto", LAPTOP, built_on="vmamba_tiny")
    assert gone.name == "vmamba_nano"
    assert "weights of vmamba_tiny, on which it was built so far, are gone" in gone.why
    folder = choose("auto", LAPTOP, built_on="hf:/no/such/folder")
    assert folder.name == "vmamba_nano"


def test_what_a_workspace_is_built_on_is_read_from_what_it_shows(workspace: Workspace) -> None:
    chosen = dataclasses.replace(workspace.settings, backbone="auto")

    def publish(backbone: str, *, trained: bool) -> None:
        folder = f"embeddings/{backbone.replace('/', '-')}"
        meta = {"network": {"backbone": backbone}}
        (chosen.workspace / folder).mkdir(parents=True)
        (chosen.workspace / folder / "meta.json").write_text(json.dumps(meta))
        with workspace.db.write() as tx:
            number = rounds.begin(tx, 0, {"labels": 1}, 0, 1.0) if trained else None
            new = NewPublication(kind="round", round_id=number, watermark=0, created_at=1.0, embeddings=folder)
            queue.publish(tx, dataclasses.replace(new, checkpoint="checkpoints/x" if trained else None), [])

    assert backbones._built_on(workspace.db, chosen) is None
    publish("vmamba_nano", trained=False)
    assert backbones._built_on(workspace.db, chosen) is None  # nobody chose it: better weights may take its place
    publish(f"hf:{chosen.workspace}", trained=False)
    assert backbones._built_on(workspace.db, chosen) == f"hf:{chosen.workspace}"
    assert backbones.look(workspace.db, chosen, LARGE).name == f"hf:{chosen.workspace}"
    publish("vmamba_tiny", trained=True)
    assert backbones._built_on(workspace.db, chosen) == "vmamba_tiny"


def test_the_choice_is_kept_for_the_page_and_everything_records_the_name(workspace: Workspace) -> None:
    chosen = dataclasses.replace(workspace.settings, backbone="auto")
    with pytest.raises(Exception, match="no backbone named 'auto'"):
        pool.network_config(chosen, 2)  # nothing works on before it was settled
    settled = backbones.settle(workspace.db, chosen, LAPTOP)
    assert settled.backbone == "vmamba_nano"
    told = progress.status(workspace.db, now=1.0)["backbone"]
    assert told["name"] == "vmamba_nano"
    assert told["why"].startswith("there is no GPU")
    assert "mobilenet_v2" in told["command"]
    held = pool.open_(settled, None, [])
    pool_files.save(held)
    meta = json.loads((chosen.workspace / held.folder / "meta.json").read_text())
    assert meta["network"]["backbone"] == "vmamba_nano"
    assert "weights" not in meta["network"]
    with pytest.raises(Exception, match="labels"):  # a round of no labels fails, but is written down
        learning.round_(workspace.db, settled, clock=lambda: 2.0, progress=lambda *_: None)
    with workspace.db.read() as tx:
        assert rounds.all_(tx)[-1].settings["backbone"] == "vmamba_nano"
    assert progress.status(workspace.db, now=1.0)["backbone"] == told
    backbones.settle(workspace.db, dataclasses.replace(chosen, backbone="vmamba_base"), LARGE, say=None)
    assert progress.status(workspace.db, now=1.0)["backbone"] == told


def test_a_file_in_the_workspace_comes_before_the_persons_and_says_its_pixels(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def write(folder: Path, seed: int, side: int, mean: float) -> None:
        net = vmamba.build("vmamba_nano", num_classes=0, seed=seed)
        record = {"format": pretrained.FORMAT, "variant": "vmamba_nano", "image_size": side}
        header = {"raum": json.dumps({**record, "mean": [mean] * 3, "std": [0.25] * 3})}
        folder.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(net.state_dict(), str(folder / "vmamba_nano.safetensors"), metadata=header)

    monkeypatch.setenv("RAUM_CACHE", str(tmp_path / "mine"))
    chosen = dataclasses.replace(workspace.settings, image_size=0)
    write(tmp_path / "mine", 11, 48, 0.4)
    mine = pool.open_(chosen, None, [])
    assert (mine.config.image_size, mine.config.mean, mine.cache.side) == (48, (0.4,) * 3, 48)
    write(chosen.workspace / "cache", 12, 64, 0.3)
    own = pool.open_(chosen, None, [])
    assert (own.config.image_size, own.config.mean) == (64, (0.3,) * 3)
    weight = vmamba.build("vmamba_nano", num_classes=0, seed=12).patch_embed[0].weight
    assert torch.equal(own.net.backbone.patch_embed[0].weight, weight)
    assert mine.folder != own.folder  # other weights, other embeddings
    assert pool.network_config(dataclasses.replace(chosen, image_size=32), 2).image_size == 32


def test_names_and_shortcuts(tmp_path: Path) -> None:
    assert backbone_names.short("hf:facebook/dinov2-small") == "dinov2"
    assert backbone_names.short("hf:some/model") == "hf:some/model"
    for folder in ("/home/ada/model", "~/model/", "../x/model", "C:\\ada\\model", "a/b/model", "/model"):
        assert backbone_names.short(f"hf:{folder}") == "hf:model"
    assert settings.load(tmp_path, backbone="dinov2").backbone == "hf:facebook/dinov2-small"
    assert settings.load(tmp_path).backbone == "auto"
    with pytest.raises(errors.SettingsError, match="no backbone named 'dinov3': did you mean 'dinov2'"):
        settings.load(tmp_path, backbone="dinov3")
    with pytest.raises(errors.SettingsError, match="Known are auto"):
        settings.load(tmp_path, backbone="hf:")
    ours = {*vmamba.VARIANTS, *resnet.VARIANTS, *vgg.VARIANTS}
    assert {backbone_names.BUNDLED, *backbone_names.OFFICIAL} == set(config.NATIVE_IMAGE_SIZES) == ours
    assert (backbone_names.HF_PREFIX, backbone_names.BUNDLED) == (config.HF_PREFIX, config.NANO)
    size = sum(p.numel() for p in vmamba.build("vmamba_tiny").parameters()) * 4e-6
    assert backbone_names.megabytes("vmamba_tiny") == pytest.approx(size, abs=1)
    assert backbone_names.megabytes("hf:facebook/dinov2-small") == 88
    assert backbone_names.megabytes("hf:some/where") is None


def test_what_cannot_be_had_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    nothing = dict.fromkeys(("images", "classes", "labels_from_folders", "demo", "insecure", "host", "port"))
    with pytest.raises(errors.BadRequest, match=r"'some/where' is not on this machine, and HF_HUB_OFFLINE is set"):
        serving.serve(tmp_path, backbone="hf:some/where", **nothing)
    assert "weights fetch vmamba_tiny (downloads 121 MB)" in backbones.check(
        settings.load(tmp_path, backbone="vmamba_tiny")
    )
    assert backbones.check(settings.load(tmp_path)) == ""


def test_a_hub_that_cannot_be_reached_is_given_up_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    assert not hub.reachable("http://127.0.0.1:9")
    assert not hub.reachable("https://192.0.2.1", seconds=0.2)  # a host that never answers


def test_the_list_of_weights_says_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAUM_CACHE", str(tmp_path))
    shown = testing.CliRunner().invoke(launch.app, ["weights", "list"], env={"COLUMNS": "200"})
    lines = {line.split()[0]: line.split() for line in shown.output.splitlines() if line.strip()}
    assert set(lines) >= {*backbone_names.OFFICIAL, *backbone_names.SHORTCUTS, backbone_names.BUNDLED}
    assert lines["vmamba_small"][1] == "201"
    assert "yes" not in lines["vmamba_small"]
    net = vmamba.build("vmamba_nano", num_classes=0)
    torch.save(net.state_dict(), tmp_path / "nano.pth")
    done = testing.CliRunner().invoke(launch.app, ["weights", "import", str(tmp_path / "nano.pth")])
    assert "vmamba_nano is ready" in done.output
    shown = testing.CliRunner().invoke(launch.app, ["weights", "list"], env={"COLUMNS": "200"})
    assert next(line for line in shown.output.splitlines() if "vmamba_nano" in line).split()[1] == "yes"


def test_doctor_tells_the_backbone_of_a_workspace_that_is_not_there_yet(tmp_path: Path) -> None:
    told = doctor.report(tmp_path)["backbone"]
    assert told.startswith("vmamba_")
    assert "launch.py" in told
    assert not (tmp_path / "raum.db").exists()


def test_the_worker_says_on_the_page_why_it_cannot_start(workspace: Workspace) -> None:
    folder = workspace.settings.workspace
    (folder / "settings.toml").write_text("backbone = 'hf:/no/such/folder'\n", encoding="utf-8")
    command = [sys.executable, str(ROOT / "launch.py"), "worker", "--workspace", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1  # not 2: the page stays, and people go on labelling
    assert "there is no folder /no/such/folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert "no such folder" in progress.status(workspace.db, now=1.0)["message"].replace("/", " ")
