"""The rule of the parity check: what is the same, close, other, or refused; formulas against hand-made numbers."""

import numpy as np
import pytest

from studio.publishing.parity import Figures
from studio.worker.parity_figures import Logits, compare, judge, mean_divergence, tolerance


def logits(rows) -> Logits:
    values = np.array(rows, dtype=float)
    return Logits(np.tile(np.arange(values.shape[1]), (len(values), 1)), values, np.log(np.exp(values).sum(axis=1)),
                  values.argmax(axis=1))


def figures(mean_kl: float, equal: float = 1.0) -> Figures:
    return Figures(equal, equal, 0.5, mean_kl, 1.0)


def test_divergence_of_two_known_distributions():
    reference, other = logits(np.log([[0.5, 0.5], [0.9, 0.1]])), logits(np.log([[0.25, 0.75], [0.9, 0.1]]))
    assert mean_divergence(reference, other) == pytest.approx((0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2)
    assert mean_divergence(reference, reference) == pytest.approx(0, abs=1e-12)


def test_what_is_not_kept_counts_as_one_event():
    whole = np.log(np.array([[0.6, 0.3, 0.1]]))
    kept = Logits(np.array([[0]]), whole[:, :1], np.zeros(1), np.zeros(1))
    other = Logits(np.array([[0]]), np.log([[0.3]]), np.zeros(1), np.zeros(1))
    assert mean_divergence(kept, other) == pytest.approx(0.6 * np.log(2) + 0.4 * np.log(0.4 / 0.7))


def test_agreement_of_greedy_answers():
    same = logits([[1.0, 0.0]])
    found = compare(same, logits([[0.0, 0.5]]), [[1, 2, 3], [4, 5]], [[1, 2, 3], [4, 6, 7]], lambda ids: f"{ids}")
    assert found.equal_tokens == 4 / 6 and found.equal_answers == 0.5 and found.same_top == 0 and found.max_abs == 1.0
    assert (found.first.prompt, found.first.token) == (2, 2)
    assert (found.first.reference, found.first.form) == ("[6, 7]", "[5]")


@pytest.mark.parametrize(("training_kl", "limit"), [(None, 0.01), (1.0, 0.01), (0.05, 0.005), (1e-5, 0.002)])
def test_the_tolerance_follows_what_the_training_changed(training_kl, limit):
    assert tolerance(training_kl) == pytest.approx(limit)


def test_a_near_tie_that_flips_tokens_stops_no_sound_merge():
    judged = judge("merged", figures(5e-5, equal=0.1), 1.0, quantised=False)
    assert judged.outcome == "same" and judged.sentence == ""


@pytest.mark.parametrize("mean_kl", [0.011, 0.6, float("nan"), float("inf")])
def test_a_merged_model_beyond_the_tolerance_is_refused(mean_kl):
    judged = judge("merged", figures(mean_kl), 1.0, quantised=False)
    assert judged.outcome == "refused" and judged.hint.startswith("Merge again")
    assert ("untouched base model" in judged.sentence) == (mean_kl in (0.6, float("inf")))


@pytest.mark.parametrize(("mean_kl", "outcome"), [(0.004, "same"), (0.05, "close"), (0.3, "differs")])
def test_a_quantised_file_gets_a_word_and_stops_nothing(mean_kl, outcome):
    judged = judge("gguf/x-Q4_K_M.gguf", figures(mean_kl), 1.0, quantised=True)
    assert judged.outcome == outcome and bool(judged.sentence) == (outcome == "differs")


def test_a_quantised_file_that_lost_a_small_training_differs():
    assert judge("gguf/x-Q4_K_M.gguf", figures(0.03), 0.04, quantised=True).outcome == "differs"
