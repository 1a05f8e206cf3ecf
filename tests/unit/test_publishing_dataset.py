"""The data card: what is known of exported rows, and plainly what is not."""

from pathlib import Path
from typing import get_args

import pytest
import yaml
from huggingface_hub import DatasetCard

from studio.data.export import Exported
from studio.preset.schema import DataSection, Preset
from studio.publishing import dataset
from studio.publishing.dataset import COLUMNS, card
from studio.publishing.licences import Licence
from studio.settings import PROJECT_DIR


def exported(**changes) -> Exported:
    fields = {"folder": Path("out"), "source": "rows.jsonl", "format": "messages", "train_rows": 1800,
              "heldout_rows": 200, "left_out": "3 empty content", "changed": "", "languages": {"de": 150, "en": 60,
                                                                                            "und": 20, "fr": 3}}
    return Exported(**fields | changes)


def head(text: str) -> dict:
    return yaml.safe_load(text.split("---")[1])


def test_the_head_names_licence_splits_size_and_languages():
    assert head(card(exported(), Preset(), "ana/rows")) == {
        "license": "unknown", "language": ["de", "en"], "task_categories": ["text-generation"],
        "size_categories": "1K<n<10K", "tags": ["fine-tune-studio"],
        "configs": [{"config_name": "default", "data_files": [
            {"split": "train", "path": "train.jsonl"}, {"split": "test", "path": "heldout.jsonl"}]}]}


def test_the_body_says_what_was_done_and_what_nobody_knows():
    text = card(exported(), Preset(data={"mask": "all"}), "ana/rows")
    assert DatasetCard(text).content
    for said in ("1,800 rows", "200 rows that were held back", "from rows.jsonl", "Left out: 3 empty content.",
                 "No row was changed.", "nobody has said under which licence", "e-mail address",
                 "de 150, en 60, unknown 20, fr 3", 'load_dataset("ana/rows", split="train")'):
        assert said in text
    assert "were not looked for" in card(exported(), Preset(), "ana/rows")


def test_a_licence_that_the_source_states_is_named():
    text = card(exported(), Preset(), "ana/rows", Licence("other", "rows-1.0", "https://example.org/rows"))
    assert {name: value for name, value in head(text).items() if name.startswith("license")} == {
        "license": "other", "license_name": "rows-1.0", "license_link": "https://example.org/rows"}
    assert "source states other (rows-1.0, https://example.org/rows)" in text and "nobody has said" not in text


def test_every_bundled_data_set_has_the_licence_that_its_card_names():
    licences = list((PROJECT_DIR / "presets" / "data").glob("*/LICENSE"))
    assert licences and all("CC0 1.0" in path.read_text() for path in licences)
    assert dataset.BUNDLED_LICENCE.id == "cc0-1.0"


def test_without_held_out_rows_there_is_no_test_split():
    text = card(exported(heldout_rows=0), Preset(), "ana/rows")
    assert [part["split"] for part in head(text)["configs"][0]["data_files"]] == ["train"]
    assert "No rows are held back." in text


def test_where_no_language_is_sure_none_is_named():
    assert "language" not in head(card(exported(languages={"und": 9}), Preset(), "ana/rows"))


def test_the_same_rows_give_the_same_card():
    assert card(exported(), Preset(), "ana/rows") == card(exported(), Preset(), "ana/rows")


@pytest.mark.parametrize(("rows", "size"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**9, "n>100M")])
def test_size_categories(rows, size):
    text = card(exported(train_rows=rows, heldout_rows=0), Preset(), "ana/rows")
    assert head(text)["size_categories"] == size


def test_every_shape_has_its_columns_described():
    shapes = set(get_args(DataSection.model_fields["format"].annotation)) - {"auto"}
    assert set(COLUMNS) == shapes
    assert set(dataset.TASKS) <= shapes
