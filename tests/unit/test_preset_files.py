"""Presets as YAML: exact round trips, and one helpful sentence for whatever is wrong with a file."""

import pytest

from studio.errors import PresetError
from studio.preset import files
from studio.preset.flatten import flatten, leaves, nest
from studio.preset.schema import Preset
from studio.settings import Settings


def changed(**fields):
    return files.override(Preset(), {name.replace("__", "."): value for name, value in fields.items()})


@pytest.mark.parametrize("preset", [
    Preset(),
    changed(name="ünïcode: # [x]", description="yes"),
    changed(data__system_prompt="line one\n\n  line two\ttab: 'quoted' \"d\"\n"),
    changed(name="1e-4", description="null", model__model_name_or_path="~", data__text_column="- a"),
    changed(training__learning_rate=1e-4, training__max_steps=7, lora__target_modules=["q_proj", "v_proj"],
            lora__modules_to_save=["lm_head"], training__num_train_epochs=0.5),
    changed(description="\u2028\u0085\x07 control"),
])
def test_saving_and_loading_gives_the_same_preset(preset, tmp_path):
    for comments in (True, False):
        assert files.loads(files.dumps(preset, comments)) == preset
    files.save(preset, tmp_path / "p.yaml")
    assert files.load(tmp_path / "p.yaml") == preset


def test_every_field_is_written_with_its_help():
    text = files.dumps(Preset())
    for name, field in leaves():
        assert f"{name.rsplit('.', 1)[-1]}: " in text
        assert field.title in text


def test_flatten_and_nest_are_inverse():
    assert Preset.model_validate(nest(flatten(changed(lora__r=4)))) == changed(lora__r=4)


@pytest.mark.parametrize("written", ["1e-4", "1E-4", "0.0001", "1.0e-4", '"1e-4"'])
def test_a_learning_rate_may_be_written_in_any_way(written):
    assert files.loads(f"training:\n  learning_rate: {written}\n").training.learning_rate == 1e-4


