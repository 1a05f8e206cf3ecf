"""Commands and code for using a model: right for what there is, and safe with names that try to break out."""

import ast
import csv
import json
import shlex
from dataclasses import replace

import pytest

from studio.errors import RunError
from studio.preset.files import validate
from studio.publishing import deploy, deploy_code, deploy_model, deploy_texts
from studio.publishing.deploy import WAYS, way
from studio.publishing.deploy_model import Model, model_here, model_on_hub, published
from studio.publishing.pushed import places_in
from studio.runs.model_shape import ModelShape
from tests.finished_run import finished_run
from tests.pushed_run import pushed_run

HOSTILE = "a b'; touch /tmp/x #$(id)`id`\"\nline, two=2"
SMOL = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, vocab_size=49152, num_attention_heads=9,
            num_key_value_heads=3, max_position_embeddings=8192)


@pytest.fixture
def view(store):
    return store.get(finished_run(store))


def hostile_model(**changes) -> Model:
    values = dict(
        name="recipes", base=f"/base {HOSTILE}", merged=f"/merged {HOSTILE}", adapter=f"/adapter {HOSTILE}",
        ggufs=(deploy_model.Gguf("q4_k_m", f"/gguf {HOSTILE}", 100, f"/modelfile {HOSTILE}"),), is_chat=True,
        system_prompt=HOSTILE, max_length=512, max_new_tokens=64, lora_rank=20, has_whole_modules=False, shape=None)
    return Model(**values | changes)


def code(model: Model, name: str, language: str = "shell") -> str:
    return "\n".join(block.code for block in way(name, model).blocks if block.language == language)


@pytest.mark.parametrize("name", WAYS)
def test_a_hostile_name_stays_one_word_of_the_shell_and_one_literal_of_python(name):
    for block in way(name, hostile_model()).blocks:
        if block.language == "python":
            constants = {node.value for node in ast.walk(ast.parse(block.code)) if isinstance(node, ast.Constant)}
            assert HOSTILE in constants
        else:
            words = shlex.split(block.code)
            assert any(HOSTILE in word or HOSTILE.replace('"', '""') in word
                       or HOSTILE in json.loads(word)["path"] for word in words if "touch" in word)
            assert not any(word.startswith(("touch", "$(", "`")) for word in words)


def test_vllm_serves_the_merged_model_and_the_adapter_with_a_rank_it_takes(view):
    model = model_here(view)
    merged, adapter = (shlex.split(block.code)[3:] for block in way("vllm", model).blocks[:2])
    folder = view.run_dir.resolve()
    assert merged == ["vllm", "serve", f"{folder}/merged", "--served-model-name", "recipes", "--max-model-len", "1024",
                      "--host", "127.0.0.1"]
    assert adapter == ["vllm", "serve", "HuggingFaceTB/SmolLM2-135M-Instruct", "--enable-lora", "--lora-modules",
                       f"recipes={folder}/adapter", "--max-lora-rank", "16", "--tokenizer", f"{folder}/adapter",
                       "--max-model-len", "1024", "--host", "127.0.0.1"]
    assert "--max-lora-rank 32" in code(hostile_model(), "vllm")


