"""A blind comparison from the shuffle to the vote, what the page is told when, and which row is asked next."""

import json

import gradio as gr
import pytest

from studio.errors import DataError, RunError
from studio.evaluation.votes import read_votes
from studio.preset.schema import Preset
from studio.runs.playground import Target
from studio.runs.store import BASELINES, TRAINING
from studio.ui import playground_votes as voting
from studio.ui.conversation import Column, Conversation, Sampling
from studio.ui.differences import differences
from studio.ui.duel import KEPT, Duels, blind_histories, finished
from studio.ui.held_out import next_question
from studio.ui.votes_view import VotesPart, draw_votes
from tests.finished_run import finished_run

SAMPLING = Sampling(0.5, 1, 64, 1)
COUNTS = {"base": "42 tokens in 0.8 s", "tuned": "17 tokens in 0.9 s"}
TELLTALES = ("base", "tuned", "Base", "Tuned", *COUNTS.values())


@pytest.fixture
def run_id(store):
    return finished_run(store)


def answered(history=(), prompt="2 eggs", texts=("from the first", "from the second")):
    turns = [*history, {"role": "user", "content": prompt}]
    names = ("base", "tuned")
    return Conversation({name: Column([*turns, {"role": "assistant", "content": said}], COUNTS[name])
                         for name, said in zip(names, texts, strict=True)})


def duel(run_id, order=("tuned", "base"), blind=True, system="", row=-1, now=None):
    return finished(Target(run_id), now or answered(), order, blind, system, SAMPLING, row)


def cast(store, given, choice):
    duels = Duels(store)
    duels.add(given)
    return duels.vote(given.id, choice)


@pytest.mark.parametrize(("kind", "said"), [(TRAINING, "Compare blind in the playground"),
                                            (BASELINES, "trained no model")])
def test_a_run_without_votes_says_how_to_get_some_where_it_can(store, kind, said):
    part = VotesPart(gr.HTML(), gr.Button(), gr.HTML())
    assert said in draw_votes(part, store, store.get(store.create(Preset(), kind=kind)))[part.html]


def test_both_orders_come_up_and_both_models_get_the_same_turns():
    turns = [{"role": "user", "content": "a"}]
    for rival, other in (("", "base"), ("another", "rival")):
        seen = [blind_histories(Target("run", rival=rival), turns) for _ in range(60)]
        assert {tuple(histories) for histories in seen} == {(other, "tuned"), ("tuned", other)}
        assert all(histories == {other: turns, "tuned": turns} for histories in seen)


def test_nothing_on_the_page_tells_the_models_apart_before_the_vote(store, run_id):
    for order in (("base", "tuned"), ("tuned", "base")):
        now = answered()
        sides = voting.live_sides(now, order, voting.side_names(store, True, ""), blind=True)
        assert not [word for word in TELLTALES if word in json.dumps(sides)]
        given = duel(run_id, order)
        assert not [word for word in TELLTALES if word in json.dumps(voting.whole_sides(store, given))]
        _, *updates = voting.panel(store, given)
        assert not [word for word in TELLTALES if word in repr(updates)]
        assert [side["messages"] for side in sides] == [now.columns[name].messages for name in order]


def test_the_names_and_counts_come_with_the_vote(store, run_id):
    given = cast(store, duel(run_id), "b")
    sides = voting.whole_sides(store, given)
    assert [(side["label"], side["facts"]) for side in sides] == [
        ("Answer A: tuned model", COUNTS["tuned"]), ("Answer B: base model", COUNTS["base"])]
    _, said, *buttons = voting.panel(store, given)
    assert "Vote kept: Answer B is better. A: tuned model. B: base model." in said
    assert "Tuned model preferred to base model in 0 % of 1 blind vote (95 % interval 0 % to 79 %)" in said
    assert not any(button.interactive for button in buttons)


def test_the_vote_is_kept_with_all_it_was_about(store, run_id):
    cast(store, duel(run_id, system="Be brief.", row=3), "a")
    vote, = read_votes(store.run_dir(run_id)).votes
    assert vote.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 eggs"}]
    assert (vote.a.model, vote.a.text, vote.b.model) == (run_id, "from the second", "base")
    assert vote.choice == "a" and vote.blind and vote.sampling == vars(SAMPLING) and vote.time.endswith("+00:00")


def test_the_weights_of_a_checkpoint_are_named(store, run_id):
    given = finished(Target(run_id, "checkpoint-50"), answered(), ("base", "tuned"), True, "", SAMPLING)
    cast(store, given, "b")
    assert read_votes(store.run_dir(run_id)).votes[0].b.model == f"{run_id}/checkpoint-50"


def test_another_run_stands_in_the_place_of_the_base_model(store, run_id):
    rival = finished_run(store, name="cookbook")
    now = answered()
    now.columns["rival"] = now.columns.pop("base")
    given = finished(Target(run_id, rival=rival), now, ("rival", "tuned"), True, "", SAMPLING)
    given = cast(store, given, "b")
    labels = [side["label"] for side in voting.whole_sides(store, given)]
    assert labels == ["Answer A: cookbook", "Answer B: tuned model"]
    vote, = read_votes(store.run_dir(run_id)).votes
    assert (vote.a.model, vote.b.model) == (rival, run_id)
    _, said, *_ = voting.panel(store, given)
    assert "Tuned model preferred to cookbook in 100 % of 1 blind vote" in said
    assert voting.side_names(store, False, rival) == ("cookbook", "Tuned model")


