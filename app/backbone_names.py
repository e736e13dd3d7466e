"""The backbones by name: which there are, what a download of their weights takes, and what each is good for."""

import difflib
from typing import NamedTuple

from app import errors

AUTO = "auto"
BUNDLED = "vmamba_nano"
HF_PREFIX = "hf:"


class Named(NamedTuple):
    """`at`: the file that its authors published, or the id at huggingface.co; `megabytes` to download."""

    at: str
    megabytes: int
    good_for: str


# The released files of VMamba (tag #v2cls); megabytes: their weights, what else a file holds comes on top. Then
# torchvision's.
OFFICIAL = {
    "vmamba_tiny": Named(
        "vssm1_tiny_0230s_ckpt_epoch_264.pth", 121, "for a GPU with 10 GB free: 82.6 % on ImageNet, the fastest VMamba"
    ),
    "vmamba_small": Named(
        "vssm_small_0229_ckpt_epoch_222.pth", 201, "for a GPU with 20 GB free: 83.6 % on ImageNet, as RAUM-Net's paper"
    ),
    "vmamba_base": Named("vssm_base_0229_ckpt_epoch_237.pth", 354, "for a large GPU: 83.9 % on ImageNet"),
    "vmamba_tiny_s2l5": Named("vssm_tiny_0230_ckpt_epoch_262.pth", 123, "tiny with twice the channels in fewer blocks"),
    "vmamba_small_s1l20": Named("vssm1_small_0229s_ckpt_epoch_240.pth", 196, "small with half the channels, faster"),
    "vmamba_base_s1l20": Named("vssm1_base_0229s_ckpt_epoch_225.pth", 346, "base with half the channels, faster"),
    "resnet18": Named("resnet18-f37072fd.pth", 47, "69.8 % on ImageNet; the quickest of the usual references"),
    "resnet50": Named(
        "resnet50-0676ba61.pth", 103, "76.1 % on ImageNet; the usual reference, and of SAM, AAM and CBAM"
    ),
    "vgg16": Named("vgg16-397923af.pth", 553, "71.6 % on ImageNet; the reference of ACoL"),
    "vgg19": Named("vgg19-dcbb9e9d.pth", 575, "72.4 % on ImageNet; the reference of RA-CNN"),
}
# Models at huggingface.co; megabytes: of the file model.safetensors.
SHORTCUTS = {
    "mobilenet_v2": Named("google/mobilenet_v2_1.0_224", 14, "trained on ImageNet; quick on a CPU"),
    "convnext_tiny": Named("facebook/convnext-tiny-224", 114, "trained on ImageNet; more accurate than resnet50"),
    "dinov2": Named("facebook/dinov2-small", 88, "features of 142 million pictures, learnt without labels"),
    "dinov2_base": Named("facebook/dinov2-base", 346, "the same in a network four times as large; for a GPU"),
}


def named(name: str) -> str:
    """A backbone's name as everything else takes it: `auto`, one of ours or `hf:...`; a shortcut becomes the last.

    Raises SettingsError with the nearest name.
    """
    if name in SHORTCUTS:
        return HF_PREFIX + SHORTCUTS[name].at
    if name in (AUTO, BUNDLED, *OFFICIAL) or (name.startswith(HF_PREFIX) and len(name) > len(HF_PREFIX)):
        return name
    known = (AUTO, BUNDLED, *OFFICIAL, *SHORTCUTS, "hf:FOLDER_OR_ID")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise errors.SettingsError(f"there is no backbone named {name!r}: {hint}Known are {', '.join(known)}")


def short(name: str) -> str:
    """What people call it: the shortcut where there is one; of a folder its own name, as the rest is this machine's."""
    at = name.removeprefix(HF_PREFIX)
    if at != name and (at.startswith(("~", ".")) or "\\" in at or at.count("/") != 1 or at.startswith("/")):
        return HF_PREFIX + at.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return next((key for key, each in SHORTCUTS.items() if at != name and at == each.at), name)


def megabytes(name: str) -> int | None:
    """How much a download of the weights takes; None where that is not known here."""
    found = OFFICIAL.get(name) or SHORTCUTS.get(short(name))
    return found.megabytes if found else None