def test_the_adapters_own_settings_end_its_answers_where_it_has_any(view):
    (view.run_dir / "adapter" / "generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    model, folder = model_here(view), view.run_dir.resolve() / "adapter"
    assert f"--tokenizer {folder} --generation-config {folder} --max-model-len" in code(model, "vllm")
    assert f'model.generation_config = GenerationConfig.from_pretrained("{folder}")' in deploy_code.adapter_code(model)
    assert "AutoTokenizer, GenerationConfig" in deploy_code.adapter_code(model)
    without = replace(model, adapter_settings=False)
    assert "GenerationConfig" not in deploy_code.adapter_code(without) and "--generation" not in code(without, "vllm")
    pushed = published(validate({}), places_in("ana/recipes", ["merged", "adapter"]))
    assert 'GenerationConfig.from_pretrained("ana/recipes", subfolder="adapter")' in deploy_code.adapter_code(pushed)


def test_vllm_is_not_offered_an_adapter_that_it_cannot_take():
    whole = hostile_model(has_whole_modules=True)
    assert "--enable-lora" not in code(whole, "vllm")
    assert any("trained whole" in note for note in way("vllm", whole).notes)
    alone = way("vllm", hostile_model(merged="", lora_rank=1024))
    assert not alone.blocks and "Merge it first" in alone.missing


def test_the_client_asks_the_server_of_its_way_by_the_name_that_is_served_there():
    asked = {name: way(name, hostile_model()).blocks[-1].code for name in WAYS[1:]}
    assert 'base_url="http://localhost:8000/v1"' in asked["vllm"] and 'model="recipes"' in asked["vllm"]
    assert 'base_url="http://localhost:8080/v1"' in asked["tgi"] and 'model="tgi"' in asked["tgi"]
    assert 'base_url="http://localhost:8080/v1"' in asked["llama.cpp"] and 'model="recipes"' in asked["llama.cpp"]
    assert 'base_url="http://localhost:11434/v1"' in asked["ollama"] and 'model="recipes:q4-k-m"' in asked["ollama"]
    assert "ollama create recipes:q4-k-m -f" in code(hostile_model(), "ollama")


def test_a_run_without_gguf_says_how_to_come_by_one(view):
    for name in ("llama.cpp", "ollama"):
        found = way(name, model_here(view))
        assert not found.blocks and "Make one under Exports" in found.missing


def test_a_run_with_the_adapter_alone_is_used_with_peft_and_cannot_go_to_tgi(store):
    model = model_here(store.get(finished_run(store, merged=False)))
    assert "PeftModel.from_pretrained(model, " in code(model, "transformers", "python")
    assert "Merge the adapter first" in way("tgi", model).missing
    assert "--enable-lora" in code(model, "vllm")


def test_a_run_without_a_model_is_told_so(store):
    with pytest.raises(RunError, match="no trained model yet"):
        model_here(store.get(finished_run(store, merged=False, adapter=False)))


def test_the_context_is_that_of_the_training_and_never_more_than_the_models_own():
    preset = validate({"training": {"max_length": 20_000}})
    model = published(preset, places_in("ana/recipes", ["merged"]), shape=ModelShape.from_config(SMOL))
    assert "--max-model-len 8192" in code(model, "vllm")
    assert "--max-total-tokens 8192 --max-input-tokens 7936" in code(model, "tgi")


def test_the_memory_is_that_of_weights_context_and_server():
    model = published(validate({}), places_in("ana/recipes", ["merged"]), shape=ModelShape.from_config(SMOL))
    weights, cache = 2 * 134_515_008, 2 * 2 * 30 * 3 * 64 * 1024
    assert deploy_model.gpu_bytes(model) == weights + cache + deploy_model.GPU_SERVER_BYTES
    assert "at least 1.4 GB free" in way("vllm", model).needs
    assert "not known" in way("vllm", hostile_model()).needs


def test_on_the_hub_the_repository_is_named_and_forms_in_folders_are_found(tmp_path):
    file = tmp_path / "recipes-Q4_K_M.gguf"
    file.write_bytes(b"x" * 10)
    places = places_in("ana/recipes", ["merged", "adapter", "gguf"])
    model = published(validate({}), places, ggufs=[("q4_k_m", file)])
    assert 'model="ana/recipes"' in code(model, "transformers", "python")
    assert "hf download ana/recipes --include 'adapter/*' --local-dir recipes" in code(model, "vllm")
    assert "--lora-modules recipes=recipes/adapter" in code(model, "vllm")
    assert "--tokenizer recipes/adapter --generation-config recipes/adapter" in code(model, "vllm")
    top = code(published(validate({}), places_in("ana/recipes", ["adapter", "gguf"])), "vllm")
    assert "hf download ana/recipes --exclude '*/*' --local-dir recipes\n" in top
    assert "--lora-modules recipes=recipes " in top and "--tokenizer recipes --generation-config recipes " in top
    assert "-e HF_TOKEN" in code(model, "tgi")
    assert "llama-server --hf-repo ana/recipes --hf-file gguf/recipes-Q4_K_M.gguf" in code(model, "llama.cpp")
    alone = published(validate({}), places_in("ana/recipes-GGUF", ["gguf"]), ggufs=[("q4_k_m", file)])
    assert "llama-server -hf ana/recipes-GGUF:Q4_K_M --jinja" in code(alone, "llama.cpp")
    assert [name for name, _, _ in deploy.usage_examples(alone)] == ["llama.cpp", "Ollama"]
    assert way("transformers", alone).missing


def test_ollama_takes_the_pushed_modelfile_wherever_it_lies(tmp_path):
    files = [(kind, tmp_path / f"recipes-{kind.upper()}.gguf") for kind in ("f16", "bf16")]
    for _, file in files:
        file.write_bytes(b"x")
    inside = published(validate({}), places_in("ana/recipes", ["merged", "gguf"]), ggufs=files)
    assert code(inside, "ollama").splitlines()[:3] == [
        "hf download ana/recipes --include '*-F16.*' --local-dir recipes",
        "ollama create recipes:f16 -f recipes/gguf/recipes-F16.modelfile", "ollama run recipes:f16"]
    alone = published(validate({}), places_in("ana/recipes-GGUF", ["gguf"]), ggufs=files)
    assert "ollama create recipes-gguf:bf16 -f recipes-gguf/recipes-BF16.modelfile" in code(alone, "ollama")
    assert 'model="recipes-gguf:f16"' in way("ollama", alone).blocks[-1].code
    for found, holds in (("ollama", True), ("llama.cpp", False)):
        told = replace(inside, system_prompt="Answer in JSON.")
        assert any("The Modelfile holds the system prompt" in note for note in way(found, told).notes) is holds


def test_the_card_offers_no_code_that_cannot_run():
    def offered(model):
        return {name: code for name, _, code in deploy.usage_examples(model)}

    whole = hostile_model(merged="", has_whole_modules=True)
    assert offered(whole).keys() == {"PEFT", "Unsloth"}
    assert offered(hostile_model(merged="")).keys() == {"PEFT", "Unsloth", "vLLM"}
    four_bit = published(validate({"model": {"load_in_4bit": True}}), places_in("ana/x", ["adapter"]))
    assert "load_in_4bit=True" in offered(four_bit)["Unsloth"]
    merged = published(validate({"model": {"load_in_4bit": True}}), places_in("ana/x", ["merged", "adapter"]))
    assert "load_in_4bit=False" in offered(merged)["Unsloth"]
    assert "load_in_4bit=False" in offered(published(validate({}), places_in("ana/x", ["adapter"])))["Unsloth"]


def test_a_private_repository_says_how_to_get_at_it():
    private = published(validate({}), places_in("ana/recipes", ["merged"]), private=True)
    public = published(validate({}), places_in("ana/recipes", ["merged"]), private=False)
    assert any("hf auth login" in note for note in way("vllm", private).notes)
    assert not any("private" in note for name in WAYS for note in way(name, public).notes)


def test_a_model_without_chat_template_continues_texts():
    model = hostile_model(is_chat=False)
    assert "client.completions.create(" in way("vllm", model).blocks[-1].code
    assert "messages" not in code(model, "transformers", "python")


def test_before_a_push_there_is_nothing_on_the_hub(view):
    assert model_on_hub(view) is None


def test_a_push_to_a_branch_or_a_pull_request_is_not_what_the_name_loads(store):
    assert model_on_hub(pushed_run(store)).merged == "ana/recipes"
    assert model_on_hub(pushed_run(store, revision="tuned")) is None
    assert model_on_hub(pushed_run(store, pull_request="https://huggingface.co/ana/recipes/discussions/1")) is None


def test_an_unknown_way_is_refused_with_the_known_ones():
    with pytest.raises(RunError, match="Name one of: transformers, vllm"):
        way("triton", hostile_model())


def test_a_missing_value_is_an_error_and_not_an_empty_place():
    with pytest.raises(KeyError):
        deploy_texts.fill(deploy_texts.VLLM_CODE, model="x")


def test_tgis_mount_is_one_line_of_csv_that_names_the_folder():
    folder = '/runs/a,b "c"'
    mount = shlex.split(code(hostile_model(merged=folder), "tgi"))
    fields = next(csv.reader([mount[mount.index("--mount") + 1]]))
    assert f"source={folder}" in fields and "target=/model" in fields
