"""The evaluation phase: the same rows answered by base and tuned model."""

import json
import math

import pytest
from conftest import KEY, chats, events, losses, results

from studio.evaluation.request import EvaluateRequest, write_request
from studio.evaluation.ways import compared_rows
from studio.preset.schema import Preset
from tests.chat_service import Said, completion, serve_chats
from tests.tiny_model import make_tiny_encoder


def test_tuned_model_beats_the_base_on_a_task_it_learned(runs, tmp_path):
    """Every row asks for the same answer, which full fine-tuning of the tiny model learns in a few steps."""
    run_dir = runs.create(chats(24, '{{"city": 1}}'), method__full_finetuning=True, training__learning_rate=5e-3,
                          training__max_steps=60, evaluation__compare_rows=5,
                          evaluation__embedding_model=str(make_tiny_encoder(tmp_path / "encoder")))
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    match = report["metrics"]["json_match"]
    assert (report["metric"], report["n"]) == ("json_match", 5)
    assert (match["base"]["value"], match["tuned"]["value"]) == (0.0, 1.0)
    assert (report["wins"], report["ties"], report["losses"]) == (5, 0, 0)
    all_of_five = [pytest.approx(0.4), 1.0]
    assert report["metrics"]["embedding_similarity"]["tuned"] == {"value": 1.0, "interval": all_of_five}
    assert next(iter(report["metrics"])) == "json_match" and match["tuned"]["interval"] == all_of_five
    assert report["tuned"]["tokens_per_second"] > 0 and report["base"]["cut_answers"] <= 5
    predictions = [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in predictions] == [row["messages"][0]["content"] for row in compared(run_dir)]
    assert all(row["tuned"] == '{"city": 1}' for row in predictions)
    assert len(events(run_dir, "sample")) == 5
    assert results(run_dir)[-1]["tuned"] == 1.0
    progress = [event.values for event in events(run_dir, "progress") if event.values["unit"] == "rows"]
    assert (progress[0]["done"], progress[-1]["done"], progress[-1]["total"]) == (0, 20, 20)
    assert report["verdict"]["outcome"] == "cannot_tell" and "Cannot tell" in (run_dir / "report.html").read_text()
    guard = report["guard"]
    assert guard["questions"] == 30 and guard["perplexity"]["ratio"]["value"] > 1.1 and guard["forgotten"]
    assert any("forgot general knowledge" in event.values["message"] for event in events(run_dir, "warning"))
    few_shot = report["ways"]["few_shot"]
    assert few_shot["examples"] == 3 and few_shot["prompt_tokens"] > 2 * report["ways"]["tuned"]["prompt_tokens"]
    write_request(run_dir, EvaluateRequest(against="20260101-000000-other-0000", settings={
        "evaluation.metric": "perplexity", "evaluation.endpoint_url": "http://127.0.0.1:1/v1"}))
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    foreseen = json.loads((run_dir / "report.json").read_text())
    assert foreseen["metric"] == "perplexity" and list(foreseen["ways"]) == list(report["ways"])
    by_way = {way: found["metrics"]["perplexity"]["value"] for way, found in foreseen["ways"].items()}
    assert by_way["tuned"] < 1.5 and min(by_way.values()) == by_way["tuned"] and by_way["base"] != by_way["few_shot"]
    assert foreseen["ways"]["base"]["metrics"]["json_match"] == report["ways"]["base"]["metrics"]["json_match"]
    assert sum("perplexity" in note for note in foreseen["notes"]) == 2, "other service and other run are left out"
    read = [event.values for event in events(run_dir, "progress") if event.values["unit"] == "answers"]
    assert (read[0]["done"], read[-1]["done"], read[-1]["total"]) == (0, 20, 20)
    assert runs.work("evaluate", run_dir) == 0
    assert len([event for event in events(run_dir, "progress") if event.values["unit"] == "answers"]) == len(read)


