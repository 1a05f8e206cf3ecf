"""Long texts in pieces that fit a model's row: nothing lost, paragraphs first, overlap as asked."""

import random
from itertools import pairwise

import pytest
from transformers import AutoTokenizer

from studio.data.chunks import cut_documents, cut_rows, spans
from studio.data.prepare import prepare
from studio.data.render import render_rows
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings
from tests.tiny_model import make_tiny_tokenizer

SENTENCES = ["The baker rose at four.", "She lit the oven, and the street smelled of bread.", "Nobody was awake yet.",
             "“Is it Monday?” she asked the cat.", "Größe, naïveté and 42 % of 😀 are no trouble."]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tiny_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def book(paragraphs: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return "\n\n".join(" ".join(rng.choices(SENTENCES, k=rng.randint(1, 6))) for _ in range(paragraphs))


def preset(**data) -> Preset:
    return Preset(data=data, training={"max_length": 64})


def rejoined(text: str, found: list[tuple[int, int]]) -> str:
    """The pieces without what each repeats of the one before."""
    out, at = "", 0
    for start, end in found:
        assert start <= at < end, "no gap, and every piece brings something new"
        out, at = out + text[at:end], end
    return out


@pytest.mark.parametrize("overlap", [0, 5, 16, 31])
@pytest.mark.parametrize("room", [32, 62, 500])
@pytest.mark.parametrize("text", [
    book(40), book(3, 1), "word " * 900, "nospace" * 300, "\n" * 900, "😀" * 400, "字。" * 300, "a\u0301" * 400, "x",
    ""])
def test_the_pieces_less_their_overlaps_are_the_text_and_each_fits(tokenizer, text, room, overlap):
    if overlap * 2 > room:
        return
    found = spans(tokenizer, text, room, overlap)
    assert rejoined(text, found) == text if text else found == [(0, 0)]
    for start, end in found:
        assert len(tokenizer(text[start:end], add_special_tokens=False)["input_ids"]) <= room


def test_pieces_end_where_paragraphs_or_sentences_do(tokenizer):
    text = book(60)
    found = spans(tokenizer, text, 200, 0)
    assert len(found) > 10
    for start, end in found[:-1]:
        has_border = "\n\n" in text[(start + end) // 2:end]
        assert text[start:end].endswith("\n\n") or (not has_border and text[:end].rstrip().endswith((".", "?”")))
    long_paragraph = " ".join(SENTENCES * 40)
    pieces = [long_paragraph[start:end] for start, end in spans(tokenizer, long_paragraph, 200, 0)]
    assert all(piece.rstrip().endswith((".", "?”")) for piece in pieces)


def test_an_overlap_repeats_about_as_much_as_asked_from_the_start_of_a_word(tokenizer):
    text = book(60)
    found = spans(tokenizer, text, 200, 40)
    for (_, end), (start, _) in pairwise(found):
        repeated = text[start:end]
        assert 10 <= len(tokenizer(repeated, add_special_tokens=False)["input_ids"]) <= 44
        assert text[start - 1].isspace()


def test_pieces_are_about_equally_long(tokenizer):
    lengths = [end - start for start, end in spans(tokenizer, book(80), 200, 0)]
    assert min(lengths) > max(lengths) / 3


def test_rendered_pieces_are_whole_and_what_is_cut_by_nobody(tokenizer):
    text = book(30)
    pieces, indices = cut_rows(tokenizer, [{"text": "short"}, {"text": text}], preset())
    assert indices == [0] + [1] * (len(pieces) - 1)
    assert "".join(piece["text"] for piece in pieces[1:]) == text
    rendered = render_rows(tokenizer, pieces, preset())
    assert not any(row.truncated for row in rendered)
    assert max(row.length for row in rendered) <= 64


def test_a_smaller_piece_can_be_asked_for_and_no_larger_one_than_the_longest_row(tokenizer):
    rows = [{"text": book(30)}]
    by_default = len(cut_rows(tokenizer, rows, preset())[0])
    assert len(cut_rows(tokenizer, rows, preset(chunk_tokens=32))[0]) > by_default
    assert len(cut_rows(tokenizer, rows, preset(chunk_tokens=4096))[0]) == by_default


def test_an_overlap_of_more_than_half_is_refused(tokenizer):
    with pytest.raises(DataError, match="Pieces of 64 tokens cannot overlap by 40") as caught:
        cut_rows(tokenizer, [{"text": "x"}], preset(chunk_overlap=40))
    assert caught.value.field == "data.chunk_overlap"


def test_chats_and_labelled_texts_stay_whole(tokenizer):
    rows = [{"text": book(30), "label": "a"}, {"prompt": book(30), "completion": "x"}]
    assert cut_rows(tokenizer, rows, preset()) == (rows, [0, 1])


def test_both_sides_of_a_document_are_cut_under_their_rows_numbers_and_share_no_text(tokenizer, tmp_path):
    path = tmp_path / "book.txt"
    text = "".join(f"Paragraph {number} says this. And that.\n\n" for number in range(2000))
    path.write_text(text)
    asked = preset(dataset_name=str(path), test_size=0.2, chunk_overlap=8)
    prepared = prepare(asked, Settings(data_dir=tmp_path))
    parts = len(prepared.train)
    cut_documents(prepared, tokenizer, asked)
    assert len(prepared.train) == len(prepared.train_numbers) > 10 * parts
    assert not set(prepared.train_numbers) & set(prepared.heldout_numbers)
    said = {side: {line for row in rows for line in row["text"].split("\n\n")[1:-1]}
            for side, rows in (("train", prepared.train), ("heldout", prepared.heldout))}
    assert not said["train"] & said["heldout"]
    assert len(said["train"] | said["heldout"]) > 1000
