"""How sure a figure is: the same rows drawn anew many times, for all ways alike (paired bootstrap, Efron 1979)."""

import numpy as np

from studio.evaluation.verdict import UNSEEN

RESAMPLES = 4000
CONFIDENCE = 0.95
CHUNK = 250  # resamples at once: 10,000 rows then need 20 MB


class Resamples:
    """How often each of `rows` rows comes up in each of the `RESAMPLES` draws with replacement."""

    def __init__(self, rows: int, seed: int):
        random = np.random.default_rng(seed)
        self._counts = np.empty((RESAMPLES, rows), np.uint8)
        for start in range(0, RESAMPLES, CHUNK):
            draws = random.integers(rows, size=(CHUNK, rows)) + rows * np.arange(CHUNK)[:, None]
            counts = np.bincount(draws.ravel(), minlength=CHUNK * rows)
            self._counts[start:start + CHUNK] = np.minimum(counts, 255).reshape(CHUNK, rows)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of the drawn rows' values in each resample: (rows, k) gives (RESAMPLES, k)."""
        chunks = (self._counts[start:start + CHUNK].astype(float) for start in range(0, RESAMPLES, CHUNK))
        # equal columns must give equal sums, whichever way the library adds them up
        return np.round(np.concatenate([chunk @ values for chunk in chunks]), 9)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of the drawn rows' values in each resample: (rows, k) gives (RESAMPLES, k)."""
        return self.sums(values) / len(values)


def interval(resampled: np.ndarray) -> list[float]:
    """The percentile interval of a figure from its resampled values (RESAMPLES,)."""
    tail = (1 - CONFIDENCE) / 2 * 100
    return [float(value) for value in np.percentile(resampled, [tail, 100 - tail])]


def share_interval(resampled: np.ndarray, rows: int, least: float = 0.0) -> list[float]:
    """The interval of a share, or of a difference of shares (`least` -1), that was measured on so many rows.

    Where every row gave the same, resampling finds no spread: the interval is then widened by 3 / rows, the most that
    could differ unseen with 95 % confidence (rule of three, Hanley and Lippman-Hand 1983).
    """
    low, high = interval(resampled)
    unseen = UNSEEN / rows if low == high else 0.0
    return [max(least, low - unseen), min(1.0, high + unseen)] if unseen else [low, high]


def p_value(resampled: np.ndarray) -> float:
    """Two-sided bootstrap p-value of "no difference" (Efron and Tibshirani 1993), never below one draw's share."""
    tail = min((resampled <= 0).mean(), (resampled >= 0).mean())
    return float(min(1.0, max(2 * tail, 1 / len(resampled))))
