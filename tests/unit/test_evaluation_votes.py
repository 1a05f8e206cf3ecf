"""Votes: kept line by line whatever happens to the file, counted blind ones only, and turned into preference rows."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from studio.data.conversion import convert_row
from studio.data.detection import detect
from studio.data.jsonl import read_jsonl
from studio.errors import DataError, RunError
from studio.evaluation.preferences import export_votes, preference_rows, votes_preset
from studio.evaluation.votes import VOTES_FILE, Vote, VotedAnswer, add_vote, read_votes, wilson, win_rates
from studio.preset.schema import DataSection
from studio.runs.events import EventWriter
from studio.runs.store import RunStore
from tests.finished_run import finished_run

RUN = "20260101-000000-recipes-0000"


def vote(number=1, choice="a", a=RUN, b="base", blind=True, texts=("good\u2028 answer", "bad"), system=""):
    messages = [{"role": "user", "content": f"question {number}"}]
    return Vote(
        id=str(number), time="2026-01-01T00:00:00.000+00:00", choice=choice, blind=blind,
        messages=[{"role": "system", "content": system}] * bool(system) + messages,
        a=VotedAnswer(model=a, text=texts[0]), b=VotedAnswer(model=b, text=texts[1]),
        sampling={"temperature": 0, "top_p": 1, "max_tokens": 64, "seed": 1})


def test_votes_are_read_back_as_they_were_given(tmp_path):
    given = [vote(1, texts=("line\nbreak \u2028 č", "{}")), vote(2, "tie"), vote(3, "both_bad", blind=False)]
    for one in given:
        add_vote(tmp_path, one)
    assert read_votes(tmp_path).votes == given
    assert len((tmp_path / VOTES_FILE).read_bytes().split(b"\n")) == 4


def test_a_vote_is_never_written_through_a_link(tmp_path):
    (tmp_path / "outside").write_text("theirs")
    (tmp_path / VOTES_FILE).symlink_to(tmp_path / "outside")
    with pytest.raises(OSError):
        add_vote(tmp_path, vote())
    assert (tmp_path / "outside").read_text() == "theirs"


def test_a_run_without_votes_has_none(tmp_path):
    assert read_votes(tmp_path).votes == [] and win_rates([], RUN) == []


def test_a_vote_given_twice_counts_once_and_the_first_stands(tmp_path):
    add_vote(tmp_path, vote(1, "a"))
    add_vote(tmp_path, vote(1, "b"))
    assert [one.choice for one in read_votes(tmp_path).votes] == ["a"]


@pytest.mark.parametrize("damage", [b'{"id": "2", "ti', b"\xff\xfe", b"{}", b'{"id": "2", "choice": "c"}', b"[" * 500])
def test_a_damaged_line_is_counted_and_costs_no_other_vote(tmp_path, damage):
    add_vote(tmp_path, vote(1))
    with open(tmp_path / VOTES_FILE, "ab") as file:
        file.write(damage)
    add_vote(tmp_path, vote(3))
    found = read_votes(tmp_path)
    assert [one.id for one in found.votes] == ["1", "3"] and found.damaged == 1


def test_the_win_rate_counts_the_runs_own_model_on_whichever_side_it_stood():
    votes = [vote(1, "a"), vote(2, "b", a="base", b=RUN), vote(3, "b"), vote(4, "tie"), vote(5, "both_bad")]
    rate, = win_rates(votes, RUN)
    assert (rate.model, rate.against, rate.wins, rate.losses, rate.ties, rate.both_bad) == (RUN, "base", 2, 1, 1, 1)
    assert rate.value == pytest.approx(2 / 3) and rate.decided == 3


def test_votes_that_named_the_models_do_not_count():
    assert win_rates([vote(1, blind=False)], RUN) == []


def test_votes_on_half_trained_weights_no_longer_count_once_the_run_is_trained_further(tmp_path):
    run_dir = tmp_path / RUN
    run_dir.mkdir()
    older, other = f"{RUN}/checkpoint-5", "20260202-000000-other-0000"
    given = [vote(1), vote(2, a="base", b=RUN), vote(3, a=older), vote(4, a=other)]
    for one in given:
        add_vote(run_dir, one)
    journal = EventWriter(run_dir)
    assert read_votes(run_dir).current == given
    journal.done("train", {"stopped": False})
    journal.error("train", "A later one that failed left the weights as they were.")
    journal.close()
    now = vote(5).model_copy(update={"time": datetime.now(UTC).isoformat(timespec="milliseconds")})
    add_vote(run_dir, now)
    found = read_votes(run_dir)
    assert found.votes == [*given, now] and found.current == [*given[2:], now]


def test_each_opponent_has_its_own_win_rate():
    other, older = "20260202-000000-other-0000", f"{RUN}/checkpoint-5"
    votes = [vote(1), vote(2, "b", b=other), vote(3, a=older, b=RUN), vote(4, a=older)]
    assert [(rate.model, rate.against, rate.wins, rate.losses) for rate in win_rates(votes, RUN)] == [
        (RUN, "base", 1, 0), (RUN, other, 0, 1), (RUN, older, 0, 1), (older, "base", 1, 0)]


def test_without_a_preference_there_is_no_rate():
    rate, = win_rates([vote(1, "tie")], RUN)
    assert rate.value is None and rate.interval is None


@pytest.mark.parametrize(("wins", "n", "low", "high"), [
    # Newcombe 1998, table I, method 3
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_the_interval_is_wilsons(wins, n, low, high):
    assert wilson(wins, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - wins, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_preference_rows_are_trls_and_the_doctor_reads_them():
    rows = preference_rows([vote(1, "a", system="Be brief."), vote(2, "b", texts=("worse", "better"))])
    assert rows[0]["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "question 1"}]
    assert (rows[1]["chosen"], rows[1]["rejected"]) == (
        [{"role": "assistant", "content": "better"}], [{"role": "assistant", "content": "worse"}])
    shape = detect(list(rows[0]), rows, DataSection())
    assert shape.format == "preference" and [convert_row(row, shape) for row in rows] == rows


@pytest.mark.parametrize("given", [vote(1, "tie"), vote(1, "both_bad"), vote(1, texts=("same", "same ")),
                                   vote(1, texts=("good", " "))])
def test_what_teaches_nothing_makes_no_row(given):
    assert preference_rows([given]) == []


def test_an_export_without_votes_says_what_to_do(settings, tmp_path):
    store = RunStore(settings)
    with pytest.raises(DataError, match=r"No vote on recipes prefers one .* Compare answers in the playground"):
        export_votes(store.get(finished_run(store)), tmp_path / "votes.jsonl")
    assert not (tmp_path / "votes.jsonl").exists()


def test_the_preset_of_the_votes_starts_from_the_tuned_model_and_reads_an_upload(settings):
    store = RunStore(settings)
    view = store.get(finished_run(store, name="my / run"))
    view = replace(view, preset=view.preset.model_copy(update={
        "data": DataSection(prompt_column="q", completion_column="a", system_prompt="S", edits="e")}))
    add_vote(view.run_dir, vote(1))
    preset = votes_preset(view, settings)
    assert preset.data == DataSection(dataset_name=preset.data.dataset_name, format="preference")
    assert preset.model.model_name_or_path == str(view.run_dir / "merged")
    assert preset.training == view.preset.training and preset.name == "my / run-votes"
    assert preset.data.dataset_name.startswith("upload:votes-my-run-")
    stored = settings.uploads_dir / preset.data.dataset_name.removeprefix("upload:")
    assert read_jsonl(stored) == preference_rows([vote(1)])
    assert json.loads(stored.read_text())["rejected"] == [{"role": "assistant", "content": "bad"}]


def test_a_run_without_a_merged_model_makes_no_preset_that_would_start_from_the_untuned_one(settings):
    store = RunStore(settings)
    view = store.get(finished_run(store, merged=False))
    add_vote(view.run_dir, vote(1))
    with pytest.raises(RunError) as error:
        votes_preset(view, settings)
    assert error.value.hint == "Merge first, then make the preset."
    assert not settings.uploads_dir.exists() or not list(settings.uploads_dir.iterdir())
