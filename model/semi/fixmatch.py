"""FixMatch: believe the most probable class where its probability reaches tau."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


class FixMatch(pseudo_labels.Rule):
    """Accept where max_k p_k >= tau, p from the weak view (Sohn et al., NeurIPS 2020, arXiv 2001.07685, equation 4).

    tau .95, lambda_u 1 and no ramp are the paper's, as is the network itself as its own teacher. One unlabelled image for
    each labelled one is what USB (Wang et al. 2022) takes for pretrained networks and what the code released with RAUM-Net
    does; the paper has seven. The paper's 2^20 steps of SGD at .03 with 448 unlabelled images each are out of a short
    run's reach, as is the range of its average (.999: a thousand steps).
    """

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """p is the mean over the S passes given; the paper has one."""
        confidence_B, targets_B = pseudo_labels.mean_probs(log_probs_BSK).max(dim=1)
        return pseudo_labels.accept(confidence_B >= self.config.tau, targets_B)
