"""Episodes under a prior: how likely each executed action was, given what was seen."""

import numpy as np
from numpy.typing import NDArray

from conure_training.curation.suspects import OUTLIER, Suspect, spread
from conure_training.curation.takeovers import invert_episode
from conure_training.data.demonstrations import Demonstrations
from conure_training.prior.model import Prior


def log_likelihoods(prior: Prior, data: Demonstrations, episode: int) -> NDArray[np.float32]:
    """The log-likelihood of each action of an episode under a prior.

    Args:
        prior: Over single actions.
        data: The data set.
        episode: Number of the episode.

    Returns:
        Shape (T,), nats.
    """
    return invert_episode(prior, data, episode).log_likelihood


def find_unlikely(data: Demonstrations, prior: Prior) -> list[Suspect]:
    """Find episodes whose actions the prior would hardly have chosen.

    Args:
        data: The data set.
        prior: Over single actions, not trained on these episodes alone.

    Returns:
        Suspects, each with its worst moment.
    """
    traces = [log_likelihoods(prior, data, episode) for episode in range(len(data.ends))]
    means = np.array([trace.mean() for trace in traces], dtype=np.float64)
    usual, width = float(np.median(means)), spread(means)
    found = []
    for episode, trace in enumerate(traces):
        below = (usual - means[episode]) / width
        if below > OUTLIER:
            why = (
                f"its actions have a mean log-likelihood of {means[episode]:.1f} nats, others"
                f" {usual:.1f}; the worst moment is step {int(trace.argmin())}"
            )
            found.append(Suspect(episode, "likelihood", float(below / OUTLIER), why))
    return found
