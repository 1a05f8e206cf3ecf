"""The model card: what it says, what it leaves out, and that a person's words are kept."""

import pytest
import yaml
from PIL import Image

from studio.data.jsonl import write_jsonl
from studio.errors import PresetError, RunError
from studio.evaluation.costs import price_report
from studio.preset.files import validate
from studio.preset.flatten import PATHS
from studio.preset.schema import PublishSection
from studio.publishing import card, licences
from studio.publishing.card_doubts import doubts
from studio.publishing.licences import NONE, Licence
from studio.publishing.loss_curve import draw_loss_curve
from studio.publishing.names import public_names
from studio.publishing.request import Target, forget_request, last_request, read_request, targets, write_request
from studio.runs.events import EventWriter
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.ui import publish_view
from tests.finished_run import finished_run, report_with_ways

REQUEST = Target("ana/recipes", ("merged",))
APACHE = Licence("apache-2.0")
OWN = Licence("other", "llama3", "https://example.org/LICENSE")


@pytest.fixture
def store(tmp_path):
    return RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))


@pytest.fixture
def run_dir(store):
    return store.run_dir(finished_run(store))


def head(text: str) -> dict:
    return yaml.safe_load(text.split("---")[1])


def test_the_head_names_base_relation_licence_and_figures(run_dir):
    said = head(card.current(run_dir, REQUEST, APACHE))
    assert said["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert said["base_model_relation"] == "finetune"
    assert said["license"] == "apache-2.0"
    assert said["pipeline_tag"] == "text-generation"
    result = said["model-index"][0]["results"][0]
    assert {"type": "json_match", "value": 0.8875, "name": "JSON equal"} in result["metrics"]


def test_the_card_sets_the_ways_side_by_side_and_gives_the_verdict(store):
    text = card.current(store.run_dir(finished_run(store, report=report_with_ways())), REQUEST)
    assert "**Worth it: the tuned model" in text
    assert "| Base model, examples in the prompt | 6 % (1 % to 12 %) | +81 points | 180 | 10 | 0.9 s |" in text
    assert "| Tuned model | 88 % (80 % to 94 %) |  | 40 | 10 | 0.3 s |" in text


def test_the_card_tells_what_was_left_out_and_what_the_training_took(store):
    report = report_with_ways() | {"notes": ["3 of 83 rows are left out of the comparison: they ask nothing."]}
    run_dir = store.run_dir(finished_run(store, report=report))
    journal = EventWriter(run_dir)
    journal.done("train", {"train_seconds": 60.0, "train_wh": 12.5, "train_wh_of": "gpu+cpu", "seconds": 61.0})
    journal.close()
    text = card.current(run_dir, REQUEST)
    assert "- 3 of 83 rows are left out of the comparison: they ask nothing." in text
    assert "| Energy | 12.5 Wh (GPU and processor) |" in text and "in 1 min" in text


def test_rows_from_elsewhere_are_not_called_held_out(store):
    report = report_with_ways() | {"data": "other.jsonl"}
    text = card.current(store.run_dir(finished_run(store, report=report)), REQUEST)
    assert text.count("80 rows of other.jsonl") == 3 and "model-index" not in head(text)
    results = text.split("## Results")[1].split("## Training")[0] + text.split("## Limits")[1].split("## Preset")[0]
    assert not any(claim in results for claim in ("held-out", "never saw", "same source"))


def test_the_card_names_only_the_ways_that_were_tried(store):
    report = report_with_ways()
    all_ways = card.current(store.run_dir(finished_run(store, report=report)), REQUEST)
    assert "rows alone, with training rows as examples in its prompt and with the nearest training rows" in all_ways
    assert "80 held-out rows, which the training never saw" in all_ways and "same source" in all_ways
    del report["ways"]["few_shot"], report["ways"]["retrieval"]
    text = card.current(store.run_dir(finished_run(store, report=report | {"verdict": report["verdict"] | {
        "rival": "base"}})), REQUEST)
    assert "The base model got the same rows alone. Seconds" in text and "BM25" not in text


def test_the_card_tells_the_use_case_and_no_prices(store):
    preset = validate({"plan": {"use_case": "Shopping lists\nfrom recipes", "requests_per_month": 12345,
                                "machine_price_per_hour": 6.78, "price_per_million_input_tokens": 9.87}})
    report = report_with_ways()
    report |= price_report(report, preset.plan, None, None)
    text = card.current(store.run_dir(finished_run(store, report=report, preset=preset)), REQUEST)
    assert "- Use case: Shopping lists from recipes" in text and "What got worse" in text
    for number in ("12345", "12,345", "6.78", "9.87"):
        assert number not in text


def test_a_persons_own_check_cannot_end_its_cell(store):
    report = report_with_ways()
    report["metrics"]["check.a|b"] = report["metrics"]["json_match"]
    assert "| Check: a\\|b |" in card.current(store.run_dir(finished_run(store, report=report)), REQUEST)


def test_a_damaged_report_does_not_keep_a_model_from_being_published(store):
    run_dir = store.run_dir(finished_run(store))
    (run_dir / "report.json").write_text('{"n": 80')
    assert "This model was not compared" in card.current(run_dir, REQUEST)


def test_how_it_was_trained_is_a_table(store):
    preset = validate({"data": {"dataset_name": "rows | of mine.jsonl"}})
    text = card.current(store.run_dir(finished_run(store, preset=preset)), REQUEST)
    table = text.split("## Training\n\n")[1].split("\n\n")[0].splitlines()
    assert table[:2] == ["| | |", "|---|---|"] and table[2].startswith("| Base model | [HuggingFaceTB/")
    assert all(row.replace("\\|", "").count("|") == 3 for row in table), "a name cannot end its cell"


def test_an_adapter_alone_is_said_to_be_one(run_dir):
    text = card.current(run_dir, Target("ana/recipes", ("adapter",)))
    assert head(text)["base_model_relation"] == "adapter" and head(text)["library_name"] == "peft"
    assert 'PeftModel.from_pretrained(model, "ana/recipes")' in text


def test_with_both_the_adapter_is_in_its_folder(run_dir):
    text = card.current(run_dir, Target("ana/recipes", ("merged", "adapter")))
    assert 'PeftModel.from_pretrained(model, "ana/recipes", subfolder="adapter")' in text
    assert 'pipeline("text-generation", model="ana/recipes")' in text


def test_what_is_not_known_is_left_out(store):
    run_dir = store.run_dir(finished_run(store, report=None))
    text = card.current(run_dir, REQUEST)
    assert "license" not in head(text) and "model-index" not in head(text)
    assert "was not compared with its base model" in text
    assert "Nobody has measured" in text


def test_the_card_holds_the_whole_preset_and_it_can_be_read_back(run_dir, store):
    text = card.current(run_dir, REQUEST)
    written = text.split("```yaml\n")[1].split("```")[0]
    assert validate(yaml.safe_load(written)) == store.get(run_dir.name).preset


def test_code_in_a_prompt_does_not_end_the_preset(store):
    preset = validate({"data": {"system_prompt": "Answer like this:\n```json\n{}\n```"}})
    text = card.current(store.run_dir(finished_run(store, preset=preset)), REQUEST)
    written = text.split("````yaml\n")[1].split("````")[0]
    assert validate(yaml.safe_load(written)).data.system_prompt == preset.data.system_prompt


def test_folders_of_this_machine_are_not_published(store, tmp_path):
    preset = validate({"model": {"model_name_or_path": str(tmp_path / "secret-folder" / "base")},
                       "data": {"dataset_name": str(tmp_path / "secret-folder" / "rows.jsonl")}})
    run_dir = store.run_dir(finished_run(store, preset=preset))
    text = card.current(run_dir, REQUEST)
    assert "secret-folder" not in text
    assert "rows.jsonl" in text and "base_model" not in head(text)


def test_no_path_and_no_address_of_a_service_is_published(store):
    preset = validate({
        "model": {"model_name_or_path": "~/secret/base"},
        "data": {"dataset_name": "secret/rows.jsonl", "dataset_test_split": "../secret/held.jsonl"},
        "evaluation": {"embedding_model": "/srv/secret/embedder", "endpoint_url": "http://secret:8000/v1",
                       "endpoint_model": "big", "judge_url": "http://secret:9000/v1", "judge_model": "judge"}})
    text = card.current(store.run_dir(finished_run(store, preset=preset)), REQUEST)
    assert "secret" not in text
    assert all(name in text for name in ("base", "rows.jsonl", "held.jsonl", "embedder"))
    # every field that the command line takes for a path is looked at, and names of the Hub stay whole
    assert set(public_names(preset)) == set(PATHS)
    kept = {"model": {"model_name_or_path": "Qwen/Qwen2.5-0.5B"},
            "data": {"dataset_name": "ana/rows", "dataset_test_split": "test"}}
    shown = card.public_preset(validate(kept))
    assert shown.model.model_name_or_path == "Qwen/Qwen2.5-0.5B"
    assert (shown.data.dataset_name, shown.data.dataset_test_split) == ("ana/rows", "test")


def test_a_data_set_of_the_hub_is_named_in_the_head(store):
    run_dir = store.run_dir(finished_run(store, preset=validate({"data": {"dataset_name": "ana/rows"}})))
    assert head(card.current(run_dir, REQUEST))["datasets"] == ["ana/rows"]


def test_losses_that_are_no_numbers_do_not_break_the_card(run_dir):
    with (run_dir / "events.jsonl").open("a") as journal:
        journal.write('{"seq": 999, "time": "2000-01-01T00:00:00+00:00", "type": "log", "step": 51, '
                      '"metrics": {"loss": NaN}}\n')
    assert "nan" not in card.current(run_dir, REQUEST).lower()


def test_an_untouched_card_follows_the_run_and_an_edited_one_stays(run_dir):
    first = card.write(run_dir, [REQUEST], APACHE)[0]
    assert card.edited(run_dir) == ""
    (run_dir / "report.json").unlink()
    second = card.write(run_dir, [REQUEST], APACHE)[0]
    assert first != second and "was not compared" in second

    card.save_edited(run_dir, "---\nlicense: mit\n---\n\n# Mine\n")
    assert card.write(run_dir, [REQUEST], APACHE)[0] == card.current(run_dir, REQUEST) == card.edited(run_dir)
    assert card.current(run_dir, REQUEST).endswith("# Mine\n")

    card.discard_edited(run_dir)
    assert "# recipes" in card.current(run_dir, REQUEST)


def test_a_card_edited_outside_the_studio_is_kept_without_the_mark(run_dir):
    card.write(run_dir, [REQUEST], NONE)
    path = run_dir / "card.md"
    path.write_text(path.read_text().replace("# recipes", "# Better name"))
    assert "# Better name" in card.edited(run_dir)
    assert "written by the studio" not in card.edited(run_dir)


def test_a_card_whose_head_is_broken_is_refused_and_the_old_one_stays(run_dir):
    with pytest.raises(RunError, match="head of the model card cannot be read"):
        card.save_edited(run_dir, "---\nlicense: [mit\n---\n")
    assert not (run_dir / "card.md").exists()


def test_the_curve_is_a_picture_and_needs_two_points(tmp_path):
    (tmp_path / "curve.png").write_bytes(draw_loss_curve([(1, 2.0), (2, 1.0)], [(2, 1.1)]))
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG" and picture.width > picture.height > 200
        assert len(picture.getcolors(1 << 20)) > 10
    assert draw_loss_curve([(1, 2.0)], []) is None
    assert draw_loss_curve([(1, 0.0), (2, 0.0)], []) is not None


def test_a_request_is_read_back_and_the_presets_serves_without_one(run_dir):
    preset = validate({"publish": {"hub_model_id": "ana/from-preset", "what": "adapter", "hub_private_repo": False}})
    assert read_request(run_dir, preset) == preset.publish and last_request(run_dir) is None
    asked = PublishSection(hub_model_id="ana/asked", what="merged,gguf", hub_tag="v1", hub_collection="Recipes")
    write_request(run_dir, asked)
    assert read_request(run_dir, preset) == last_request(run_dir) == asked
    forget_request(run_dir)
    assert read_request(run_dir, preset) == preset.publish


def test_a_request_and_a_preset_of_an_earlier_studio_are_read(run_dir):
    (run_dir / "publish.json").write_text('{"repo_id": "ana/old", "private": false, "what": "both"}')
    asked = last_request(run_dir)
    assert (asked.hub_model_id, asked.hub_private_repo, asked.what) == ("ana/old", False, ["merged", "adapter"])
    assert validate({"publish": {"what": "adapter"}}).publish.what == ["adapter"]


def test_the_repositories_of_a_request():
    asked = PublishSection(hub_model_id="ana/x", what=["gguf", "adapter", "merged"])
    assert targets(asked) == [Target("ana/x", ("merged", "adapter", "gguf"))]
    apart = targets(asked.model_copy(update={"separate_repos": True}))
    assert apart == [Target("ana/x", ("merged",)), Target("ana/x-adapter", ("adapter",), "ana/x"),
                     Target("ana/x-GGUF", ("gguf",), "ana/x")]
    assert targets(PublishSection(hub_model_id="ana/x", what=["gguf"], separate_repos=True)) == [
        Target("ana/x-GGUF", ("gguf",))]


@pytest.mark.parametrize(("fields", "said"), [
    ({"hub_tag": "first try"}, "branches and tags have names of"), ({"hub_revision": "a..b"}, "names of"),
    ({"create_pr": True, "hub_tag": "v1"}, "leave branch and tag empty"),
    ({"what": []}, "at least 1"),
    ({"what": ["onnx"]}, "'merged', 'adapter' or 'gguf'")])
def test_what_cannot_be_asked_of_a_push(fields, said):
    with pytest.raises(PresetError, match=said):
        validate({"publish": fields})


def test_a_repository_of_gguf_files_stems_from_the_merged_model(store):
    run_dir = store.run_dir(finished_run(store, gguf=True))
    text = card.current(run_dir, Target("ana/x-GGUF", ("gguf",), "ana/x"), Licence("mit"))
    said = head(text)
    assert (said["base_model"], said["base_model_relation"], said["library_name"]) == ("ana/x", "quantized", "gguf")
    assert "gguf" in said["tags"] and "They were made of [ana/x]" in text
    # its weights are rounded, and nobody measured it
    assert "model-index" not in said and "The figures are those of the trained model itself." in text
    assert "-hf ana/x-GGUF:Q8_0" in text and "-f x-gguf/recipes-Q8_0.modelfile" in text
    alone = head(card.current(run_dir, Target("ana/x", ("gguf",))))
    assert (alone["base_model"], alone["base_model_relation"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "quantized")


def test_all_in_one_repository_names_each_folder_and_each_way(store):
    text = card.current(store.run_dir(finished_run(store, gguf=True)), Target("ana/x", ("merged", "adapter", "gguf")))
    assert "adapter is in the folder `adapter`" in text and "GGUF files are in the folder `gguf`" in text
    for way in ("With Transformers:", "With Unsloth:", "With vLLM:", "With llama.cpp:", "With Ollama:"):
        assert way in text
    assert head(text)["base_model_relation"] == "finetune" and "model-index" in head(text)
    assert "A GGUF file rounds its weights" in text
    text = card.current(store.run_dir(finished_run(store)), Target("ana/x-adapter", ("adapter",), "ana/x"))
    assert "Merged into its base model it is [ana/x]" in text and "GGUF file" not in text


def test_a_persons_card_serves_the_repository_it_was_written_for_and_the_others_get_their_own(run_dir):
    apart = [Target("ana/x", ("merged",)), Target("ana/x-adapter", ("adapter",), "ana/x")]
    card.save_edited(run_dir, "---\nlicense: mit\nbase_model: ana/other\n---\n\n# Mine\n")
    first, second = card.write(run_dir, apart, OWN)
    assert first == card.edited(run_dir) == "---\nlicense: mit\nbase_model: ana/other\n---\n\n# Mine\n"
    assert second.split("---\n", 2)[2].startswith("\n# x-adapter") and "holds the adapter alone" in second
    assert head(second)["library_name"] == "peft" and "Mine" not in second
    # the licence is the person's; the limits go on to name the base model's
    assert head(second)["license"] == "mit" and "license_name" not in head(second) and "`other`, llama3" in second
    card.save_edited(run_dir, "# Mine\n")
    assert head(card.write(run_dir, apart, OWN)[1])["license_name"] == "llama3"


def test_a_persons_card_goes_with_the_name_of_its_repository(run_dir):
    written = card.current(run_dir, REQUEST, APACHE).replace("# recipes", "# Better name")
    card.save_edited(run_dir, written)
    assert card.current(run_dir, REQUEST) == card.write(run_dir, [REQUEST], APACHE)[0] == written
    moved = Target("ana/cooking", ("merged",))
    text = card.current(run_dir, moved)
    assert text == card.write(run_dir, [moved], APACHE)[0]
    assert head(text)["model-index"][0]["name"] == "cooking" and "# Better name" in text
    (run_dir / "card.md").write_text("---\nlicense: [mit\n---\n")
    assert card.current(run_dir, moved) == "---\nlicense: [mit\n---\n"


def test_what_no_longer_holds_in_an_edited_card_is_told(run_dir):
    def said(target: Target = REQUEST, trained_at: str = "2000-01-01T00:00:00+00:00") -> str:
        return " ".join(doubts(run_dir, target, trained_at))

    adapter = Target("ana/recipes", ("adapter",))
    assert said(adapter, "2999-01-01T00:00:00+00:00") == "", "the studio's own card is written anew"
    card.save_edited(run_dir, card.current(run_dir, REQUEST) + "\nMine.\n")
    assert said() == said(trained_at="") == ""
    assert "does not name ana/rec:" in said(Target("ana/rec", ("merged",)))
    assert "does not name ana/recipes-adapter:" in said(Target("ana/recipes-adapter", ("merged",)))
    assert "states the library transformers, and what lies at the top of ana/recipes is for peft" in said(adapter)
    assert "earlier weights" in said(trained_at="2999-01-01T00:00:00+00:00")


def test_the_page_tells_it_beside_the_files(store, run_dir):
    card.save_edited(run_dir, card.current(run_dir, REQUEST, OWN) + "\nMine.\n")
    request, view = PublishSection(hub_model_id="ana/other"), store.get(run_dir.name)
    html = publish_view.files_html(view, request, OWN.packed(), publish_view.card_text(view, request, OWN.packed()))
    assert "does not name ana/other" in html and "has the licence other (llama3, https://example.org/LICENSE)" in html


def test_a_licence_that_the_hub_has_no_name_for_is_inherited_with_its_name_and_text(run_dir):
    text = card.current(run_dir, REQUEST, OWN)
    assert {name: value for name, value in head(text).items() if name.startswith("license")} == {
        "license": "other", "license_name": "llama3", "license_link": "https://example.org/LICENSE"}
    assert "states the licence `other`, llama3 (https://example.org/LICENSE); its terms" in text
    assert "license_name" not in card.current(run_dir, REQUEST, APACHE)
    assert Licence.unpacked(OWN.packed()) == licences.stated_in(text) == OWN
    assert NONE.packed() == "" and Licence.unpacked("") == NONE


def test_the_language_comes_from_the_report_on_the_data(run_dir):
    assert "language" not in head(card.current(run_dir, REQUEST))
    (run_dir / "data_report.json").write_text('{"languages": {"de": 120, "und": 60, "en": 30, "la": 2}}')
    text = card.current(run_dir, REQUEST)
    assert head(text)["language"] == ["de", "en"] and "- Language of the training rows: de, en" in text


def test_a_licence_that_does_not_fit_is_told():
    def said(stated: str, base: str, dataset: str = "") -> str:
        return " ".join(licences.conflicts(Licence(stated), "base", Licence(base), "ana/rows", Licence(dataset)))

    assert said("mit", "gemma").startswith("The card states the licence mit, but the base model base states gemma")
    assert said("mit", "apache-2.0") == said("gemma", "gemma") == said("", "gemma") == ""
    assert "no commercial use" in said("mit", "mit", "cc-by-nc-4.0")
    assert "the same licence" in said("mit", "mit", "cc-by-sa-4.0")
    assert said("cc-by-nc-sa-4.0", "mit", "cc-by-nc-sa-4.0") == ""
    assert "base states other (llama3, https" in licences.conflicts(Licence("other"), "base", OWN)[0], "which other"
    assert licences.conflicts(OWN, "base", OWN) == []
    assert licences.stated_in("---\nlicense: mit\n---\n# x") == Licence("mit") and licences.stated_in("# x") == NONE


def test_a_model_that_continues_texts_is_told_and_asked_as_such(store):
    run_dir = store.run_dir(finished_run(store))
    assert "with supervised fine-tuning." in card.current(run_dir, Target("ana/x", ("merged", "adapter")))
    for form in ("merged", "adapter"):
        (run_dir / form / "chat_template.jinja").unlink(missing_ok=True)
    write_jsonl(run_dir / "data" / "train.jsonl", [{"text": "Once upon a time"}])
    text = card.current(run_dir, Target("ana/x", ("merged", "adapter")))
    assert "with continued pretraining on plain texts." in text and "| Method | continued pretraining" in text
    assert "supervised" not in text and "messages = " not in text and "The beginning of a text" in text
    # an earlier studio wrote no generation settings beside the adapter
    assert "GenerationConfig" not in text
    (run_dir / "adapter" / "generation_config.json").write_text("{}")
    assert 'GenerationConfig.from_pretrained("ana/x", subfolder="adapter")' in card.current(
        run_dir, Target("ana/x", ("merged", "adapter")))
