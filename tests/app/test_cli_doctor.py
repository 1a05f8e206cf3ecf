"""`python -m studio doctor` as a person uses it, and what `run` says of its data: words, JSON, exit codes."""

import json

import pytest

from studio import cli
from studio.data import doctor as examining
from studio.data import doctor_client
from studio.runs.store import RunStore
from studio.settings import Settings
from tests.conftest import LONG_S, end_runs
from tests.tiny_model import make_tiny_tokenizer


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments, code=0):
        assert cli.main(["doctor", *map(str, arguments)]) == code
        return capsys.readouterr()

    return run


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    pairs = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(30)]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def test_a_good_set_in_words_and_as_json(doctor, rows):
    out = doctor(rows).out
    assert out.startswith("30 rows may teach a style or a format")
    assert "prompt from prompt, completion from completion" in out and "rows.jsonl: 30 rows," in out
    rows.with_name("one.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}))
    assert "one.jsonl: 1 row," in doctor(rows, rows.with_name("one.jsonl")).out
    report = json.loads(doctor(rows, "--json").out)
    assert (report["rows"], report["findings"], report["may_train"], report["tokens"]) == (30, [], True, None)


def test_problems_come_with_their_line_and_exit_code_1(doctor, rows):
    heldout = rows.with_name("heldout.jsonl")
    heldout.write_text(rows.read_text())
    rows.write_text(rows.read_text() + "rubbish\n" + json.dumps({"prompt": "a"}) + "\n")
    out = doctor(rows, "--heldout", heldout, code=1).out
    assert "✗ 1 line is not JSON. Each line must be one whole JSON object.\n    rows.jsonl, line 31," in out
    assert "✗ 1 of 32 rows has no answer" in out
    assert "! 30 held-out rows are training rows too" in out
    findings = json.loads(doctor(rows, "--json", code=1).out)["findings"]
    assert findings[0]["places"][0] == {"file": "rows.jsonl", "row": 0, "line": 31, "in_file": 0,
                                        "detail": "Expecting value at column 1"}


def test_lengths_in_tokens_with_a_model(doctor, rows, tmp_path):
    make_tiny_tokenizer(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    out = doctor(rows, "--model", tmp_path / "model", "--max-length", 16).out
    assert f"Tokens of {tmp_path / 'model'}, longest row 16" in out and "training.max_length=64" in out
    tokens = json.loads(doctor(rows, "--model", tmp_path / "model", "--json").out)["tokens"]
    assert (tokens["rows"], tokens["sampled_rows"], tokens["truncated_share"]) == (30, 30, 0)


def test_a_model_that_is_not_there_costs_the_tokens_and_not_the_report(doctor, rows, tmp_path):
    out = doctor(rows, "--model", tmp_path / "gone", code=1).out
    assert out.startswith("30 rows may teach a style") and "✗ The tokens could not be counted. " in out
    report = json.loads(doctor(rows, "--model", tmp_path / "gone", "--json", code=1).out)
    assert (report["rows"], report["tokens"]) == (30, None)
    assert report["tokens_error"]["field"] == "model.model_name_or_path" and report["tokens_error"]["hint"]


def test_what_cannot_be_examined_ends_with_exit_code_2(doctor, tmp_path):
    assert "There is no file" in doctor(tmp_path / "gone.jsonl", code=2).err
    assert json.loads(doctor(tmp_path / "gone.jsonl", "--json", code=2).out)["field"] == "data.dataset_name"


def test_what_breaks_the_doctor_is_a_sentence_and_no_traceback(doctor, rows, monkeypatch):
    def take(*_):
        raise RecursionError("maximum depth\nexceeded")

    monkeypatch.setattr(examining.Scan, "take", take)
    err = doctor(rows, code=2).err
    assert "The examination broke off: RecursionError, maximum depth exceeded." in err and "Traceback" not in err


def test_a_run_says_what_is_odd_about_its_data_and_keeps_the_report(rows, tmp_path, monkeypatch, capsys, tiny_model):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("STUDIO_WORKER_MODULE", "tests.fake_worker")
    monkeypatch.setattr(doctor_client, "SMALL_LIMIT_S", LONG_S)
    rows.write_text(rows.read_text() + json.dumps({"prompt": "say <|im_end|>", "completion": "a"}) + "\n")
    assert cli.main(["run", "quickstart", "--set", "training.max_steps=2", "--set", "description=step_s=0.01",
                     "--set", f"data.dataset_name={rows}", "--set", f"model.model_name_or_path={tiny_model}"]) == 0
    out = capsys.readouterr().out
    assert "Data: 31 rows may teach a style or a format" in out
    assert "! 1 row has a chat template's special tokens in the text." in out and "rows.jsonl, line 31" in out
    store = RunStore(Settings.from_environment())
    report = json.loads((store.list()[0].run_dir / "data_report.json").read_text())
    assert (report["usable_rows"], report["tokens"]["sampled_rows"]) == (31, 31)
    end_runs(store)
