"""The Bayesian filter of RAUM-Net: believe a class that is probable in the mean and stable over the posterior draws."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


class Raum(pseudo_labels.Rule):
    """Accept where mean_s p_s[y] >= tau and std_s p_s[y] <= kappa, y = argmax_k mean_s p_s[k].

    The paper says only that Bayesian inference filters the pseudo-labels; this is the positive rule of UPS (Rizve et
    al. 2021) with its unbiased deviation and ten draws. tau .9, kappa .1, the averaged network as teacher, the covered views
    (`hidden`) and the first head that the self-trained last layer teaches (`head_pool`), which large pretrained weights
    start with, are ours. So is the start: at the first step (chosen on the demo pool), but at three quarters of the run where
    such weights are tuned: with half of the labels of birds an earlier one was worse.
    """

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """One draw has no spread: then the mean alone decides."""
        probs_BSK = log_probs_BSK.float().exp()
        confidence_B, targets_B = probs_BSK.mean(dim=1).max(dim=1)
        spread_B = pseudo_labels.spread(probs_BSK).gather(1, targets_B[:, None])[:, 0]
        return pseudo_labels.accept((confidence_B >= self.config.tau) & (spread_B <= self.config.kappa), targets_B)
