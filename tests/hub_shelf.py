"""Models and data sets that the stand-in Hub holds for tests of the browser, as the real one describes its own."""

import json

from huggingface_hub import constants

from studio import network
from studio.publishing import browse_asking
from tests.hub_server import HubServer

SCRIPT = "<img src=x onerror=\"document.title='taken'\">"
SMALL_CONFIG = dict(
    model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_size=1536, intermediate_size=8960,
    num_hidden_layers=28, vocab_size=151936, num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True,
    max_position_embeddings=32768)
TEMPLATE = {"tokenizer_config": {"chat_template": "{{ messages }}"}}
PLAIN = {"tokenizer_config": {"eos_token": "</s>"}}
README = b"---\nlicense: apache-2.0\n---\n# A model\n"


def fill(hub: HubServer) -> None:
    """Add usable models, one of each unusable kind, a gated one, and data sets; the downloads give the order."""
    _model(hub, "lab/small-1.5B-Instruct", 1_543_656_960, 900_000, TEMPLATE | {"architectures": ["Qwen2ForCausalLM"]},
           files={"config.json": json.dumps(SMALL_CONFIG).encode(), "model.safetensors": b"0" * 3000,
                  "LICENSE": b"Apache", "README.md": README})
    _model(hub, "lab/tiny-360M-Base", 361_821_120, 800_000, PLAIN)
    _model(hub, "meta/large-8B-Instruct", 8_030_261_248, 700_000, TEMPLATE, gated="manual",
           card={"license": "other", "license_name": "large-community", "license_link": "https://example.org/licence"})
    _model(hub, "meta/huge-70B", 70_553_706_496, 600_000, PLAIN, gated="auto", card={"license": "llama3.1"})
    _model(hub, "odd/own-code-3B", 3_000_000_000, 500_000, TEMPLATE | {"auto_map": {"AutoModel": "modeling.py"}},
           tags=["custom_code"])
    _model(hub, "lab/small-1.5B-AWQ", 500_000_000, 400_000, TEMPLATE | {"quantization_config": {"quant_method": "awq"}})
    hub.add_repo("lab/small-1.5B-GGUF", facts={
        "pipeline_tag": "text-generation", "tags": ["gguf"], "downloads": 300, "library_name": "",
        "gguf": {"total": 1_543_714_304, "architecture": "qwen2", "context_length": 32768},
        "usedStorage": 9_000_000_000})
    columns = [{"name": "question"}, {"name": "answer"}]
    _dataset(hub, "lab/recipes", 20_000, {
        "license": "mit", "configs": [{"config_name": "plain"}, {"config_name": "long"}],
        "dataset_info": [
            {"config_name": "plain", "download_size": 12_000_000, "features": columns,
             "splits": [{"name": "train", "num_examples": 14_300}, {"name": "test", "num_examples": 700}]},
            {"config_name": "long", "download_size": 30_000_000, "features": columns,
             "splits": [{"name": "validation", "num_examples": 500}]}]})
    _dataset(hub, "lab/letters", 10_000, {"license": ["cc-by-4.0", "odc-by"]}, gated="auto")
    _dataset(hub, "odd/pictures", 900, {}, tags=["modality:image"])


def ask_there(hub: HubServer, monkeypatch) -> None:
    """Let this process ask `hub`, whose address the client reads when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                        hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setattr(network, "_last", None)
    # a person is not kept waiting longer than ten seconds; a busy machine may need them for the imports alone
    monkeypatch.setattr(browse_asking.ask, "__defaults__", (300,))


def hostile(hub: HubServer) -> None:
    """Add a model whose every text is markup."""
    _model(hub, f"odd/{SCRIPT}", 10_000_000, 10, {"tokenizer_config": SCRIPT, "architectures": [SCRIPT]},
           card={"license": SCRIPT, "license_link": "javascript:alert(1)"}, library_name=SCRIPT)


def _model(hub: HubServer, name: str, parameters: int, downloads: int, config: dict, *, card: dict | None = None,
           gated: str | bool = False, tags: list[str] | None = None, files: dict[str, bytes] | None = None,
           **facts: object) -> None:
    hub.add_repo(name, files or {"README.md": README}, facts={
        "pipeline_tag": "text-generation", "tags": ["safetensors", *(tags or [])], "config": config, "gated": gated,
        "cardData": card or {"license": "apache-2.0"}, "downloads": downloads, "likes": downloads // 400,
        "safetensors": {"parameters": {"BF16": parameters}, "total": parameters},
        "lastModified": "2026-08-14T10:00:00.000Z"} | facts)


def _dataset(hub: HubServer, name: str, downloads: int, card: dict, *, gated: str | bool = False,
             tags: list[str] | None = None) -> None:
    hub.add_repo(name, {"train.jsonl": b'{"question": "a", "answer": "b"}\n'}, kind="datasets", facts={
        "tags": tags or ["modality:text", "language:en", "language:sl", "size_categories:10K<n<100K"], "cardData": card,
        "gated": gated, "downloads": downloads, "likes": downloads // 100, "mainSize": 42_000_000,
        "lastModified": "2026-07-02T10:00:00.000Z"})
