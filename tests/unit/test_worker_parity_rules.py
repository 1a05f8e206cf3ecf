"""The rule of the parity check: what is the same, close, other, or refused; formulas against hand-made numbers."""

import numpy as np
import pytest

from studio.publishing.parity import Figures, FormCheck
from studio.worker.parity_figures import Change, Logits, compare, judge, mean_divergence, tolerance


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


FAR = Change(1.0, 1.0)  # the form is as far from the untouched base as the trained model is
Q4 = "gguf/x-Q4_K_M.gguf"


def full(mean_kl: float, change: Change | None = FAR, equal: float = 1.0) -> FormCheck:
    return judge("merged", "bfloat16", False, figures(mean_kl, equal), change)


def quantised(mean_kl: float, change: Change | None = FAR, kind: str = "Q4_K_M") -> FormCheck:
    return judge(Q4, kind, True, figures(mean_kl), change)


def test_a_near_tie_that_flips_tokens_stops_no_sound_merge():
    judged = full(5e-5, equal=0.1)
    assert judged.outcome == "same" and judged.sentence == ""


@pytest.mark.parametrize(("mean_kl", "base_kl"), [(0.011, 1.0), (1.0, 0.0)])
def test_a_merged_model_beyond_the_tolerance_is_refused(mean_kl, base_kl):
    judged = full(mean_kl, Change(1.0, base_kl))
    assert judged.outcome == "refused" and judged.hint.startswith("Merge again")
    assert ("untouched base model" in judged.sentence) == (base_kl == 0)


@pytest.mark.parametrize("mean_kl", [float("nan"), float("inf")])
@pytest.mark.parametrize("judged", [full, quantised])
def test_values_that_are_no_numbers_are_called_so(judged, mean_kl):
    found = judged(mean_kl, Change(1.0, mean_kl))
    assert found.outcome == "refused" and "no numbers" in found.sentence


@pytest.mark.parametrize(("training_kl", "outcome"), [(0.0019, "refused"), (1e-4, "refused")])
def test_the_untouched_base_is_refused_after_however_small_a_training(training_kl, outcome):
    noise = training_kl / 10
    judged = full(training_kl + noise, Change(training_kl, noise))
    assert judged.outcome == outcome and "untouched base model" in judged.sentence


def test_a_training_that_rounding_hides_is_noted_and_stops_nothing():
    judged = full(5e-5, Change(1e-6, 5e-5))
    assert judged.outcome == "same" and "changed too little" in judged.sentence and judged.hint


def test_a_sound_merge_of_a_small_training_passes_without_a_note():
    judged = full(5e-5, Change(1e-3, 1.05e-3))
    assert judged.outcome == "same" and judged.sentence == ""


@pytest.mark.parametrize(("mean_kl", "outcome"), [(0.004, "same"), (0.05, "close"), (0.3, "differs")])
def test_a_quantised_file_gets_a_word_and_stops_nothing(mean_kl, outcome):
    judged = quantised(mean_kl)
    assert judged.outcome == outcome and bool(judged.sentence) == (outcome == "differs")


@pytest.mark.parametrize(("mean_kl", "kind"), [(9.0, "Q4_K_M"), (9.0, "Q8_0"), (0.11, "Q8_0")])
def test_a_quantised_file_of_garbage_is_refused(mean_kl, kind):
    for change in (Change(1.0, mean_kl), None):
        assert quantised(mean_kl, change, kind).outcome == "refused"


@pytest.mark.parametrize(("training_kl", "noise"), [(0.04, 0.03), (1.0, 0.02)])
def test_a_quantised_file_without_the_training_is_refused(training_kl, noise):
    judged = quantised(training_kl + noise, Change(training_kl, noise))
    assert judged.outcome == "refused" and "untouched base model" in judged.sentence


def test_a_quantised_file_that_loses_more_than_a_small_training_changed_is_not_refused():
    assert quantised(0.03, Change(0.001, 0.0304)).outcome == "differs"
