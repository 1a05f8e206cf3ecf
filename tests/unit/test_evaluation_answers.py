"""Answers are kept as they come and found again by what they answer."""

from studio.evaluation.answers import Answer, AnswerFile, answer_key, weights_mark

ONE = Answer("a\u2028b\n\"c\"", 5, 3, 0.5, False)


def test_answers_are_there_again_and_a_torn_line_is_not(tmp_path):
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add({"k1": ONE, "k2": ONE}, "base")
    with open(path, "ab") as file:
        file.write(b'{"key": "k3", "way": "ba')
    again = AnswerFile(path)
    assert (again.find("k1"), again.find("k2"), again.find("k3")) == (ONE, ONE, None)
    again.add({"k3": ONE}, "tuned")
    assert AnswerFile(path).find("k3") == ONE
    assert len(path.read_bytes().splitlines()) == 3


def test_the_key_changes_with_all_that_changes_an_answer(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    first = weights_mark(tmp_path)
    weights.write_bytes(b"22")
    second = weights_mark(tmp_path)
    keys = {answer_key(first, [1, 2], 16), answer_key(second, [1, 2], 16), answer_key(first, [1, 3], 16),
            answer_key(first, [1, 2], 32), answer_key(first, [1, 2], 16, batch_size=8)}
    assert len(keys) == 5 and answer_key(first, [1, 2], 16) in keys


def test_answers_of_other_runs_are_taken_over_where_they_answer_just_the_same(tmp_path):
    paths = [tmp_path / name / "answers.jsonl" for name in ("own", "old", "broken")]
    for path in paths:
        path.parent.mkdir()
    AnswerFile(paths[1]).add({"k1": ONE, "k2": ONE, "k9": ONE}, "base")
    paths[2].write_text('{"key": "k2", "way": "base", "said": 1}\n')
    torn = paths[1].read_bytes() + b'{"key": "k'
    paths[1].write_bytes(torn)
    own = AnswerFile(paths[0])
    own.add({"k1": ONE}, "base")
    own.take_over([*paths, tmp_path / "deleted" / "answers.jsonl"], {"k1": "base", "k2": "few_shot", "k3": "base"})
    assert (own.find("k2"), own.find("k3"), own.find("k9")) == (ONE, None, None)
    assert AnswerFile(paths[0]).find("k2") == ONE and paths[0].read_text().count("k1") == 1
    assert paths[1].read_bytes() == torn, "another run may be writing there"
