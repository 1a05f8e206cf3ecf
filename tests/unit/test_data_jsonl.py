"""A run's own row files."""

from studio.data.jsonl import read_jsonl, write_jsonl


def test_texts_with_any_separator_survive(tmp_path):
    rows = [{"text": "a\u2028b\u0085c\r\nd\x1ee"}, {"text": "ž"}]
    path = tmp_path / "data" / "train.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows
    assert read_jsonl(tmp_path / "none.jsonl") == []
