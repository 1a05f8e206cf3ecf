"""The bundled data set is what its generator writes, follows its own rules, and keeps its two parts apart."""

import json
import re
import runpy

import pytest

from studio.settings import PROJECT_DIR

FOLDER = PROJECT_DIR / "presets" / "data" / "recipes"
UNITS = {"g", "kg", "ml", "l", "tsp", "tbsp", "cup", "oz", "lb", "pinch", "handful", "bunch", "sprig", "clove", "slice",
         "can", "jar", None}
# words that say a state or colour and name no ingredient
DESCRIBING = {"fresh", "dried", "dry", "dark", "white", "red", "black", "green", "brown", "smoked", "raw", "ripe"}


def rows(name):
    return [json.loads(line)["messages"] for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


TRAIN, HELDOUT = rows("train.jsonl"), rows("heldout.jsonl")


def names(chats):
    return {json.loads(chat[2]["content"])["name"] for chat in chats}


def test_the_files_are_what_the_generator_writes():
    for name, text in runpy.run_path(str(FOLDER / "generate.py"))["build"]().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def test_sizes_and_roles():
    assert (len(TRAIN), len(HELDOUT)) == (400, 80)
    for chat in TRAIN + HELDOUT:
        assert [message["role"] for message in chat] == ["system", "user", "assistant"]
    lines = [chat[1]["content"] for chat in TRAIN + HELDOUT]
    assert len(set(lines)) == len(lines)


def test_every_answer_follows_the_rules():
    for _, user, assistant in TRAIN + HELDOUT:
        line, answer = user["content"].lower(), json.loads(assistant["content"])
        assert list(answer) == ["quantity", "unit", "name", "preparation"]
        assert answer["quantity"] is None or answer["quantity"] > 0
        assert answer["unit"] in UNITS
        assert answer["quantity"] is not None or answer["unit"] is None
        for part in (answer["name"], answer["preparation"]):
            assert part is None or (part == part.lower() and part in line), line


def test_heldout_rows_share_no_ingredient_with_training_rows():
    assert not names(TRAIN) & names(HELDOUT)
    trained = " | ".join(chat[1]["content"].lower() for chat in TRAIN)
    for name in names(HELDOUT):
        assert name not in trained, name
        for word in set(re.findall(r"\w+", name)) - DESCRIBING:
            assert not re.search(rf"\b{word}\b", trained), f"{word} of {name}"


@pytest.mark.parametrize("form", [
    r"½|¼|¾", r"\d/\d", r"\d-\d", r"\d to \d", r"\bhalf a", r"^(an?|one|two|three)\b", r"to taste", r"\(.+\)",
    r"pinch of", r"heaped", r"\dg\b", r"tablespoon", r"Tbsp", r"^some ", r"about|approx", r" - ", r": \d"])
def test_the_ways_to_write_a_line_are_all_there(form):
    assert sum(bool(re.search(form, chat[1]["content"], re.IGNORECASE)) for chat in TRAIN) >= 3
