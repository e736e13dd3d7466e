"""`bench network`: one network of ours beside the bare VMamba and, where it lies on this machine, beside upstream's code.

Every figure is from a child process of its own, the kinds in turn, so that time and memory are not mixed up.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app import errors

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 400  # of the folder, to compare both precisions on
KINDS = ("ours", "ours bf16", "upstream")
HOW = (
    "milliseconds, median of {processes} processes of each kind in turn, each the median of {steps} after one that is not "
    "counted; same weights, same image; memory: most of the process, less what it held before the network was run"
)


def command(
    *,
    backbone: str,
    against: Path | None,
    images: Path | None,
    size: int,
    batch: int,
    processes: int,
    steps: int,
    json_file: Path | None,
) -> None:
    """Measure, print the table and how it was measured, write the figures."""
    from rich import console, table

    from app import bench_raum

    kinds = KINDS if against else KINDS[:2]
    with tempfile.TemporaryDirectory() as folder:
        asked = {"backbone": backbone, "against": str(against or ""), "size": size, "batch": batch, "steps": steps}
        asked["images"] = str(images or "")
        runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
        for _ in range(processes):
            for kind in (kinds[-1], *kinds[:-1]):  # upstream first: it leaves the weights that all use
                runs[kind].append(_child({**asked, "kind": kind, "folder": folder}))
        added = _child({**asked, "kind": "raum", "steps": processes * steps})
    figures = {kind: _summary(told) for kind, told in runs.items()}
    shown = table.Table("", "forward", "ratio", "forward and backward", "ratio", "memory MB", box=None)
    judge = figures[kinds[-1] if against else kinds[0]]
    for kind, each in figures.items():
        ratios = [f"{judge[key] / each[key]:.2f}" for key in ("forward_ms", "both_ms")]
        shown.add_row(
            kind, f"{each['forward_ms']:.0f}", ratios[0], f"{each['both_ms']:.0f}", ratios[1], f"{each['mb']:.0f}"
        )
    console.Console().print(shown)
    first = runs[kinds[0]][0]
    print(
        f"{backbone}, {batch} of {first['side']} px, scan {first['scan']}, {first['threads']} threads, torch {first['torch']}"
    )
    if against:
        print(
            f"largest difference of a logit: ours {_apart(runs, 'ours'):.1e}, ours bf16 {_apart(runs, 'ours bf16'):.1e}"
        )
    print(HOW.format(processes=processes, steps=steps))
    print(bench_raum.told(backbone, added))
    print(bench_raum.HOW.format(steps=processes * steps))
    if images:
        print(bench_raum.LIKENESS.format(**added["likeness"], images=images))
    if json_file:
        json_file.write_text(json.dumps({"figures": figures, "raum": added, "runs": runs}, indent=1), encoding="utf-8")


def _summary(told: list[dict[str, Any]]) -> dict[str, float]:
    return {key: statistics.median(each[key] for each in told) for key in ("forward_ms", "both_ms", "mb")}


def _apart(runs: dict[str, list[dict[str, Any]]], kind: str) -> float:
    pairs = zip(runs[kind][0]["logits"], runs["upstream"][0]["logits"], strict=True)
    return float(max(abs(ours - theirs) for ours, theirs in pairs))


def _child(asked: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-c", f"from app import bench_network; bench_network.child({json.dumps(asked)!r})"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.BadRequest(f"{asked['kind']} failed: {done.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def child(asked_json: str) -> None:
    """What one process measures; prints one line of JSON."""
    import torch

    from app import bench_raum, upstream
    from model import config
    from model.network import cross_scan, vmamba, weights

    asked = json.loads(asked_json)
    side = asked["size"] or config.NATIVE_IMAGE_SIZES[asked["backbone"]]
    if asked["kind"] == "raum":
        sizes = {"size": side, "batch": asked["batch"], "steps": asked["steps"]}
        told = bench_raum.measure(backbone=asked["backbone"], **sizes)
        if asked["images"]:
            bare = vmamba.build(asked["backbone"], seed=1).eval()
            told["likeness"] = bench_raum.agreement(bare, Path(asked["images"]), size=side, count=IMAGES)
        print(json.dumps(told))
        return
    file = Path(asked["folder"]) / "weights.pth"
    ours = vmamba.build(asked["backbone"], seed=1)
    net: torch.nn.Module = ours
    if asked["kind"] == "upstream":
        net = upstream.build(Path(asked["against"]), asked["backbone"])
        if not file.is_file():
            torch.save(net.state_dict(), file)
        net.load_state_dict(torch.load(file, weights_only=True))
    elif file.is_file():
        weights.load_official(ours, file)
    images = torch.randn(asked["batch"], 3, side, side, generator=torch.Generator().manual_seed(0))
    net.eval()
    half = torch.autocast("cpu", torch.bfloat16, enabled=asked["kind"] == "ours bf16")
    before = _most_mb()

    def forward() -> torch.Tensor:
        with torch.inference_mode(), half:
            logits: torch.Tensor = net(images)
            return logits

    def both() -> None:
        net.zero_grad()
        with half:
            loss = net(images).float().square().mean()
        loss.backward()

    told = {
        "forward_ms": _median_ms(forward, asked["steps"]),
        "both_ms": _median_ms(both, max(1, asked["steps"] // 3)),
        "mb": _most_mb() - before,
        "logits": forward().float().flatten().tolist(),
        "side": side,
        "scan": cross_scan.chosen_backend("cpu"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(told))


def _median_ms(run: Any, steps: int) -> float:
    taken = []
    for step in range(steps + 1):
        began = time.perf_counter()
        run()
        if step:
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