def test_batching_changes_no_answer(runs):
    """Rows of different length, answered one by one and in one padded batch, get the same answers."""
    rows = [{"messages": [{"role": "user", "content": "question " * (i % 5 + 1) + str(i)},
                          {"role": "assistant", "content": f"city {i}"}]} for i in range(20)]
    answers = []
    for name, size in [("alone", 1), ("batch", 8)]:
        run_dir = runs.create(rows, name, model__dtype="float32", training__max_steps=8, training__learning_rate=2e-2,
                              evaluation__per_device_eval_batch_size=size, evaluation__eval_strategy="no")
        runs.train(run_dir)
        assert runs.work("evaluate", run_dir) == 0
        predictions = [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text().splitlines()]
        answers.append([[row[way] for way in ("base", "few_shot", "retrieval", "tuned")] for row in predictions])
    assert answers[0] == answers[1]
    assert any(row[0] != row[3] for row in answers[0]) and len({row[3] for row in answers[0]}) > 1


def test_answers_given_before_a_stop_are_not_given_again(runs):
    run_dir = runs.create(chats(24), training__max_steps=2, evaluation__compare_rows=5)
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0
    report, answers = (run_dir / "report.json").read_text(), run_dir / "answers.jsonl"
    lines = answers.read_text().splitlines(keepends=True)
    assert len(lines) == 20
    answers.write_text("".join(lines[:13]) + lines[13][:20])
    assert runs.work("evaluate", run_dir) == 0
    assert answers.read_text().splitlines(keepends=True)[:13] == lines[:13]
    assert len(answers.read_text().splitlines()) == 20
    again = [event.values["done"] for event in events(run_dir, "progress") if event.values["unit"] == "rows"]
    assert again[-1] == 20 and 13 in again[again.index(20) + 1:], "it goes on from the 13 rows that were there"
    assert json.loads((run_dir / "report.json").read_text())["metrics"] == json.loads(report)["metrics"]


def test_rows_longer_than_the_model_reads_are_left_out_and_said(runs):
    rows = chats(24) + [{"messages": [{"role": "user", "content": "question " * 600 + str(i)},
                                      {"role": "assistant", "content": "city"}]} for i in range(12)]
    run_dir = runs.create(rows, training__max_steps=1, evaluation__compare_rows=9, data__bad_rows="drop")
    runs.train(run_dir)
    heldout = [json.loads(line) for line in (run_dir / "data" / "heldout.jsonl").read_text().splitlines()]
    long = sum(len(row["messages"][0]["content"]) > 1000 for row in heldout)
    assert 0 < long < 9, "the split holds back long and short rows alike"
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    assert report["n"] == 9 - long
    assert any(f"{long} of 9 rows are longer" in event.values["message"] for event in events(run_dir, "warning"))
    assert any(f"{long} of 9 rows are longer" in note for note in report["notes"])
    assert f"{long} of 9 rows are longer" in (run_dir / "report.html").read_text()


def test_plain_text_is_judged_by_perplexity(runs):
    rows = [{"text": f"the city {i % 3} of the country {i}"} for i in range(24)]
    run_dir = runs.create(rows, method__full_finetuning=True, training__learning_rate=3e-3, training__max_steps=30)
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    figures = report["metrics"]["perplexity"]
    assert report["metric"] == "perplexity" and not figures["higher_is_better"]
    assert figures["base"]["value"] == pytest.approx(math.exp(losses(run_dir)[1]), rel=0.3)
    assert figures["tuned"]["value"] < 0.5 * figures["base"]["value"]
    assert report["wins"] == 6
    final = events(run_dir, "eval")[-1].values["metrics"]["eval_loss"]
    assert figures["tuned"]["value"] == pytest.approx(math.exp(final), rel=0.1)
    write_request(run_dir, EvaluateRequest(against="20260101-000000-other-0000"))
    assert runs.work("evaluate", run_dir) == 0
    assert any("plain text asks nothing" in event.values["message"] for event in events(run_dir, "warning"))