@pytest.mark.parametrize(("text", "expected"), [
    ("training:\n  learnin_rate: 1e-4", 'Line 2: "training.learnin_rate" is not a preset field. '
                                        'Did you mean "training.learning_rate"?'),
    ("r: 8", 'Line 1: "r" is not a preset field. Did you mean "lora.r"?'),
    ("\n\nlora:\n  r: many", "Line 4: lora.r must be a valid integer"),
    ("lora: {r: 0}", "Line 1: lora.r must be greater than or equal to 1"),
    ("method: {name: magic}", "Line 1: method.name must be 'sft'"),
    ("training: {learning_rate: .nan}", "Line 1: training.learning_rate must be an ordinary number"),
    ("model: 3", "Line 1: model must be a section with fields such as model.model_name_or_path; it is '3'. "
                 'Write "model:" alone on a line, and "model_name_or_path: ..." indented below it.'),
    ("name: 2024-01-01", "Line 1: name must be a text; it is '2024-01-01'. Put it in quotes."),
    ("model: {model_revision: 1234567}", "it is '1234567'. Put it in quotes."),
    ("description:", "description must be a text; it is empty. Write a text, or remove the line."),
    ("version: 2", "reads presets of version 1; it is '2'. It was made by a newer studio: update this one."),
    ("version: 0", "reads presets of version 1; it is '0'. Write version: 1."),
    ("training: {seed: true}", "must be a valid integer; it is 'true'. Write a whole number such as 3407."),
    ("training: {learning_rate: false}", "must be a valid number; it is 'false'. Write a number such as 0.0002."),
    ("version: true", "it is 'true'. Write version: 1."),
    ("lora: {target_modules: []}", "must have at least 1 item, not 0; it is '[]'. Write a list such as [q_proj,"),
    ("model: {load_in_4bit: perhaps}", "Write true or false."),
    ("name: ''", "name must have at least 1 character; it is ''. Write a text such as \"my-run\"."),
    ("data: {7: x}", '"data.7" is not a preset field.'),
    ("a: [", "not readable YAML at line 1"),
    ("name: x\nname: y", "Line 2 sets name a second time"),
    ("x: &a 1\ny: *a", "Line 2 refers to another line"),
    ("name: !!python/object:os.system x", "not readable YAML at line 1"),
    ("[" * 5000, "too deeply nested"),
    ("- 1", "holds no fields"),
    ("", "holds no fields"),
    ("publish: {push_to_hub: true}", "publishing at the end needs a repository"),
])
def test_a_broken_preset_is_explained(text, expected):
    with pytest.raises(PresetError) as caught:
        files.loads(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", [None, True, 7, -1e300, "", "x" * 20_000, [[]], {"a": 1}])
def test_every_refused_value_has_a_cause_and_a_next_step(value):
    unguided = set()
    for name, _ in leaves():
        try:
            files.validate(nest({name: value}))
        except PresetError as error:
            assert all(problem.message.endswith(".") and "nput s" not in problem.message for problem in error.problems)
            unguided |= {problem.field for problem in error.problems if not problem.hint}
    # these say in one sentence of their own what to write
    assert unguided <= {"evaluation.endpoint_url", "evaluation.judge_url", "evaluation.checks", "publish.hub_revision",
                        "publish.hub_tag", "publish.hub_model_id"}


@pytest.mark.parametrize("written", ["no", '"no"'])
def test_no_is_a_word_and_switches_stay_switches(written):
    preset = files.loads(
        f"evaluation: {{eval_strategy: {written}}}\nmodel: {{load_in_4bit: yes}}\ntraining: {{packing: off}}")
    assert preset.evaluation.eval_strategy == "no"
    assert preset.model.load_in_4bit is True and preset.training.packing is False
    assert files.loads(files.dumps(preset)) == preset


def test_each_wrong_field_is_a_problem_of_its_own():
    with pytest.raises(PresetError) as caught:
        files.loads("lora: {r: 0}\ntraining: {seed: x, maxlength: 3}")
    assert [problem.field for problem in caught.value.problems] == ["lora.r", "training.seed", "training.maxlength"]


@pytest.mark.parametrize(("content", "expected"), [
    (b"\xff\xfe\x00", "not UTF-8"), (b"#" * (files.MAX_PRESET_BYTES + 1), "larger than a preset"),
])
def test_a_hostile_file_is_refused(tmp_path, content, expected):
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    with pytest.raises(PresetError, match=expected):
        files.load(path)
    with pytest.raises(PresetError, match="There is no file"):
        files.load(tmp_path / "missing.yaml")


def test_what_is_wrong_in_a_file_names_the_file_and_hides_none_of_the_others(tmp_path):
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)})
    (settings.user_presets_dir / "mine.yaml").write_text("lora: {r: 0}\ntraining: {seed: x}")
    readable, (error,) = files.list_readable(settings)
    assert {path.stem for path in readable} >= {"quickstart", "domain-text"}
    assert error.message.startswith("mine.yaml: Line 1: lora.r must be")
    assert [problem.field for problem in error.problems] == ["lora.r", "training.seed"]


def test_override_names_the_nearest_field():
    with pytest.raises(PresetError, match=r'"lora.rank" is not a preset field'):
        files.override(Preset(), {"lora.rank": 8})
    assert changed(lora__target_modules="q_proj v_proj").lora.target_modules == ["q_proj", "v_proj"]


def test_diff_lists_what_differs_in_schema_order():
    after = changed(training__seed=1, lora__r=8)
    assert files.diff(Preset(), after) == [
        files.Difference("lora.r", 16, 8), files.Difference("training.seed", 3407, 1)]


def test_every_leaf_has_title_help_and_level():
    for name, field in leaves():
        assert field.title and field.description and field.description.endswith("."), name
        assert field.json_schema_extra["level"] in ("basic", "expert"), name


@pytest.mark.parametrize("address", ["http://a\x00b/v1", "http://h/\x01", "http://xn--/v1", f"http://h/{'x' * 70_000}"])
def test_an_address_that_no_request_can_be_sent_to_is_refused(address):
    with pytest.raises(PresetError, match="an endpoint has an address"):
        files.override(Preset(), {"evaluation.endpoint_url": address})
