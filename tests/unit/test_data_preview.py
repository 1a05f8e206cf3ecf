"""The look at a run's rows before it starts: a real process with a tiny tokenizer, and the client that asks it."""

import json
import os
import subprocess
import sys
from statistics import mean

import pytest
from transformers import AutoTokenizer

from studio.data import preview_client
from studio.data.preview_client import Preview, preview
from studio.data.render import render_rows
from studio.errors import DataError, ModelError
from studio.preset.files import dumps, override
from studio.preset.schema import Preset
from studio.settings import PROJECT_DIR
from studio.start import look_ahead
from tests.tiny_model import make_tiny_tokenizer

CHAT = [{"role": "user", "content": "the city"}, {"role": "assistant", "content": "of what"}]


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tiny_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def preset_for(folder, rows, tokenizer_dir, **assignments):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return override(Preset(), {"data.dataset_name": str(path), "model.model_name_or_path": str(tokenizer_dir),
                               **assignments})


def test_rows_to_learn_from_are_counted_and_measured_in_tokens(tmp_path, settings, tokenizer_dir):
    rows = [{"messages": [CHAT[0] | {"content": f"city {i}"}, CHAT[1]]} for i in range(25)]
    rows = [{"messages": CHAT}] * 15 + rows
    preset = preset_for(tmp_path, rows, tokenizer_dir)
    seen = preview(preset, settings)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    lengths = [row.length for row in render_rows(tokenizer, rows, preset)]
    assert seen == Preview(36, pytest.approx(mean(lengths)), max(lengths), [])


def test_late_columns_and_what_the_training_rows_give_away_are_told(tmp_path, settings, tokenizer_dir):
    long = "of what in the city and the country for two cups of flour and one onion chopped"
    rows = [{"prompt": f"city {i}", "completion": "of what"} for i in range(110)]
    rows += [{"prompt": "late", "completion": long, "rejected": "x"}]
    heldout = tmp_path / "held.jsonl"
    heldout.write_text("".join(json.dumps({"prompt": asked, "completion": said}) + "\n" for asked, said in [
        ("city 1", "of what"), ("City 2", "other"), ("late", long + " fine"), ("new", "of what")]))
    seen = preview(preset_for(tmp_path, rows, tokenizer_dir, **{
        "data.dataset_test_split": str(heldout), "training.max_length": 200}), settings)
    assert [problem.message for problem in seen.problems] == [
        "1 held-out row is a training row too, so the score will flatter (first: held.jsonl, line 1: training row 2).",
        "1 held-out row is nearly the same as a training row (first: held.jsonl, line 3: training row 111).",
        "1 held-out row asks a question that a training row asks (first: held.jsonl, line 2: training row 3).",
        '1 row has a column "rejected" that is not used (first: row 111): the shape is told from the rows before.']
    assert all(problem.level == "warning" and problem.hint for problem in seen.problems)


def test_what_is_wrong_is_told_with_level_and_field(tmp_path, settings, tokenizer_dir):
    rows = [{"messages": CHAT}, {"messages": CHAT[:1]},
            {"messages": [CHAT[0], {"role": "assistant", "content": "a " * 90}]},
            {"messages": [{"role": "user", "content": "a " * 90}, CHAT[1]]}]
    seen = preview(preset_for(tmp_path, rows, tokenizer_dir, **{"training.max_length": 60}), settings)
    assert [(problem.level, problem.field) for problem in seen.problems] == [
        ("error", "data.dataset_name"), ("warning", "training.max_length"), ("error", "data.bad_rows"),
        ("warning", "data.dataset_name")]
    unanswered, cut, unlearned, few = (problem.message for problem in seen.problems)
    assert unanswered == "1 of 4 rows has no assistant answer (first: row 2)."
    assert cut == "67 % of the rows are longer than 60 tokens and are cut."
    assert unlearned == "33 % of the rows have nothing left to learn."
    assert few == "There are only 3 rows."
    assert (seen.train_rows, seen.longest_tokens) == (2, 60)


def test_rows_with_nothing_to_learn_stop_the_run_unless_bad_rows_are_left_out(tmp_path, settings, tokenizer_dir):
    rows = [{"messages": CHAT}, {"messages": [{"role": "user", "content": "a " * 90}, CHAT[1]]}]

    def problem(rows, bad_rows):
        seen = preview(preset_for(tmp_path, rows, tokenizer_dir, **{
            "training.max_length": 60, "data.bad_rows": bad_rows}), settings)
        return next(problem for problem in seen.problems if "nothing left to learn" in problem.message)

    stopping, left_out = problem(rows, "stop"), problem(rows, "drop")
    assert (stopping.level, stopping.fix) == ("error", {"data.bad_rows": "drop"})
    assert (left_out.level, left_out.fix) == ("warning", {}) and "left out" in left_out.hint
    alone = problem(rows[1:], "drop")
    assert (alone.level, alone.fix) == ("error", {})


