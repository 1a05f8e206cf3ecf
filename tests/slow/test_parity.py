"""The parity check on a tiny real model: sound exports pass, and every fault planted in their files is named."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import QUIET, chats

from studio.errors import ModelError, RunError
from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing import parity
from studio.publishing.exports import gguf_record, write_record
from studio.runs.events import EventWriter, read_events
from studio.settings import PROJECT_DIR, Settings
from studio.worker.phase import Phase
from tests.tiny_model import make_tiny_model

F16, Q8 = "gguf/run-F16.gguf", "gguf/run-Q8_0.gguf"
PROCESS = """
import sys
from pathlib import Path
from studio.worker.phase import run_phase
code = run_phase("parity", Path(sys.argv[1]))
assert "unsloth" not in sys.modules
sys.exit(code)
"""


def write_adapter(base: Path, folder: Path, seed: int) -> None:
    """An adapter that changes what the model says, as the training saves it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj", "gate_proj", "down_proj"])
    tuned = get_peft_model(model, lora)
    torch.manual_seed(seed)
    for name, values in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values, std=0.2)
    tuned.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base.name}))
    (folder / "README.md").unlink(missing_ok=True)


def write_merged(base: Path, adapter: Path | None, folder: Path, rows: int = 0) -> None:
    """Adapter and base in one, in bfloat16; `rows` pads the vocabulary."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload() if adapter else model
    if rows:
        model.resize_token_embeddings(rows)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def write_gguf(run_dir: Path, kind: str, taught_end: int | None = None) -> None:
    from transformers import AutoTokenizer

    from studio.worker.gguf_convert import Conversion

    (run_dir / "gguf").mkdir(exist_ok=True)
    target = run_dir / "gguf" / f"run-{kind.upper()}.gguf"
    target.unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(run_dir / "merged")
    Conversion(run_dir / "merged", target, kind, "run", tokenizer, taught_end).write()
    write_record(gguf_record(target), run_dir / "merged")


def phase_of(run_dir: Path, **overrides) -> Phase:
    preset = files.override(files.load(run_dir / "preset.yaml"), overrides)
    return Phase("parity", run_dir, preset, Settings(data_dir=run_dir.parent.parent), EventWriter(run_dir))


def make_run(data_dir: Path, base: Path, rows: list[dict], **overrides) -> Path:
    run_dir = data_dir / "runs" / "run"
    (run_dir / "data").mkdir(parents=True)
    values = {"model.model_name_or_path": str(base), "export.parity_prompts": 3, "evaluation.max_new_tokens": 8,
              "training.max_length": 128} | overrides
    files.save(files.override(Preset(), values), run_dir / "preset.yaml")
    for name, part in (("train", rows), ("heldout", rows[:8])):
        (run_dir / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return run_dir


@pytest.fixture(autouse=True)
def without_collection(monkeypatch):
    """Tiny models need not be collected at once, which takes half a second each time."""
    from studio.worker import parity as worker

    monkeypatch.setattr(worker, "free", lambda: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model) -> Path:
    """A run with an adapter, its merged model, and GGUF files of two kinds."""
    run_dir = make_run(tmp_path_factory.mktemp("parity"), tiny_model, chats(12))
    write_adapter(tiny_model, run_dir / "adapter", seed=1)
    write_merged(tiny_model, run_dir / "adapter", run_dir / "merged")
    write_gguf(run_dir, "f16")
    write_gguf(run_dir, "q8_0")
    return run_dir


@pytest.fixture(scope="module")
def asked(trained, tiny_model):
    """The check, and what the trained model answered."""
    from studio.worker.base_model import BaseModel
    from studio.worker.parity import Check

    check = Check(phase_of(trained), BaseModel(tiny_model, tiny_model.name))
    return check, check.ask_trained()


@pytest.fixture
def check_form(asked, trained, tmp_path):
    """Plant something in a copy of the run and check a form of it."""
    check, answered = asked
    run_dir = tmp_path / "runs" / "run"
    shutil.copytree(trained, run_dir)

    def checked(form: str, plant=lambda run_dir: None) -> parity.FormCheck:
        plant(run_dir)
        before, check.phase = check.phase, replace(check.phase, run_dir=run_dir)
        try:
            return check.check_form(form, answered)
        finally:
            check.phase = before

    return checked


@pytest.mark.parametrize(("form", "outcomes"), [
    ("merged", {"same"}), ("adapter", {"same"}), (F16, {"same"}), (Q8, {"same", "close"})])
def test_sound_exports_answer_as_the_trained_model(check_form, asked, form, outcomes):
    found = check_form(form)
    assert found.outcome in outcomes and found.sentence == "", found
    assert found.figures.same_top > 0.9
    # what rounding loses is nothing beside what the training changed
    assert found.figures.mean_kl < asked[1].training_kl / 100
    assert found.kind == {"merged": "bfloat16", "adapter": "adapter", F16: "F16", Q8: "Q8_0"}[form]


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def settings(**values):
    return lambda run_dir: edit_json(run_dir / "merged" / "generation_config.json", **values)


def wrong_eos(form: str):
    return lambda run_dir: edit_json(run_dir / form / "tokenizer_config.json", eos_token="<|endoftext|>")


def template(form: str, text: str | None):
    def plant(run_dir: Path) -> None:
        path = run_dir / form / "chat_template.jinja"
        path.unlink() if text is None else path.write_text(text)
    return plant


def shifted_vocabulary(run_dir: Path) -> None:
    path = run_dir / "merged" / "tokenizer.json"
    values = json.loads(path.read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(values))


def padded(run_dir: Path) -> None:
    preset = files.load(run_dir / "preset.yaml")
    write_merged(Path(preset.model.model_name_or_path), run_dir / "adapter", run_dir / "merged", rows=512)


def padded_gguf(run_dir: Path) -> None:
    padded(run_dir)
    write_gguf(run_dir, "f16")


def cut(name: str):
    def plant(run_dir: Path) -> None:
        content = (run_dir / name).read_bytes()
        (run_dir / name).write_bytes(content[:len(content) * 2 // 3])
    return plant


def tensors(change):
    """Rewrite the merged weights as `change` makes them."""
    def plant(run_dir: Path) -> None:
        from safetensors.torch import load_file, save_file
        path = run_dir / "merged" / "model.safetensors"
        values = load_file(path)
        change(values)
        save_file(values, path, metadata={"format": "pt"})
    return plant


def lost(values: dict) -> None:
    del values["model.layers.1.mlp.up_proj.weight"]


def no_numbers(values: dict) -> None:
    values["model.norm.weight"][:] = float("nan")


def merged_from(seed: int | None, then=lambda run_dir: None):
    """A merged model of another adapter, or of none."""
    def plant(run_dir: Path) -> None:
        base = Path(files.load(run_dir / "preset.yaml").model.model_name_or_path)
        other = run_dir.parent / "other"
        if seed is not None:
            write_adapter(base, other, seed)
        write_merged(base, other if seed is not None else None, run_dir / "merged")
        then(run_dir)
    return plant


def replaced(name: str, old: bytes, new: bytes):
    """Change bytes of a file, as many as there were."""
    def plant(run_dir: Path) -> None:
        content = (run_dir / name).read_bytes()
        assert old in content and len(old) == len(new)
        (run_dir / name).write_bytes(content.replace(old, new, 1))
    return plant


def gguf_number(name: str, value: int, place: int = 0):
    def plant(run_dir: Path) -> None:
        from gguf import GGUFReader
        field = GGUFReader(run_dir / F16, "r+").fields[name]
        field.parts[field.data[place]][0] = value
    return plant


OTHER_TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"
# form, what is planted in its files, words of the sentence that names it
FAULTS = {
    "eos of the tokenizer": ("merged", wrong_eos("merged"), 'names "<|endoftext|>" as the end of a text'),
    "eos of the adapter": ("adapter", wrong_eos("adapter"), 'The adapter names "<|endoftext|>" as the end of a text'),
    "eos of generation": ("merged", settings(eos_token_id=0), 'taught it to end them with "<|im_end|>"'),
    "stops at a word": ("merged", settings(eos_token_id=[2, 70]), "also ends its answers at"),
    "penalty": ("merged", settings(repetition_penalty=1.7), "repetition_penalty 1.7 (generation_config.json)"),
    "no template": ("merged", template("merged", None), "comes without the chat template"),
    "no template beside the adapter": ("adapter", template("adapter", None), "comes without the chat template"),
    "other template": ("merged", template("merged", OTHER_TEMPLATE), "has another chat template than it was trained"),
    "broken template": ("merged", template("merged", "{{ raise_exception('no') }}"), "has another chat template"),
    "padded": ("merged", padded, "has weights for 512 tokens"),
    "shifted": ("merged", shifted_vocabulary, "numbers its tokens otherwise than the training did"),
    "cut weights": ("merged", cut("merged/model.safetensors"), "The merged model cannot be loaded"),
    "lost weights": ("merged", tensors(lost), "is not whole: model.layers.1.mlp.up_proj.weight"),
    "no numbers": ("merged", tensors(no_numbers), "holds values that are no numbers, in model.norm.weight"),
    "no tokenizer": ("merged", lambda run_dir: (run_dir / "merged/tokenizer.json").unlink(), "cannot be read"),
    "another adapter": ("merged", merged_from(2), "it may come from another training"),
    "no adapter": ("merged", merged_from(None), "no nearer to it than the untouched base model"),
    "other strength": ("adapter", lambda run_dir: edit_json(run_dir / "adapter/adapter_config.json", lora_alpha=96),
                       "The adapter computes otherwise than the trained model"),
    "other base": ("adapter", lambda run_dir: edit_json(
        run_dir / "adapter/adapter_config.json", base_model_name_or_path="ana/other"), "names ana/other as its base"),
    "adapter that talks on": ("adapter", lambda run_dir: (run_dir / "adapter/generation_config.json").write_text(
        '{"eos_token_id": 0}'), 'The adapter ends its answers at "<|endoftext|>"'),
    "gguf eos": (F16, gguf_number("tokenizer.ggml.eos_token_id", 0), 'names "<|endoftext|>" as the end of a text'),
    "gguf kind of token": (F16, gguf_number("tokenizer.ggml.token_type", 1, place=2), "for ordinary text"),
    "gguf no template": (F16, replaced(F16, b"tokenizer.chat_template", b"tokenizer.chat_templatX"),
                         "comes without the chat template"),
    "gguf other template": (F16, replaced(F16, b"add_generation_prompt", b"add_generation_promqt"),
                            "run-F16.gguf has another chat template"),
    "gguf token": (F16, replaced(F16, b"assistant", b"assistent"), 'lacks the token "Ġassistant"'),
    "gguf padded": (F16, padded_gguf, "has weights for 512 tokens"),
    "gguf cut": (F16, cut(F16), "run-F16.gguf cannot be read"),
    "gguf stale": (F16, merged_from(2, lambda run_dir: write_gguf(run_dir, "f16")),
                   "it may come from another training"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_planted_fault_is_named_with_its_next_step(check_form, fault):
    form, plant, words = FAULTS[fault]
    found = check_form(form, plant)
    assert found.outcome == "refused", found
    assert words in found.sentence
    assert found.sentence.endswith(".") and found.hint.endswith(".")


def test_a_quantised_file_of_another_training_differs_and_one_of_none_is_refused(check_form):
    for seed, outcome in ((2, "differs"), (None, "refused")):
        found = check_form(Q8, merged_from(seed, lambda run_dir: write_gguf(run_dir, "q8_0")))
        assert found.outcome == outcome and "untouched base model" in found.sentence


def test_an_architecture_that_cannot_be_read_is_said_to_be_unread(check_form, monkeypatch):
    from studio.worker import parity_forms

    monkeypatch.setattr(parity_forms, "GGUF_SUPPORTED_ARCHITECTURES", ["qwen2"])
    found = check_form(F16)
    assert found.outcome == "unread" and found.figures is None and "kind llama" in found.sentence


def test_trained_weights_that_cannot_be_loaded_leave_nothing_to_compare_with(asked, trained, tmp_path):
    check, _ = asked
    shutil.copytree(trained, tmp_path / "run")
    cut("adapter/adapter_model.safetensors")(tmp_path / "run")
    before, check.phase = check.phase, replace(check.phase, run_dir=tmp_path / "run")
    try:
        with pytest.raises(ModelError, match="The trained model cannot be loaded"):
            check.ask_trained()
    finally:
        check.phase = before


def test_the_phase_checks_all_forms_in_a_process_without_unsloth(trained):
    before = len(read_events(trained)[0])
    done = subprocess.run([sys.executable, "-c", PROCESS, trained], cwd=PROJECT_DIR, capture_output=True, text=True,
                          env=dict(os.environ) | QUIET)
    assert done.returncode == 0, done.stderr
    forms = ["adapter", "merged", F16, Q8]
    assert parity.verdict(trained, forms) == parity.Verdict("passed")
    events = read_events(trained)[0][before:]
    progress = [event.values for event in events if event.type == "progress"]
    assert progress[-1]["total"] == 30 and {values["unit"] for values in progress} == {"answers"}
    counted = [values["done"] for values in progress]
    assert counted == sorted(counted) and counted[-1] == 30
    result = events[-1].values["result"]
    assert result["source"] == "heldout" and set(result["forms"]) == set(forms)


def test_only_what_changed_is_checked_again_and_the_trained_model_is_asked_once(trained, tmp_path, monkeypatch):
    from studio.worker import parity as worker

    loaded, load_form, load_reference = [], worker.load_form, worker.load_reference
    monkeypatch.setattr(worker, "load_form", lambda *of: (loaded.append(of[1]), load_form(*of))[1])
    monkeypatch.setattr(worker, "load_reference", lambda *of: (loaded.append("trained"), load_reference(*of))[1])
    run_dir = tmp_path / "runs" / "run"
    shutil.copytree(trained, run_dir)
    shutil.rmtree(run_dir / "gguf")
    for name in (parity.FILE, ".parity.npz"):
        (run_dir / name).unlink(missing_ok=True)
    phase = phase_of(run_dir)
    assert worker.compare(phase)["forms"] == {"adapter": "same", "merged": "same"}
    assert loaded == ["trained", "adapter", "merged"]
    assert worker.compare(phase)["forms"] == {"adapter": "same", "merged": "same"} and len(loaded) == 3

    settings(repetition_penalty=1.2)(run_dir)
    assert parity.verdict(run_dir, ["adapter", "merged"]).state == "stale"
    with pytest.raises(RunError, match="repetition_penalty"):
        worker.compare(phase)
    assert len(loaded) == 3, "a fault of the files needs no weights, and the trained model was asked before"
    assert parity.verdict(run_dir, ["merged"]).state == "refused"
    assert parity.verdict(run_dir, ["adapter"]).state == "passed"

    base = Path(phase.preset.model.model_name_or_path)
    write_adapter(base, run_dir / "adapter", seed=3)
    assert parity.verdict(run_dir, ["adapter"]).state == "stale"
    write_merged(base, run_dir / "adapter", run_dir / "merged")
    assert worker.compare(phase)["forms"] == {"adapter": "same", "merged": "same"}
    assert loaded[3:] == ["trained", "adapter", "merged"]


def test_a_run_without_held_out_rows_is_asked_general_questions(trained, tmp_path):
    from studio.worker.parity import compare

    run_dir = tmp_path / "runs" / "run"
    shutil.copytree(trained, run_dir)
    shutil.rmtree(run_dir / "gguf")
    (run_dir / "data" / "heldout.jsonl").write_text("")
    facts = compare(phase_of(run_dir, **{"export.parity_prompts": 2}))
    assert (facts["prompts"], facts["source"]) == (2, "guard")


def test_a_model_without_a_template_goes_on_with_held_out_texts(tmp_path):
    from studio.worker.parity import compare

    base = make_tiny_model(tmp_path / "base", chat_template=None)
    run_dir = make_run(tmp_path, base, [{"text": f"two cups of plain flour, {n} onions, chopped " * 3}
                                        for n in range(12)])
    write_adapter(base, run_dir / "adapter", seed=1)
    write_merged(base, run_dir / "adapter", run_dir / "merged")
    facts = compare(phase_of(run_dir))
    assert facts == {"prompts": 3, "source": "text", "forms": {"adapter": "same", "merged": "same"}}


def test_a_model_whose_weights_were_all_trained_is_held_against_its_own_files(tmp_path, tiny_model):
    from studio.worker.parity import compare

    run_dir = make_run(tmp_path, tiny_model, chats(12), **{"method.full_finetuning": True})
    write_merged(make_tiny_model(tmp_path / "other", seed=4), None, run_dir / "merged")
    assert compare(phase_of(run_dir))["forms"] == {"merged": "same"}
    template("merged", None)(run_dir)
    with pytest.raises(RunError, match="comes without the chat template"):
        compare(phase_of(run_dir))


def test_a_base_whose_template_ends_turns_otherwise_than_its_texts_is_sound_in_all_forms(tiny_model, tmp_path):
    from transformers import AutoTokenizer

    from studio.worker import gguf_export
    from studio.worker.base_model import BaseModel
    from studio.worker.generation_settings import write_generation_settings
    from studio.worker.parity import Check
    from studio.worker.parity_faults import find_fault
    from studio.worker.parity_forms import open_form

    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    edit_json(base / "tokenizer_config.json", eos_token="<|endoftext|>")
    edit_json(base / "config.json", eos_token_id=0)
    (base / "generation_config.json").write_text('{"eos_token_id": 0}')
    run_dir = make_run(tmp_path, base, chats(4))
    for form in ("merged", "adapter"):
        shutil.copytree(base, run_dir / form)
    (run_dir / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    base_model, tokenizer = BaseModel(base, base.name), AutoTokenizer.from_pretrained(base)
    check = Check(phase_of(run_dir), base_model)
    end = check.expected.end_id
    assert (end, check.expected.eos_id) == (2, 0)

    def faults() -> list[str]:
        opened = {form: open_form(run_dir, form, base_model, check.preset, check.expected, check.tokenizer,
                                  check.written.written) for form in ("adapter", "merged", F16)}
        found = [find_fault(form, check.expected, each.shipped) for form, each in opened.items()]
        return [each.sentence for each in found if each]

    write_gguf(run_dir, "f16")
    assert len(faults()) == 3 and all("would talk on after each answer" in sentence for sentence in faults())
    with pytest.raises(ModelError, match="chat_template=chatml"):
        gguf_export.check(run_dir / F16, tokenizer, end)
    for form in ("adapter", "merged"):
        write_generation_settings(base, run_dir / form, end)
    assert gguf_export._kept(run_dir, tokenizer, end) == {}
    write_gguf(run_dir, "f16", end)
    gguf_export.check(run_dir / F16, tokenizer, end)
    assert faults() == [] and list(gguf_export._kept(run_dir, tokenizer, end)) == ["f16"]
