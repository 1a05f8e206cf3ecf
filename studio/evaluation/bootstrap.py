"""How sure a figure is: the same rows drawn anew many times, for all ways alike (paired bootstrap, Efron 1979)."""

import numpy as np

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


def p_value(resampled: np.ndarray) -> float:
    """Two-sided bootstrap p-value of "no difference" (Efron and Tibshirani 1993), never below one draw's share."""
    tail = min((resampled <= 0).mean(), (resampled >= 0).mean())
    return float(min(1.0, max(2 * tail, 1 / len(resampled))))
