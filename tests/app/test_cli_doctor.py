"""`python -m studio doctor` as a person uses it: the report in words, as JSON, exit codes."""

import json

import pytest

from studio import cli
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
    assert "prompt from prompt, completion from completion" in out
    report = json.loads(doctor(rows, "--json").out)
    assert (report["rows"], report["findings"], report["may_train"], report["tokens"]) == (30, [], True, None)


def test_problems_come_with_their_line_and_exit_code_1(doctor, rows):
    heldout = rows.with_name("heldout.jsonl")
    heldout.write_text(rows.read_text())
    rows.write_text(rows.read_text() + "rubbish\n" + json.dumps({"prompt": "a"}) + "\n")
    out = doctor(rows, "--heldout", heldout, code=1).out
    assert "✗ 1 line is not JSON. Each line must be one whole JSON object.\n    rows.jsonl, line 31," in out
    assert "✗ 1 of 32 rows have no answer" in out
    assert "! 30 held-out rows are training rows too" in out
    findings = json.loads(doctor(rows, "--json", code=1).out)["findings"]
    assert findings[0]["places"][0] == {"file": "rows.jsonl", "row": 0, "line": 31,
                                        "detail": "Expecting value at column 1"}


def test_lengths_in_tokens_with_a_model(doctor, rows, tmp_path):
    make_tiny_tokenizer(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    out = doctor(rows, "--model", tmp_path / "model", "--max-length", 16).out
    assert f"Tokens of {tmp_path / 'model'}, longest row 16" in out and "training.max_length=64" in out
    tokens = json.loads(doctor(rows, "--model", tmp_path / "model", "--json").out)["tokens"]
    assert (tokens["rows"], tokens["sampled_rows"], tokens["truncated_share"]) == (30, 30, 0)


def test_what_cannot_be_examined_ends_with_exit_code_2(doctor, tmp_path):
    assert "There is no file" in doctor(tmp_path / "gone.jsonl", code=2).err
    assert json.loads(doctor(tmp_path / "gone.jsonl", "--json", code=2).out)["field"] == "data.dataset_name"
