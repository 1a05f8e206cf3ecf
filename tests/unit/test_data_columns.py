"""The part each column plays is proposed from its name and from what stands in it, with how sure that is."""

from studio.data.columns import propose

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def proposed(rows):
    return {found.part: found.column for found in propose(list(rows[0]), rows)}


def test_usual_names_are_surest():
    found = propose(["question", "answer", "id"], [{"question": "a b", "answer": "c d", "id": 1}])
    assert [(one.part, one.column) for one in found] == [("prompt", "question"), ("completion", "answer")]
    assert all(one.confidence > 0.8 and one.reason.endswith(".") for one in found)


def test_parts_of_names_are_read_in_other_languages_too():
    assert proposed([{"Kundenfrage_1": "x", "Frage Text": "was", "Unsere Antwort": "das"}]) == {
        "prompt": "Frage Text", "completion": "Unsere Antwort"}
    assert proposed([{"q": "x", "a": "y"}]) == {"prompt": "q", "completion": "a"}
    assert proposed([{"userPrompt": "x", "botReply": "y"}]) == {"prompt": "userPrompt", "completion": "botReply"}


def test_what_stands_in_a_column_tells_its_part():
    rows = [{"a1": f"Is number {i} even?", "b1": "yes" if i % 2 == 0 else "no", "c1": CHAT, "d1": i} for i in range(12)]
    assert proposed(rows) == {"prompt": "a1", "label": "b1", "messages": "c1"}
    assert proposed([{"x": "some text", "good": True}] * 8) == {"text": "x", "label": "good"}


def test_numbers_and_codes_are_no_questions():
    assert proposed([{"user_id": 7, "question_id": "q17", "answer count": "3", "x": "one text", "y": "two texts"}]) == {
        "prompt": "x", "completion": "y"}


def test_two_columns_of_texts_are_question_and_answer_in_their_order():
    found = propose(["id", "x", "y"], [{"id": "ab-17", "x": "one text", "y": "another text"}])
    assert [(one.part, one.column, one.confidence < 0.5) for one in found] == [
        ("prompt", "x", True), ("completion", "y", True)]
    assert proposed([{"x": "one text", "y": "two texts", "z": "three texts"}]) == {}


def test_a_column_plays_one_part():
    found = propose(["answer question"], [{"answer question": "why is that?"}])
    assert len(found) == 1


def test_strange_columns_are_no_trouble():
    assert propose([], []) == []
    assert propose(["", "\0", "x" * 10_000], [{"": None, "\0": [1], "x" * 10_000: {"a": "b"}}, "no row", 3]) == []
    assert propose(["text"], []) != []