def test_nothing_to_compare_is_said_with_what_to_do_and_no_failure(runs):
    run_dir = runs.create(chats(8), training__max_steps=1, data__test_size=0.0)
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0
    skipped = results(run_dir)[-1]["skipped"]
    assert "no rows to compare on" in skipped and "--on DATA" in skipped and "data.test_size" in skipped
    assert not (run_dir / "report.json").exists()


def test_rows_of_another_data_set_can_be_asked_and_a_missing_one_is_said(runs):
    run_dir = runs.create(chats(24), training__max_steps=1, evaluation__compare_rows=5)
    runs.train(run_dir)
    other = run_dir.parents[1] / "others.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in chats(3, "land {i}")))
    write_request(run_dir, EvaluateRequest(str(other), settings={
        "evaluation.metric": "chrf", "evaluation.few_shot_examples": 0, "evaluation.guard": False,
        "plan.machine_price_per_hour": 3600, "plan.price_per_million_output_tokens": 1}))
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    assert (report["n"], report["data"]) == (3, "others.jsonl")
    assert (report["metric"], list(report["ways"]), report["guard"]) == ("chrf", ["base", "retrieval", "tuned"], None)
    assert report["costs"]["training_money"] == report["training_seconds"], "a dollar a second"
    assert report["wanted_tokens"] > 0 and report["costs"]["now"]["per_1000"] == report["wanted_tokens"] / 1000
    predictions = [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text().splitlines()]
    assert [row["expected"] for row in predictions] == ["land 0", "land 1", "land 2"]
    write_request(run_dir, EvaluateRequest(str(other.with_name("none.jsonl"))))
    assert runs.work("evaluate", run_dir) == 3


def test_a_metric_that_cannot_apply_is_replaced_and_that_is_said(runs):
    run_dir = runs.create(chats(8), training__max_steps=1, evaluation__metric="json_match",
                          evaluation__embedding_model="nobody/nothing")
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    assert (report["metric"] != "json_match", report["refused_metric"]) == (True, "json_match")
    warnings = [event.values["message"] for event in events(run_dir, "warning")]
    assert any("json_match does not apply" in warning for warning in warnings)
    assert any("Likeness in meaning is left out: nobody/nothing is not on this machine" in said for said in warnings)
    assert "embedding_similarity" not in report["metrics"]


def test_another_model_and_a_judge_are_asked_and_cost_nothing_when_they_fail(runs):
    """The service knows every answer, and as a judge it likes the first answer best, unless it is asked of row 0."""
    def answer(body):
        asked = body["messages"][-1]["content"]
        if body["model"] == "judge":
            return Said(completion("neither" if "question 1" in asked else "[[A]]"))
        return Said({"error": {"message": "no"}}, 401) if body["model"] == "broken" else Said(
            completion(asked.replace("question", "city"), usage=None))

    with serve_chats(answer) as service:
        run_dir = runs.create(
            chats(24), training__max_steps=1, evaluation__compare_rows=5, evaluation__guard=False,
            evaluation__endpoint_url=service.url, evaluation__endpoint_model="big",
            evaluation__judge_url=service.url, evaluation__judge_model="judge", evaluation__judge_against="endpoint")
        runs.train(run_dir)
        assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
        report = json.loads((run_dir / "report.json").read_text())
        assert list(report["ways"]) == ["base", "few_shot", "retrieval", "endpoint", "tuned"]
        other = report["ways"]["endpoint"]
        assert other["metrics"]["exact_match"]["value"] == 1.0 and other["answer_tokens"] > 0
        judged = report["judge"]
        assert judged["n"] + judged["unclear"] == 5 and judged["ties"] == judged["swayed"] == judged["n"]
        assert judged["unclear"] == sum("question 1" in str(row) for row in compared(run_dir))
        asked = len(service.requests)
        assert asked == 15 and set(service.keys) == {f"Bearer {KEY}"}
        assert runs.work("evaluate", run_dir) == 0
        again = asked + 2 * judged["unclear"]
        assert len(service.requests) == again, "what was answered is not asked again, but for replies not in form"
        preset = (run_dir / "preset.yaml").read_text()
        (run_dir / "preset.yaml").write_text(preset.replace("endpoint_model: big", "endpoint_model: broken"))
        assert runs.work("evaluate", run_dir) == 0
    report = json.loads((run_dir / "report.json").read_text())
    assert list(report["ways"]) == ["base", "few_shot", "retrieval", "tuned"] and report["judge"] is None
    warnings = [event.values["message"] for event in events(run_dir, "warning")]
    assert any("refuses the key (no)" in warning for warning in warnings)
    for path in run_dir.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def compared(run_dir):
    rows = [json.loads(line) for line in (run_dir / "data" / "heldout.jsonl").read_text().splitlines()]
    return compared_rows(rows, 5, Preset().training.seed)


