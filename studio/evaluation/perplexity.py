"""Perplexity: how well a model foresees the wanted texts, whatever it would have said itself.

It is the exponential of the mean negative log-likelihood of a token, over the tokens of all rows (Jelinek, Mercer, Bahl
and Baker 1977; Jurafsky and Martin, Speech and Language Processing, 3rd edition, chapter 3): 1 where each token is
sure, more the less it is foreseen. Of questions with answers the wanted answer's tokens count, behind each way's own
prompt.
"""

from dataclasses import dataclass

import numpy as np

from studio.evaluation.bootstrap import Resamples

METRIC = "perplexity"


@dataclass(frozen=True)
class RowLosses:
    """Summed negative log-likelihood (nats) and number of learned tokens of each held-out row, under one model."""

    nll: list[float]
    tokens: list[int]
    seconds: float = 0.0

    def likelihoods(self) -> list[float]:
        """The mean probability of a token of each row (geometric), the inverse of the row's perplexity: 0 to 1."""
        return [float(value) for value in np.exp(-np.array(self.nll) / np.array(self.tokens))]


def perplexities(ways: dict[str, RowLosses], resamples: Resamples) -> dict[str, tuple[float, np.ndarray]]:
    """Each way's perplexity, and its values in the resamples of the rows (RESAMPLES,); long rows weigh more."""
    losses = np.column_stack([np.column_stack([said.nll, said.tokens]) for said in ways.values()])
    totals, drawn = losses.sum(axis=0), resamples.sums(losses)
    return {way: (float(np.exp(totals[2 * i] / totals[2 * i + 1])), np.exp(drawn[:, 2 * i] / drawn[:, 2 * i + 1]))
            for i, way in enumerate(ways)}
