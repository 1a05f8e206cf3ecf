"""Lengths in tokens over a whole set: a real process with a tiny tokenizer, and the sums behind the figures."""

import json
import random

import numpy
import pytest

from studio.data.doctor import examine
from studio.data.token_client import count_tokens
from studio.errors import ModelError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.terminal.doctor import print_report
from studio.ui.doctor_view import report_html
from studio.worker.tokens import count_rows, histogram, packed_bins, padded_tokens, suggested_length
from tests.tiny_model import make_tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tiny_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "studio")})


def chat(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


ROWS = [chat("the city", "of what")] * 30 + [chat("a " * 90, "b"), chat("the", "a " * 90), chat("<|endoftext|>", "b")]


def preset_for(folder, tokenizer_dir, rows=ROWS):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "rubbish\n")
    return path, override(Preset(), {"data.dataset_name": str(path), "model.model_name_or_path": str(tokenizer_dir),
                                     "training.max_length": 60})


def test_the_whole_set_is_counted_as_it_will_be_trained(tmp_path, settings, tokenizer_dir):
    path, preset = preset_for(tmp_path, tokenizer_dir)
    tokens = count_tokens([str(path)], preset, settings, len(ROWS))
    assert (tokens.rows, tokens.sampled_rows, tokens.mean_error) == (33, 33, 0)
    assert sum(tokens.histogram["counts"]) == 33 and tokens.histogram["edges"][-1] > tokens.longest > 100
    assert tokens.truncated_share == pytest.approx(2 / 33)
    assert tokens.tokens_per_epoch == round(tokens.mean * 33) and tokens.median < tokens.suggested_max_length
    assert 0 < tokens.trained_tokens_per_epoch < tokens.tokens_per_epoch
    assert 0 < tokens.padding_waste < 1 and 0 < tokens.packed_waste < 1
    found = {finding.name: [(place.line, place.row) for place in finding.places] for finding in tokens.findings}
    assert found == {"truncated": [(31, 31), (32, 32)], "all_labels_masked": [(31, 31)]}


def refusing(folder):
    """A model whose template takes no system message."""
    tokenizer = make_tiny_tokenizer(folder)
    tokenizer.chat_template = ("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
                               + tokenizer.chat_template)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.mark.parametrize(("bad_rows", "lost", "says"), [
    ("stop", 2, "but 3 more cannot be used as they are"), ("drop", 2, "3 more will be left out"),
    ("fix", 2, "3 more will be left out"), ("drop", 32, "No row can be used"), ("stop", 32, "No row can be used")])
def test_rows_that_the_template_refuses_are_not_usable(tmp_path, settings, bad_rows, lost, says):
    rows = [chat("the city", "of what") for _ in range(32)]
    for row in rows[-lost:]:
        row["messages"].insert(0, {"role": "system", "content": "the"})
    path, preset = preset_for(tmp_path, refusing(tmp_path / "model"), rows)
    preset = override(preset, {"data.bad_rows": bad_rows})
    report = examine(preset.data, settings)
    assert report.usable_rows == 32
    report.add_tokens(count_rows(preset, settings, [str(path)], 1), bad_rows)
    assert (report.rows, report.usable_rows, report.dropped_rows) == (33, 32 - lost, lost + 1)
    assert says in report.verdict and report.may_start == (bad_rows != "stop" and lost < 32)
    assert (report.tokens.rows, report.tokens.sampled_rows, report.tokens.mean_error) == (32 - lost, 32 - lost, 0)
    found = next(finding for finding in report.all_findings if finding.name == "template_refuses")
    assert (found.count, found.places[0].row) == (lost, 33 - lost)
    assert found.outcome == ("Left out, as data.bad_rows says." if report.may_start else "")
    print_report(report)
    shown = report_html(report.as_json(), preset, is_first=False)
    assert ("Not ready yet" in shown) != report.may_start and "Estimated" not in shown


def test_pairs_of_texts_have_nothing_to_learn_that_a_cut_could_take(tmp_path, settings, tokenizer_dir):
    path, preset = preset_for(tmp_path, tokenizer_dir, [{"sentence1": "the city", "sentence2": "of what"}] * 12)
    assert count_rows(preset, settings, [str(path)], 1).findings == []


def test_a_sample_says_how_sure_it_is(tmp_path, settings, tokenizer_dir, monkeypatch):
    path, preset = preset_for(tmp_path, tokenizer_dir)
    monkeypatch.setattr("studio.data.token_client.SAMPLED_ABOVE", 10)
    tokens = count_tokens([str(path)], preset, settings, len(ROWS))
    assert (tokens.rows, tokens.sampled_rows) == (33, 9)
    assert tokens.tokens_per_epoch == round(tokens.mean * 33)
    assert count_tokens([str(path)], preset, settings, len(ROWS), exact=True).sampled_rows == 33


def test_findings_in_a_sample_are_told_as_estimates_of_the_whole(tmp_path, settings, tokenizer_dir):
    rows = [chat("the", "a " * 90), *[chat("the city", "of what")] * 32]
    path, preset = preset_for(tmp_path, tokenizer_dir, rows)
    (cut,) = count_rows(preset, settings, [str(path)], 4).findings
    assert (cut.count, len(cut.places)) == (4, 1)  # one of nine, and there are 33
    assert cut.message == ("About 4 rows are longer than the set length and lose their ends. That is estimated from 9"
                           " rows: count every row for the exact number.")
    (cut,) = count_rows(preset, settings, [str(path)], 1).findings
    assert (cut.count, cut.message.startswith("1 row is")) == (1, True)


