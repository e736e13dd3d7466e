"""UPS: believe what is probable and steady over posterior draws, and learn from the classes an image surely is not."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


class UPS(pseudo_labels.Rule):
    """Uncertainty-aware pseudo-labels (Rizve et al., ICLR 2021, arXiv 2101.06329; their code), y = argmax_k p_k:

        y is believed where p_y >= tau and s_y < kappa;
        c is ruled out where p_c < tau_n and s_c < kappa_n at the temperature 2, never y, on images not believed;

    p and s are mean and unbiased deviation over ten dropout draws; tau .70, kappa .05, tau_n .05, kappa_n .005. A ruled-out
    class costs -log(1 - p_c), a mean over an image's and then over such images.

    The paper trains anew up to twenty times, each time labels the whole pool at once, and keeps as many of every class in
    the first times. A run here is one of those times: half of it with the labels alone, then pseudo-labels, batch by
    batch, from the averaged network, without a new start and without that balance.
    """

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """One draw has no spread: then the means alone decide."""
        config, probs_BSK = self.config, log_probs_BSK.float().exp()
        confidence_B, targets_B = probs_BSK.mean(dim=1).max(dim=1)
        spread_B = pseudo_labels.spread(probs_BSK).gather(1, targets_B[:, None])[:, 0]
        believed_B = (confidence_B >= config.tau) & (spread_B < config.kappa)
        soft_BSK = (log_probs_BSK.float() / config.temperature).softmax(dim=-1)
        ruled_out_BK = (soft_BSK.mean(dim=1) < config.tau_n) & (pseudo_labels.spread(soft_BSK) < config.kappa_n)
        ruled_out_BK.scatter_(1, targets_B[:, None], False)
        ruled_out_BK &= ~believed_B[:, None]
        return pseudo_labels.PseudoLabels(
            believed_B | ruled_out_BK.any(dim=1), targets_B, believed_B.float(), ruled_out_BK
        )

    def beside(self, logits_BK: torch.Tensor, verdict: pseudo_labels.PseudoLabels) -> torch.Tensor:
        """The loss of the ruled-out classes."""
        ruled_out_BK = verdict.negatives_BK[verdict.negatives_BK.any(dim=1)]
        if len(ruled_out_BK) == 0:
            return logits_BK.new_zeros(())
        probs_BK = logits_BK[verdict.negatives_BK.any(dim=1)].float().softmax(dim=1)
        costs_BK = -(1 - probs_BK).clamp(min=1e-7).log() * ruled_out_BK
        return (costs_BK.sum(dim=1) / ruled_out_BK.sum(dim=1)).mean()
