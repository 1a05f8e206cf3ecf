"""What a training took in all its stretches."""

import pytest

from studio.runs.events import EventWriter
from studio.runs.trainings import Effort, last_trained_at, training_effort


def stretch(seconds, resumed_from="", wh=None, of="gpu"):
    measured = {} if wh is None else {"train_wh": wh, "train_wh_of": of}
    return {"train_seconds": seconds, "resumed_from": resumed_from, **measured}


@pytest.mark.parametrize(("stretches", "effort"), [
    ([], Effort()),
    ([stretch(50.0, wh=2.0)], Effort(50.0, 2.0, "gpu")),
    ([stretch(50.0, wh=2.0), stretch(7.0, "checkpoint-5", 1.0), stretch(1.0, "checkpoint-9", 0.5)],
     Effort(58.0, 3.5, "gpu")),
    ([stretch(50.0), stretch(7.0, wh=1.0)], Effort(7.0, 1.0, "gpu")),
    ([stretch(50.0), stretch(7.0, "checkpoint-5", 1.0)], Effort(57.0)),
    ([stretch(50.0, wh=2.0), stretch(7.0, "checkpoint-5", 1.0, "gpu+cpu")], Effort(57.0)),
    ([{"train_seconds": 3.0}], Effort(3.0)),
])
def test_the_stretches_of_a_training_are_added_back_to_its_first(tmp_path, stretches, effort):
    journal = EventWriter(tmp_path)
    for result in stretches:
        journal.done("train", result)
        journal.done("evaluate", {"train_seconds": 1000})
    journal.close()
    assert training_effort(tmp_path) == effort
    assert bool(last_trained_at(tmp_path)) is bool(stretches)