def test_the_stated_error_covers_the_whole_set(tmp_path, settings, tokenizer_dir, monkeypatch):
    rng = random.Random(1)
    rows = [chat("the city " * rng.randint(1, 5), "of what") for _ in range(400)]
    path, preset = preset_for(tmp_path, tokenizer_dir, rows)
    exact = count_tokens([str(path)], preset, settings, 400)
    monkeypatch.setattr("studio.data.token_client.SAMPLED_ABOVE", 100)
    sampled = count_tokens([str(path)], preset, settings, 400)
    assert 0 < sampled.mean_error < 2
    assert abs(sampled.mean - exact.mean) <= 2 * sampled.mean_error


def test_special_tokens_of_the_model_itself_are_found_in_texts(tmp_path, settings):
    tokenizer = make_tiny_tokenizer(tmp_path / "own")
    tokenizer.add_special_tokens({"cls_token": "[FIRST]"})
    tokenizer.save_pretrained(tmp_path / "own")
    (tmp_path / "own" / "config.json").write_text('{"model_type": "llama"}')
    rows = [chat("the city", "of what"), chat("a [FIRST] city", "what")]
    path, preset = preset_for(tmp_path, tmp_path / "own", rows)
    findings = count_tokens([str(path)], preset, settings, 2).findings
    assert [(finding.name, finding.places[0].line) for finding in findings] == [("own_special_token", 2)]


def test_an_unknown_model_is_its_own_error(tmp_path, settings):
    path, preset = preset_for(tmp_path, tmp_path / "gone")
    with pytest.raises(ModelError):
        count_tokens([str(path)], preset, settings, len(ROWS))


@pytest.mark.parametrize(("lengths", "room", "bins"), [
    ([10], 10, 1), ([5, 5, 5], 10, 2), ([6, 4, 6, 4], 10, 2), ([7, 2, 2, 2, 7, 3], 10, 3), ([1] * 25, 10, 3),
    ([10] * 4, 10, 4), ([4, 4, 4, 3, 3, 2], 10, 2)])
def test_rows_are_packed_where_they_fit_best(lengths, room, bins):
    assert packed_bins(numpy.array(lengths), room) == bins


def test_packing_is_as_good_as_row_by_row():
    rng = random.Random(2)
    lengths = [rng.randint(1, 100) for _ in range(3000)]
    room, left = 100, []
    for length in sorted(lengths, reverse=True):
        fitting = [(space, i) for i, space in enumerate(left) if space >= length]
        if fitting:
            left[min(fitting)[1]] -= length
        else:
            left.append(room - length)
    assert packed_bins(numpy.array(lengths), room) == len(left)


def test_many_rows_are_counted_on_all_cores_with_the_same_result(tmp_path, settings, tokenizer_dir, monkeypatch):
    path, preset = preset_for(tmp_path, tokenizer_dir)
    here = count_rows(preset, settings, [str(path)], 1)
    monkeypatch.setattr("studio.worker.tokens.CHUNK_ROWS", 8)
    monkeypatch.setattr("studio.worker.tokens.CHUNKS_HERE", 1)
    assert count_rows(preset, settings, [str(path)], 1) == here
    assert {finding.name for finding in here.findings} == {"truncated", "all_labels_masked"}


def test_padding_counts_the_widest_of_each_batch():
    assert padded_tokens(numpy.array([3, 3, 3]), 2, 1) == 9
    assert padded_tokens(numpy.array([1, 9]), 2, 1) == 18
    assert padded_tokens(numpy.array([1, 9]), 1, 1) == 10


def test_the_suggested_length_holds_nearly_all_rows():
    assert suggested_length(numpy.array([100] * 99 + [5000])) == 5056
    assert suggested_length(numpy.array([100] * 999 + [5000])) == 128
    assert suggested_length(numpy.array([100] * 999 + [120])) == 128
    assert histogram(numpy.array([0, 5, 39])) == {
        "edges": list(range(0, 42, 2)), "counts": [1, 0, 1, *[0] * 16, 1]}


@pytest.mark.parametrize("sampled_above", [200_000, 10])
def test_long_texts_are_counted_in_their_pieces(tmp_path, settings, tokenizer_dir, monkeypatch, sampled_above):
    monkeypatch.setattr("studio.data.token_client.SAMPLED_ABOVE", sampled_above)
    path, preset = preset_for(tmp_path, tokenizer_dir, [{"text": "the city of the country " * 40}] * 30)
    tokens = count_tokens([str(path)], preset, settings, 30)
    assert tokens.truncated_share == 0 and tokens.longest <= 60 and not tokens.findings
    assert tokens.rows > 60 and tokens.rows % 30 == 0
    assert (tokens.sampled_rows < tokens.rows) == (sampled_above == 10)
    assert tokens.tokens_per_epoch == pytest.approx(tokens.mean * tokens.rows, rel=0.01)