def test_a_second_vote_on_one_duel_changes_nothing(store, run_id):
    duels, given = Duels(store), duel(run_id)
    duels.add(given)
    assert duels.vote(given.id, "a") == duels.vote(given.id, "b")
    cast(store, duel(run_id), "tie")
    assert [vote.choice for vote in read_votes(store.run_dir(run_id)).votes] == ["a", "tie"]


def test_an_open_vote_is_kept_and_says_that_it_does_not_count(store, run_id):
    given = cast(store, duel(run_id, ("base", "tuned"), blind=False), "a")
    assert not read_votes(store.run_dir(run_id)).votes[0].blind
    _, said, *_ = voting.panel(store, given)
    assert "Vote kept: Base model is better. The win rate counts blind votes only." in said


def test_there_is_nothing_to_vote_on_without_two_answers(store, run_id):
    with pytest.raises(DataError, match="no two answers"):
        Duels(store).vote("", "a")
    alone = Conversation({"base": answered().columns["base"], "tuned": Column([])})
    assert duel(run_id, now=alone) is None


def test_chats_that_went_different_ways_are_not_voted_on(run_id):
    now = answered()
    now.columns["base"].messages[:0] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert duel(run_id, now=now) is None


def test_a_vote_on_a_deleted_run_is_refused(store, run_id):
    given = duel(run_id)
    store.delete(run_id)
    with pytest.raises(RunError, match="There is no run"):
        cast(store, given, "a")


def test_old_duels_make_room_and_a_row_is_its_runs_alone(store, run_id):
    duels = Duels(store)
    given = [duel(run_id, row=row) for row in range(KEPT + 1)]
    for one in given:
        duels.add(one)
    assert [duels.row(given[i].id, run_id) for i in (0, 1, KEPT)] == [-1, 1, KEPT]
    assert duels.row(given[1].id, "another run") == -1


def write_rows(store, run_id, *rows):
    (store.run_dir(run_id) / "data").mkdir()
    (store.run_dir(run_id) / "data" / "heldout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def pair(number):
    return {"prompt": f"{number} eggs", "completion": "{}"}


def test_rows_are_asked_in_turn_and_those_with_a_vote_are_passed_over(store, run_id):
    write_rows(store, run_id, *map(pair, range(4)))
    view = store.get(run_id)
    assert next_question(view).prompt == "0 eggs"
    cast(store, duel(run_id, system="S", now=answered(prompt="1 eggs")), "tie")
    assert [next_question(view, after).row for after in (-1, 0, 2, 3)] == [0, 2, 3, 0]
    for number in (0, 2, 3):
        cast(store, duel(run_id, now=answered(prompt=f"{number} eggs")), "a")
    with pytest.raises(DataError, match="Every held-out row has a vote"):
        next_question(view)


def test_a_chat_is_asked_up_to_its_last_question(store, run_id):
    turns = [{"role": role, "content": said} for role, said in (
        ("system", "S"), ("user", "U1"), ("assistant", "A1"), ("user", "U2"), ("assistant", "A2"))]
    write_rows(store, run_id, {"messages": turns})
    found = next_question(store.get(run_id))
    assert (found.history, found.prompt, found.wanted, found.system) == (turns[1:3], "U2", "A2", "S")


def test_documents_are_asked_by_their_beginning(store, run_id):
    write_rows(store, run_id, {"text": " ".join(map(str, range(20)))})
    assert next_question(store.get(run_id)).prompt == "0 1 2 3 4 5 6 7 8 9 10 11"


@pytest.mark.parametrize("rows", [(), ({"messages": [
    {"role": "user", "content": "U"}, {"role": "assistant", "content": "", "tool_calls": []},
    {"role": "tool", "content": "7"}, {"role": "assistant", "content": "A"}]},)])
def test_without_a_row_to_ask_it_says_so(store, run_id, rows):
    write_rows(store, run_id, *rows)
    with pytest.raises(DataError, match="no held-out rows that can be asked"):
        next_question(store.get(run_id))


def test_a_run_without_the_file_has_no_row_to_ask(store, run_id):
    with pytest.raises(DataError, match="Type a prompt instead"):
        next_question(store.get(run_id))


def test_words_that_the_other_text_lacks_are_marked():
    left, right = differences('{"quantity": 2, "unit": null}', '{"quantity": 3, "unit": null}')
    assert left == [('{"quantity": ', False), ("2", True), (', "unit": null}', False)]
    assert right[1] == ("3", True)


@pytest.mark.parametrize(("a", "b"), [
    ("one two three", "one two three four"), ("a\n\n  b c d", "a b c d e"), ("<b>x</b> & y z", "<b>x</b> & y q"),
    ("same", "same"), ("", "")])
def test_the_pieces_put_together_are_the_texts(a, b):
    found = differences(a, b)
    assert tuple("".join(piece for piece, _ in side) for side in found) == (a, b)


def test_equal_texts_have_no_mark_and_strangers_are_not_compared():
    assert differences("one two", "one two") == ([("one two", False)],) * 2
    assert differences("one two three four", "five six seven eight") is None


def test_answers_that_go_round_in_circles_are_compared_at_once_and_longer_ones_not_at_all():
    left, right = differences("a b " * 1500, "a x b " * 1000)
    assert left and right
    assert differences("a b " * 1501, "a") is None
    assert differences("=" * 6000, "=" * 6001) is None
