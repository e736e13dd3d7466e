"""What a picture looks like, whatever it shows: brightness, contrast, sharpness, how much of it is black or white."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

KINDS = 5
BLACK, WHITE = 12, 243  # of 255: darker, or lighter, holds no detail
AT_ONCE = 64  # pictures


def of(images_NHWC: npt.NDArray[np.uint8]) -> Floats:
    """(N, 5): mean, log of the spread, log of the mean absolute Laplacian, roots of the black and of the white share.

    Of grey values 0..255 at the side the network is shown. Logs and roots, so that what spoils a picture weighs more
    """
    found_NF = np.empty((len(images_NHWC), KINDS), np.float32)
    for at in range(0, len(images_NHWC), AT_ONCE):
        grey_BHW = images_NHWC[at : at + AT_ONCE].mean(axis=3, dtype=np.float32)
        edges_BHW = 4 * grey_BHW[:, 1:-1, 1:-1] - grey_BHW[:, :-2, 1:-1] - grey_BHW[:, 2:, 1:-1]
        edges_BHW -= grey_BHW[:, 1:-1, :-2] + grey_BHW[:, 1:-1, 2:]
        sharp_B = np.abs(edges_BHW).mean(axis=(1, 2)) if edges_BHW.size else np.zeros(len(grey_BHW))
        found_NF[at : at + AT_ONCE] = np.stack(
            [
                grey_BHW.mean(axis=(1, 2)),
                np.log1p(grey_BHW.std(axis=(1, 2))),
                np.log1p(sharp_B),
                np.sqrt((grey_BHW < BLACK).mean(axis=(1, 2))),
                np.sqrt((grey_BHW > WHITE).mean(axis=(1, 2))),
            ],
            axis=1,
        )
    return found_NF
