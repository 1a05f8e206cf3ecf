"""Cards of the gallery, and that nothing in a preset file becomes markup."""

from dataclasses import replace

import pytest

from studio.errors import PresetError
from studio.preset import files
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.ui.gallery import cards_html, find_card, list_cards


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "shipped").mkdir()
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})
    return replace(settings, presets_dir=tmp_path / "shipped")


def write(settings, name, header, **fields):
    preset = files.override(Preset(), {key.replace("__", "."): value for key, value in fields.items()})
    (settings.presets_dir / name).write_text(f"{header}\n{files.dumps(preset)}")


def test_a_card_takes_its_words_from_the_header(settings):
    write(settings, "one.yaml", "# Answer in my style: a chat assistant\n#\n# Needs: a GPU with 6 GB\n"
          "#   or more; 2 GB of disk.\n# Takes: long\n")
    card, = list_cards(settings)
    assert (card.id, card.title, card.sentence) == ("one.yaml", "Answer in my style", "A chat assistant.")
    assert card.needs == "A GPU with 6 GB or more"


def test_a_preset_without_header_shows_its_own_name_and_purpose(settings):
    files.save(files.override(Preset(), {"name": "my-own", "description": "Sorts mail."}),
               settings.user_presets_dir / "own.yaml")
    card, = list_cards(settings)
    assert (card.title, card.sentence, card.needs) == ("My own", "Sorts mail.", "")


def test_presets_that_need_no_gpu_come_first_and_broken_ones_are_told(settings):
    write(settings, "a.yaml", "# A: a\n", model__load_in_4bit=True)
    write(settings, "b.yaml", "# B: b\n")
    (settings.presets_dir / "c.yaml").write_text("lora: [")
    (settings.user_presets_dir / "<b>.yaml").write_text("\nlora: {rank: 8}")
    cards = list_cards(settings)
    assert [card.id for card in cards] == ["b.yaml", "a.yaml"]
    page = cards_html(cards)
    assert "c.yaml: The preset is not readable YAML at line 1" in page and "Mend that line." in page
    assert "&lt;b&gt;.yaml: Line 2: &quot;lora.rank&quot; is not a preset field." in page and "<b>" not in page


def test_a_card_of_a_model_whose_folder_is_broken_leaves_the_others_in_place(settings, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{")
    write(settings, "a.yaml", "# A: a\n", model__model_name_or_path=str(tmp_path / "model"))
    card, = list_cards(settings)
    assert (card.fit, card.here) == ("", "")


def test_a_card_that_is_not_listed_is_not_opened(settings):
    write(settings, "a.yaml", "# A: a\n")
    assert find_card(settings, "a.yaml").preset == Preset()
    for name in ("../a.yaml", "b.yaml", ""):
        with pytest.raises(PresetError, match="no preset"):
            find_card(settings, name)


def test_texts_of_a_preset_are_escaped(settings):
    write(settings, "a.yaml", "# <b>Bold</b>: <img src=x>\n", model__model_name_or_path='"><script>')
    page = cards_html(list_cards(settings), "a.yaml")
    assert "<img" not in page and "<b>" not in page and "<script>" not in page
    assert page.count(" checked") == 1


def test_the_presets_that_come_with_the_studio_have_whole_cards(tmp_path):
    shipped = list_cards(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))
    assert len(shipped) >= 4 and shipped[0].id == "quickstart.yaml"
    assert all(card.needs and card.sentence and not card.preset.model.load_in_4bit for card in shipped[:1])
