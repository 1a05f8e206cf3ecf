"""The ways a question is asked: which training rows go into a prompt, and that the tuned model sees none of them."""

import pytest

from studio.evaluation.examples import choose_examples, nearest
from studio.evaluation.ways import Example, askable, build_prompt, compared_rows, fitting_prompt, planned_ways
from studio.preset.schema import EvaluationSection

FOODS = ["flour", "sugar", "milk", "rye flour"]
TRAIN = [Example(f"{number} cups of {food}", food) for number, food in enumerate(FOODS)]
SYSTEM = {"role": "system", "content": "Name the food."}


def chat(text):
    return [SYSTEM, {"role": "user", "content": text}]


def test_a_way_without_examples_is_left_out():
    assert planned_ways(EvaluationSection()) == ["base", "few_shot", "retrieval", "tuned"]
    assert planned_ways(EvaluationSection(few_shot_examples=0, retrieval_rows=0)) == ["base", "tuned"]


def test_looked_up_rows_are_those_that_share_the_rarest_words():
    found = nearest(["sifted flour", chat("some milk")], TRAIN, 2)
    assert {example.answer for example in found[0]} == {"flour", "rye flour"}
    assert found[1][0].answer == "milk"


def test_rows_without_a_word_are_no_failure():
    symbols = [Example("?", "a"), Example("!", "b")]
    assert nearest(["flour"], symbols, 5) == [symbols]
    assert len(nearest([""], TRAIN, 2)[0]) == 2


def test_random_examples_are_the_same_for_every_question_and_every_time():
    section = EvaluationSection(few_shot_examples=2)
    chosen = choose_examples("few_shot", ["a", "b"], TRAIN, section, seed=1)
    assert chosen[0] == chosen[1] == choose_examples("few_shot", ["c"], TRAIN, section, seed=1)[0]
    assert len(set(chosen[0])) == 2


def test_there_may_be_fewer_training_rows_than_examples_asked_for():
    section = EvaluationSection(few_shot_examples=9, retrieval_rows=9)
    for way in ("few_shot", "retrieval"):
        assert len(choose_examples(way, ["flour"], TRAIN, section, seed=1)[0]) == len(TRAIN)
        assert choose_examples(way, ["flour"], [], section, seed=1) == [[]]


def test_base_and_tuned_model_get_no_example():
    for way in ("base", "tuned"):
        assert choose_examples(way, ["flour"], TRAIN, EvaluationSection(), seed=1) == [[]]
    assert build_prompt("tuned", chat("flour"), TRAIN, "Be brief.", as_chat=True) == chat("flour")


def test_examples_are_turns_between_system_prompt_and_question_the_best_one_last():
    examples = [Example(chat("milk"), "MILK"), Example("rye", "RYE")]
    prompt = build_prompt("few_shot", chat("flour"), examples, "", as_chat=True)
    assert build_prompt("retrieval", chat("flour"), examples, "", as_chat=True) == prompt
    assert [(message["role"], message["content"]) for message in prompt] == [
        ("system", "Name the food."), ("user", "rye"), ("assistant", "RYE"), ("user", "milk"), ("assistant", "MILK"),
        ("user", "flour")]


@pytest.mark.parametrize("question", ["flour", chat("flour")])
def test_a_system_prompt_of_the_persons_own_replaces_that_of_the_data(question):
    prompt = build_prompt("base", question, [], "Be brief.", as_chat=True)
    assert prompt == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "flour"}]


def test_without_chats_the_prompt_is_the_beginning_of_a_document():
    assert build_prompt("base", "flour:", [], "", as_chat=False) == "flour:"
    assert build_prompt("few_shot", "flour:", [Example("milk:", " MILK")], "Foods.", as_chat=False) == (
        "Foods.\n\nmilk: MILK\n\nflour:")


def test_examples_are_left_out_until_the_prompt_fits():
    def render(count):
        return [0] * (10 + 20 * count)

    assert fitting_prompt(render, examples=3, room=55) == (render(2), 2)
    assert fitting_prompt(render, examples=3, room=5) == (render(0), 0), "the bare question is asked in any case"


def test_only_rows_with_question_and_answer_are_asked():
    answer = {"role": "assistant", "content": "flour"}
    rows = [{"messages": [*chat("x"), answer]}, {"messages": chat("x")}, {"messages": [SYSTEM, answer]},
            {"messages": [*chat("x"), {"role": "assistant", "content": "", "tool_calls": [{}]}]},
            {"prompt": chat("x"), "completion": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
            {"prompt": "x", "completion": "flour"}, {"text": "flour"}]
    assert [row.answer for row in askable(rows)] == ["flour", "flour"]


def test_compared_rows_are_a_sample_of_all_in_their_order():
    rows = [{"text": str(number)} for number in range(400)]
    drawn = [int(row["text"]) for row in compared_rows(rows, 80, seed=3407)]
    assert len(drawn) == 80 and drawn == sorted(set(drawn))
    assert 20 < sum(number >= 200 for number in drawn) < 60, "a file sorted by label shows both labels"
    assert compared_rows(list(reversed(rows)), 80, seed=3407) == [rows[399 - number] for number in drawn], "same places"
    assert compared_rows(rows[:5], 80, seed=3407) == rows[:5]
    assert compared_rows(rows, 0, seed=3407) == []


def test_a_row_is_asked_with_its_tools():
    row, tools = {"messages": [*chat("x"), {"role": "assistant", "content": "flour"}]}, [{"name": "weigh"}]
    assert [asked.tools for asked in askable([row | {"tools": tools}, row])] == [tools, None]
