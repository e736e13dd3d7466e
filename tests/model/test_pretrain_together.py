"""Two processes that torchrun starts distil one student: the same weights in both, from the pictures of both."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os
import pathlib
import sys
import numpy as np
from model import config, pretrain, pretrain_crops, together
from model.network import raum_net

joined = together.join(os.environ, "cpu")
net = config.NetworkConfig("vmamba_nano", num_classes=1, image_size=32, pretrained=False)
recipe = config.PretrainConfig(steps=4, batch=4, teacher_size=32, reuse=2)
run = pretrain.Distillation(raum_net.build(net), raum_net.build(net), recipe, joined)
own = np.random.default_rng(joined.rank).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
mine = [pretrain.Group(own, 1.0)]
asked = pretrain_crops.crops(mine, recipe, size=64, device=run.device, generator=run.generator).sum().item()
pretrain.distil(run, [pretrain.Group(own, 1.0)])
weights = run.student.patch_embed[0].weight.detach()
told = f"{asked:.6f}", f"{weights.double().abs().sum().item():.12f}", f"{run.loss.mean_spread.mean.sum().item():.9f}"
pathlib.Path(sys.argv[1], str(joined.rank)).write_text(" ".join(told))
joined.leave()
"""


def test_two_processes_end_with_one_students_weights(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--redirects",
        "0",
    ]
    done = subprocess.run(
        [*command, str(tmp_path / "run.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [(tmp_path / str(rank)).read_text(encoding="utf-8").split() for rank in range(2)]
    assert told[0][0] != told[1][0], "each process draws its own crops"
    assert told[0][1:] == told[1][1:], "and both end with the same student, and know the same teacher's spread"
