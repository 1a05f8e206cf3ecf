"""The preset while it is edited: widget values, problems by field, and what the browser keeps."""

import pytest

from studio.errors import PresetError
from studio.preset import files
from studio.preset.flatten import flatten
from studio.preset.schema import Preset
from studio.ui.draft import Draft, folded, preset_from, problem_list, problems, widget_values


def values(**changed):
    return dict(zip(flatten(Preset()), widget_values(Preset()), strict=True)) | {
        name.replace("__", "."): value for name, value in changed.items()}


def test_widgets_hold_a_preset_without_loss():
    preset = files.override(Preset(), {"lora.target_modules": ["q_proj", "v_proj"], "training.learning_rate": 3e-5,
                                       "export.gguf": ["f16", "q4_k_m"]})
    widgets = dict(zip(flatten(preset), widget_values(preset), strict=True))
    assert widgets["lora.target_modules"] == "q_proj v_proj"
    assert widgets["export.gguf"] == ["f16", "q4_k_m"], "a list of choices is chosen from, not typed"
    assert preset_from(widgets) == preset


def test_numbers_that_a_browser_sends_as_floats_are_taken():
    assert preset_from(values(lora__r=8.0)).lora.r == 8


def test_problems_are_told_by_field_and_without_its_name():
    found = problems(values(lora__r=0, training__learning_rate=None, training__max_length=2.5))
    assert set(found) == {"lora.r", "training.learning_rate", "training.max_length"}
    assert found["lora.r"].startswith("Must be greater than or equal to 1")
    assert found["training.learning_rate"] == "Enter a value."
    assert not found["training.max_length"].startswith("training")
    assert problem_list(found)[0].startswith("LoRA rank: Must be")


def test_a_rule_over_several_fields_lands_on_one_that_has_a_widget():
    found = problems(values(publish__push_to_hub=True))
    assert list(found) == ["publish.hub_model_id"] and "repository" in found["publish.hub_model_id"]


def test_good_values_have_no_problems():
    assert problems(values()) == {}


def test_a_draft_survives_the_browser():
    draft = Draft(files.dumps(Preset()), "quickstart.yaml")
    assert Draft.read(draft.to_json()) == draft


@pytest.mark.parametrize(
    "stored", [None, "text", 3, [], {}, {"yaml": 3}, {"yaml": "lora: {rank: 1}"}, {"yaml": "", "x": 1}])
def test_what_is_no_draft_is_no_draft(stored):
    assert Draft.read(stored) is None


def test_an_unknown_value_is_refused():
    with pytest.raises(PresetError, match="dtype"):
        preset_from(values(model__dtype="int3"))


def test_what_is_wrong_in_a_fold_is_known():
    found = problems(values(lora__r=0, training__seed=-1))
    assert found.keys() == {"lora.r", "training.seed"} and folded(found).keys() == {"training.seed"}
