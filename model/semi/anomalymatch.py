"""AnomalyMatch: FixMatch as an active-learning tool runs it, in short cycles with the rare class drawn as often."""

from __future__ import annotations

from model.semi import fixmatch


class AnomalyMatch(fixmatch.FixMatch):
    """FixMatch's rule; what differs is the run around it (Gómez and O'Ryan, ESA, arXiv 2505.03509, and their code).

    tau .95, lambda_u 1, EMA .99; five unlabelled images for each labelled one; labelled images drawn in inverse proportion
    to their class's size, which evens out any number of classes where theirs are nominal and anomaly; 1,000
    unlabelled images in use at a time, others after each cycle of 200 steps. Their EfficientNet-Lite0 and SGD at .0075 are
    the tool's own network and optimiser here, and the learning rate falls once over the run, not once a cycle.
    """