def test_what_was_answered_before_the_training_is_not_answered_again_after_it(runs):
    before = runs.create(chats(24), "before", evaluation__compare_rows=5)
    assert runs.work("baselines", before) == 0, (before / "worker.log").read_text()
    found = json.loads((before / "baselines.json").read_text())
    assert list(found["ways"]) == ["base", "few_shot", "retrieval"] and found["n"] == 5
    assert not (before / "adapter").exists() and results(before)[-1]["best"] in found["ways"]
    source = (before / "preset.yaml").read_text()
    run_dir = runs.create(chats(24), "after")
    (run_dir / "preset.yaml").write_text(source.replace("max_steps: 6", "max_steps: 1"))
    runs.train(run_dir)
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    done = [event.values["done"] for event in events(run_dir, "progress") if event.values["unit"] == "rows"]
    assert done[0] == 15, "only the tuned model's answers are missing"
    report = json.loads((run_dir / "report.json").read_text())
    assert report["ways"]["few_shot"]["metrics"] == found["ways"]["few_shot"]["metrics"]


def test_plain_text_asks_nothing_that_could_be_tried(runs):
    run_dir = runs.create([{"text": f"the city {i}"} for i in range(24)])
    assert runs.work("baselines", run_dir) == 3
    assert "plain text asks nothing" in events(run_dir, "error")[0].values["message"]


def test_another_run_s_model_is_one_more_way(runs):
    first = runs.create(chats(24), "first", training__max_steps=1, method__full_finetuning=True)
    run_dir = runs.create(chats(24), "second", training__max_steps=1, evaluation__compare_rows=3,
                          evaluation__guard=False, evaluation__few_shot_examples=0, evaluation__retrieval_rows=0)
    for folder in (first, run_dir):
        runs.train(folder)
    named = "20260101-000000-first-0000"
    first.rename(first.with_name(named))
    write_request(run_dir, EvaluateRequest(against=named))
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    report = json.loads((run_dir / "report.json").read_text())
    assert list(report["ways"]) == ["base", "Tuned model of first", "tuned"]
    assert "Tuned model of first" in (run_dir / "report.html").read_text()
    assert not any("was trained on" in event.values["message"] for event in events(run_dir, "warning"))
    given = len((run_dir / "answers.jsonl").read_text().splitlines())
    write_request(run_dir, EvaluateRequest(against="second@1"))
    assert runs.work("evaluate", run_dir) == 0, (run_dir / "worker.log").read_text()
    predictions = [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text().splitlines()]
    assert all(row["Checkpoint 1"] == row["tuned"] for row in predictions), "it is the last step's"
    assert json.loads((run_dir / "report.json").read_text())["verdict"]["rival"] == "base"
    assert len((run_dir / "answers.jsonl").read_text().splitlines()) == given + 3, "as one more way it answers itself"
    write_request(run_dir, EvaluateRequest(against=f"{named}@7"))
    assert runs.work("evaluate", run_dir) == 0
    assert any("Checkpoint 7 of first is left out" in event.values["message"] for event in events(run_dir, "warning"))
    write_request(run_dir, EvaluateRequest(against="20260101-000000-deleted-0000"))
    assert runs.work("evaluate", run_dir) == 0
    assert any("is left out of the comparison" in event.values["message"] for event in events(run_dir, "warning"))