def test_rows_that_the_template_refuses_stop_the_run_unless_bad_rows_are_left_out(tmp_path, settings):
    tokenizer = make_tiny_tokenizer(tmp_path / "model")
    tokenizer.chat_template = ("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
                               + tokenizer.chat_template)
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    rows = [{"messages": CHAT}] * 11 + [{"messages": [{"role": "system", "content": "the"}, *CHAT]}]

    def problem(rows, bad_rows):
        seen = preview(preset_for(tmp_path, rows, tmp_path / "model", **{"data.bad_rows": bad_rows}), settings)
        return next(problem for problem in seen.problems if "refuses" in problem.message)

    stopping, left_out, alone = problem(rows, "stop"), problem(rows, "drop"), problem(rows[11:] * 12, "drop")
    assert stopping.message.startswith("1 of 12 rows cannot be used (first: row 12): the model's chat template refuses")
    assert (stopping.level, stopping.fix) == ("error", {"data.bad_rows": "drop"})
    assert (left_out.level, left_out.message, left_out.fix) == ("warning", stopping.message, {})
    assert left_out.hint.startswith("They are left out")
    assert (alone.level, alone.fix, alone.field) == ("error", {}, "model.model_name_or_path")


def test_shapes_that_cannot_be_trained_yet_are_refused_before_the_start(tmp_path, settings, tokenizer_dir):
    answers = [{"role": "assistant", "content": "of what"}, {"role": "assistant", "content": "the city"}]
    shapes = {
        "preference": {"prompt": CHAT[:1], "chosen": answers[:1], "rejected": answers[1:]},
        "unpaired_preference": {"prompt": "the city", "completion": "of what", "label": True},
        "prompt_only": {"prompt": "the city", "ground_truth": "of what"},
        "text_pair": {"sentence1": "the city", "sentence2": "of what"}}
    for format, row in shapes.items():
        seen = preview(preset_for(tmp_path, [row] * 12, tokenizer_dir, **{"data.test_size": 0}), settings)
        (problem,) = seen.problems
        assert (problem.level, problem.field) == ("error", "data.format")
        assert "cannot train on yet" in problem.message
        assert problem.fix == ({"data.format": "prompt_completion"} if format == "preference" else {})
    outlook = look_ahead(preset_for(tmp_path, [shapes["preference"]] * 12, tokenizer_dir), settings)
    refused = [finding for finding in outlook.findings if finding.field == "data.format"]
    assert [(finding.level, finding.fix) for finding in refused] == [("error", {"data.format": "prompt_completion"})]
    assert not outlook.may_start


def test_errors_of_the_process_are_raised_as_they_are(tmp_path, settings, tokenizer_dir):
    with pytest.raises(DataError, match="1 of 1 rows has no assistant answer") as caught:
        preview(preset_for(tmp_path, [{"messages": CHAT[:1]}], tokenizer_dir), settings)
    assert caught.value.field == "data.dataset_name"
    with pytest.raises(ModelError) as caught:
        preview(preset_for(tmp_path, [{"messages": CHAT}], tmp_path / "gone"), settings)
    assert caught.value.field == "model.model_name_or_path"


def test_a_model_without_a_template_cannot_read_chats(tmp_path, settings):
    make_tiny_tokenizer(tmp_path / "plain", chat_template=None)
    (tmp_path / "plain" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="no chat template"):
        preview(preset_for(tmp_path, [{"messages": CHAT}], tmp_path / "plain"), settings)


def test_the_same_question_is_answered_from_memory_until_the_file_changes(
        tmp_path, settings, tokenizer_dir, monkeypatch):
    asked, ask = [], preview_client.ask_worker
    monkeypatch.setattr(preview_client, "ask_worker", lambda *of, **more: asked.append(of) or ask(*of, **more))
    preset = preset_for(tmp_path, [{"messages": CHAT}] * 12, tokenizer_dir)
    first = preview(preset, settings)
    assert preview(preset, settings) == first
    assert preview(override(preset, {"name": "other", "training.learning_rate": 1e-5}), settings) == first
    assert len(asked) == 1, "no other process was started"
    assert preview(preset_for(tmp_path, [{"messages": CHAT}] * 23, tokenizer_dir), settings).train_rows > 12
    assert len(asked) == 2


def test_the_process_loads_no_torch_and_prints_nothing_but_its_answer(tmp_path, settings, tokenizer_dir):
    request = {"preset": dumps(override(Preset(), {"model.model_name_or_path": str(tokenizer_dir)})),
               "data_dir": str(settings.data_dir), "presets_dir": str(settings.presets_dir)}
    process = subprocess.run([sys.executable, "-X", "importtime", "-m", "studio.worker", "preview"], cwd=PROJECT_DIR,
                             input=json.dumps(request), capture_output=True, text=True, env=dict(os.environ))
    loaded = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines() if "import time:" in line}
    assert json.loads(process.stdout)["train_rows"] == 400
    assert "transformers" in loaded
    assert not loaded & {"torch", "datasets", "unsloth", "trl", "pyarrow"}


def test_asking_loads_no_tokenizer_library():
    code = ("import sys, studio.data.preview_client, studio.data.sources\n"
            "print(sorted({'torch', 'transformers', 'tokenizers', 'datasets', 'pyarrow'} & set(sys.modules)))")
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_document_counts_as_the_pieces_that_are_trained(tmp_path, settings, tokenizer_dir):
    book = tmp_path / "book.txt"
    book.write_text("".join(f"Paragraph {number} says this, and then that.\n\n" for number in range(400)))
    preset = override(Preset(), {"data.dataset_name": str(book), "model.model_name_or_path": str(tokenizer_dir),
                                 "training.max_length": 60})
    seen = preview(preset, settings)
    assert seen.train_rows > 100 and seen.longest_tokens <= 60
    assert seen.problems == [], "none is cut"
