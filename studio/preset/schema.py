"""The preset's schema: every parameter of a run, with type, bounds, default, title, help, group and level.

Widgets, CLI options, YAML keys and comments, the JSON schema and the reference page are derived from these fields.
Names are those of TRL, transformers, PEFT and the Hub.
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from studio.preset.answer_checks import parse_checks

SCHEMA_VERSION = 1
NUMBERS = (int, float, Literal[SCHEMA_VERSION])
LORA_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

BASIC, EXPERT = "basic", "expert"


def parameter(default: Any, title: str, help: str, level: str = EXPERT, **bounds: Any) -> Any:
    """A preset field: default, short title, one sentence of help, level of the form, pydantic bounds."""
    return Field(default, title=title, description=help, json_schema_extra={"level": level}, **bounds)


def _split_words(value: Any) -> Any:
    """Let a list be written as "a, b" too, as a text box and `--set` give it."""
    if isinstance(value, str):
        return value.strip("[] ").replace(",", " ").split()
    return value


def _readable_checks(value: str) -> str:
    parse_checks(value)
    return value


def _check_address(value: str) -> str:
    """Let only a plain http or https address pass: a key in it would lie in the preset for all to read."""
    value = value.strip().rstrip("/")
    if not value:
        return ""
    import httpx  # costs a quarter of a second, which every start of a process would pay
    try:
        parts = urlsplit(value)
        host, _, _ = parts.hostname, parts.port, httpx.URL(f"{value}/chat/completions").host
    except (ValueError, httpx.InvalidURL):
        host = None
    if not host or parts.scheme not in ("http", "https") or any(character.isspace() for character in value):
        raise ValueError("an endpoint has an address such as https://api.openai.com/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the address of an endpoint holds no key, user or query: a key goes into the environment")
    return value


def _split_forms(value: Any) -> Any:
    """Presets of an earlier studio name one form, or both."""
    return ["merged", "adapter"] if value == "both" else _split_words(value)


def _plain_ref(value: str) -> str:
    """Of what git allows as the name of a branch or tag, what anybody needs."""
    value = value.strip()
    if (value and not re.fullmatch(r"\w[\w.-]*(?:/\w[\w.-]*)*", value, re.ASCII)) or ".." in value:
        raise ValueError("branches and tags have names of letters, digits, dots, dashes and underscores, such as v1.0")
    return value


def _each_once(value: list[str]) -> list[str]:
    return list(dict.fromkeys(value))


Words = Annotated[list[str], BeforeValidator(_split_words)]
GgufKind = Literal["f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"]
GgufKinds = Annotated[list[GgufKind], BeforeValidator(_split_words)]
Form = Literal["merged", "adapter", "gguf"]
Forms = Annotated[list[Form], BeforeValidator(_split_forms), AfterValidator(_each_once)]
RefName = Annotated[str, AfterValidator(_plain_ref)]
Address = Annotated[str, AfterValidator(_check_address)]
AnswerChecks = Annotated[str, AfterValidator(_readable_checks)]


class Section(BaseModel):
    """A group of the form; unknown keys are refused and a loaded preset cannot be changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """For Python true is 1; as a word it is refused like any other."""
        switch = isinstance(value, bool) and cls.model_fields[info.field_name].annotation in NUMBERS
        return str(value).lower() if switch else value


class PlanSection(Section):
    """Plan"""

    use_case: str = parameter(
        "", "Use case", "Who asks what, and what the answers are used for. Stands at the head of the report.",
        BASIC, max_length=1000)
    good_answer: str = parameter(
        "", "A good answer", "What tells a good answer from a bad one, in your own words.", BASIC, max_length=1000)
    requests_per_month: int = parameter(
        0, "Requests a month", "How often the model will be asked; 0 where nobody knows.", BASIC, ge=0, le=10**12)
    price_per_million_input_tokens: float = parameter(
        0.0, "Price of a million input tokens", "In US dollars, at the service you pay now; 0 for none.",
        BASIC, ge=0, le=10_000)
    price_per_million_output_tokens: float = parameter(
        0.0, "Price of a million output tokens", "In US dollars, at the service you pay now; 0 for none.",
        BASIC, ge=0, le=10_000)
    machine_price_per_hour: float = parameter(
        0.0, "Price of the machine that answers",
        "In US dollars an hour, what serves the tuned model; 0 takes this machine's. Training counts at this one's.",
        BASIC, ge=0, le=10_000)


class ModelSection(Section):
    """Model"""

    model_name_or_path: str = parameter(
        "HuggingFaceTB/SmolLM2-135M-Instruct", "Base model",
        "A model on the Hub (owner/name), a folder with safetensors, or a .gguf file.", BASIC, min_length=1)
    model_revision: str = parameter(
        "main", "Model revision", "Branch, tag or commit of the model on the Hub.", min_length=1)
    load_in_4bit: bool = parameter(
        False, "Load in 4 bit (QLoRA)",
        "Holds the base model in 4 bit, about a quarter of the memory. Needs an NVIDIA GPU.", BASIC)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = parameter(
        "auto", "Number format", "auto takes bfloat16 where the device computes it well, else the best it has.")
    chat_template: Literal["model", "chatml"] = parameter(
        "model", "Chat template",
        "model uses the template that comes with the model; chatml gives one to a model without.")


class DataSection(Section):
    """Data"""

    dataset_name: str = parameter(
        "bundled:recipes", "Data set",
        "An uploaded file, a data set on the Hub (owner/name), or bundled:recipes that comes with the studio.",
        BASIC, min_length=1)
    dataset_config: str = parameter(
        "", "Configuration", "Name of the Hub data set's configuration; empty for its default.")
    dataset_revision: str = parameter(
        "", "Data set revision", "Branch, tag or commit of the data set on the Hub; empty for the newest.")
    dataset_train_split: str = parameter(
        "train", "Training split", "Split of the data set to learn from; a part as train[:1000] or train[10%:20%].",
        min_length=1)
    dataset_test_split: str = parameter(
        "", "Held-out split", "Split to judge by; empty holds back a share of the training split instead.")
    test_size: float = parameter(
        0.1, "Held-out share", "Share of the rows never trained on, to judge by. 0 holds back none.",
        BASIC, ge=0, le=0.9)
    split_by: Literal["random", "label", "group", "time", "file"] = parameter(
        "random", "Hold back by",
        "random: any rows; label: the same share of each label; group: whole groups; time: the latest; file: the last.")
    split_column: str = parameter(
        "", "Column to hold back by", "Column with the label, group or time that the held-out part is chosen by.")
    format: Literal[
        "auto", "messages", "prompt_completion", "text", "text_label", "text_pair", "preference",
        "unpaired_preference", "prompt_only"] = parameter(
        "auto", "Shape of the rows",
        "messages: chats; prompt_completion: question and answer; text: documents. auto looks at the columns.")
    messages_column: str = parameter("", "Chat column", "Column with the list of messages; empty finds it.")
    prompt_column: str = parameter("", "Prompt column", "Column with the question or instruction; empty finds it.")
    completion_column: str = parameter("", "Answer column", "Column with the answer to learn; empty finds it.")
    text_column: str = parameter("", "Text column", "Column with the plain text; empty finds it.")
    rejected_column: str = parameter("", "Rejected column", "Column with the worse answer of a pair; empty finds it.")
    label_column: str = parameter("", "Label column", "Column with the label of each row; empty finds it.")
    prompt_template: str = parameter(
        "", "Prompt template",
        "Builds the prompt, or a plain text, from columns: {title}: {body}. [[ ]] around a part leaves it out where a"
        " column is empty.")
    completion_template: str = parameter(
        "", "Answer template", "Builds the answer from columns, as the prompt template does.")
    system_prompt: str = parameter(
        "", "System prompt", "Put before every chat that has no system message of its own.", BASIC)
    max_rows: int = parameter(0, "Rows to use at most", "Takes only this many rows; 0 takes all.", ge=0)
    train_share: float = parameter(
        1.0, "Share of rows to learn from",
        "Below 1 trains on a part of the rows and judges by the same held-out rows, to see whether more would help.",
        gt=0, le=1)
    bad_rows: Literal["stop", "fix", "drop"] = parameter(
        "stop", "Rows that cannot be used",
        "stop: the run does not start; fix: what can be mended safely is, the rest is dropped; drop: all are dropped.",
        BASIC)
    drop_duplicates: bool = parameter(
        False, "Drop repeated rows", "Keeps one of the rows that are the same word for word.")
    mask: Literal["none", "secrets", "all"] = parameter(
        "none", "Mask",
        "secrets: keys and passwords become [SECRET]; all: also e-mail addresses, card and phone numbers.")
    edits: str = parameter(
        "", "Edits by hand",
        "Name of the list of rows changed or left out by hand; the data set itself stays as it is.")
    chunk_tokens: int = parameter(
        0, "Document piece", "Longest piece, in tokens, that a document is cut into; 0 takes the longest row.", ge=0)
    chunk_overlap: int = parameter(
        0, "Document overlap", "Tokens that a piece of a document repeats from the piece before it.", ge=0)


class MethodSection(Section):
    """Method"""

    name: Literal["sft"] = parameter("sft", "Method", "sft: learn from examples of good answers.", BASIC)
    full_finetuning: bool = parameter(
        False, "Train all weights",
        "Off trains a small LoRA adapter. On trains the whole model: more memory, a lower learning rate.")
    assistant_only_loss: bool = parameter(
        True, "Learn from answers only", "In chats, only what the assistant says is learned, not the questions.")
    completion_only_loss: bool = parameter(
        True, "Learn from completions only", "In prompt and answer rows, only the answer is learned.")


class LoraSection(Section):
    """LoRA"""

    r: int = parameter(16, "LoRA rank", "Size of the adapter. 8 to 32 serves most tasks.", BASIC, ge=1, le=1024)
    lora_alpha: int = parameter(32, "LoRA alpha", "Strength of the adapter; one to two times the rank.", ge=1, le=4096)
    lora_dropout: float = parameter(
        0.0, "LoRA dropout", "Share of adapter inputs dropped while training; 0 is fastest.", ge=0, le=0.9)
    target_modules: Words = parameter(
        LORA_MODULES, "LoRA layers", "Linear layers that get an adapter.", min_length=1)
    modules_to_save: Words = parameter(
        [], "Layers trained whole", "For new vocabulary: embed_tokens lm_head. Costs much memory.")
    use_rslora: bool = parameter(
        False, "Rank-stabilised LoRA", "Scales by the root of the rank; steadier at high ranks.")


class TrainingSection(Section):
    """Training"""

    max_length: int = parameter(
        1024, "Longest row (tokens)", "Longer rows are cut at the end. Memory grows with it.",
        BASIC, ge=16, le=1_048_576)
    num_train_epochs: float = parameter(3, "Epochs", "How often the model sees each row.", BASIC, gt=0, le=1000)
    max_steps: int = parameter(
        -1, "Steps at most", "Ends the run after this many steps; -1 leaves it to the epochs.", ge=-1)
    per_device_train_batch_size: int = parameter(
        2, "Batch size", "Rows the device works on at once.", BASIC, ge=1, le=4096)
    gradient_accumulation_steps: int = parameter(
        4, "Accumulation steps", "Batches added up before the weights move; costs time, not memory.", ge=1, le=4096)
    learning_rate: float = parameter(
        2e-4, "Learning rate", "Size of each correction. 2e-4 suits LoRA; 1e-5 to 5e-5 suits training all weights.",
        BASIC, gt=0, le=1)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = parameter(
        "linear", "Learning rate schedule", "How the learning rate falls over the run.")
    warmup_ratio: float = parameter(
        0.05, "Warm-up share", "Share of the steps over which the learning rate rises from zero.", ge=0, le=0.5)
    weight_decay: float = parameter(
        0.001, "Weight decay", "Pulls weights towards zero; a guard against overfitting.", ge=0, le=1)
    max_grad_norm: float = parameter(
        1.0, "Gradient limit", "Clips corrections larger than this; 0 clips none.", ge=0, le=100)
    optim: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"] = parameter(
        "adamw_torch_fused", "Optimizer", "adamw_8bit saves memory on an NVIDIA GPU.")
    packing: bool = parameter(
        False, "Packing", "Joins short rows into full ones; much faster on a GPU, has no use on a CPU.")
    gradient_checkpointing: bool = parameter(
        True, "Gradient checkpointing", "Saves memory by computing parts twice; about a quarter slower.")
    neftune_noise_alpha: float = parameter(
        0.0, "NEFTune noise", "Noise on the embeddings that can help chat style; 0 is off, 5 is usual.", ge=0, le=100)
    seed: int = parameter(3407, "Seed", "The same seed gives the same split, order and start.", ge=0, le=2**31 - 1)
    logging_steps: int = parameter(1, "Log every (steps)", "How often loss and learning rate are noted.", ge=1)
    save_steps: int = parameter(50, "Checkpoint every (steps)", "How often a run can be resumed from.", ge=1)
    save_total_limit: int = parameter(3, "Checkpoints kept", "Older ones are deleted.", ge=1, le=1000)


class EvaluationSection(Section):
    """Evaluation"""

    eval_strategy: Literal["no", "steps", "epoch"] = parameter(
        "epoch", "Measure on held-out rows", "When the loss on held-out rows is measured.")
    eval_steps: int = parameter(50, "Measure every (steps)", "Used when measuring by steps.", ge=1)
    per_device_eval_batch_size: int = parameter(8, "Held-out batch size", "Rows measured at once.", ge=1, le=4096)
    early_stopping_patience: int = parameter(
        0, "Early stopping patience",
        "Stops after this many measurements without gain, and keeps the best weights; 0 is off.",
        ge=0, le=1000)
    compare_rows: int = parameter(
        80, "Rows compared", "Held-out rows answered by base and tuned model after training; 0 skips it.",
        BASIC, ge=0, le=10_000)
    few_shot_examples: int = parameter(
        3, "Examples in the prompt",
        "The base model also answers with so many training rows shown as examples; 0 leaves this comparison out.",
        BASIC, ge=0, le=64)
    few_shot_choice: Literal["random", "nearest"] = parameter(
        "random", "Choice of examples",
        "random: the same for every question, as in a prompt written once; nearest: those likest to each question.")
    retrieval_rows: int = parameter(
        3, "Rows looked up",
        "The base model also answers with so many of the nearest training rows put into the prompt; 0 leaves it out.",
        BASIC, ge=0, le=64)
    max_prompt_length: int = parameter(
        2048, "Longest prompt (tokens)", "Examples and looked-up rows are left out until the prompt fits.",
        ge=16, le=1_048_576)
    base_system_prompt: str = parameter(
        "", "System prompt of the base model",
        "What the base model is told in the comparison; empty takes the data's own system prompt.")
    metric: Literal["auto", "exact_match", "normalised_match", "json_match", "field_f1", "label_accuracy",
                    "numeric_match", "sql_match", "token_f1", "rouge_l", "chrf", "embedding_similarity",
                    "checks", "perplexity"] = parameter(
        "auto", "Metric",
        "What decides whether an answer is good; auto proposes one from the wanted answers: JSON, SQL, labels, "
        "numbers, a few words, or longer texts.")
    embedding_model: str = parameter(
        "", "Encoder for likeness in meaning",
        "A sentence encoder on the Hub (owner/name) or a folder with safetensors, which says how alike answer and "
        "wanted answer are in meaning; empty leaves that out.", max_length=500)
    numeric_tolerance: float = parameter(
        1e-6, "Tolerance of numbers", "How far a number may be from the wanted one, as a share of it; 0.01 is 1 %.",
        ge=0, le=1)
    sql_schema: str = parameter(
        "", "Tables for SQL answers",
        "CREATE TABLE and INSERT statements to run SQL answers on; empty takes those that stand in each question.",
        max_length=100_000)
    checks: AnswerChecks = parameter(
        "", "Your own checks",
        "One a line, as \"short: words <= 50\" or \"no links: lacks https?://\". Rules: matches, lacks, contains, "
        "omits, words, characters, lines.", max_length=10_000)
    max_new_tokens: int = parameter(
        256, "Longest answer (tokens)", "Answers are cut after this many tokens.", ge=1, le=32_768)
    guard: bool = parameter(
        True, "Look for what was forgotten",
        "Base and tuned model also answer 30 general questions and read a general text; takes seconds.")
    endpoint_url: Address = parameter(
        "", "Address of another model",
        "An OpenAI-compatible service that answers the same rows, say the one you pay now: https://api.openai.com/v1."
        " The held-out rows are sent there; empty sends nothing.")
    endpoint_model: str = parameter("", "Name of the other model", "What that service calls the model.")
    judge_url: Address = parameter(
        "", "Address of a judge",
        "An OpenAI-compatible service whose model says which of two answers is better, asked in both orders. The"
        " held-out rows and answers are sent there; empty asks no judge.")
    judge_model: str = parameter("", "Name of the judge", "What that service calls the model that judges.")
    judge_against: Literal["base", "few_shot", "retrieval", "endpoint"] = parameter(
        "base", "Judge the tuned model against", "Whose answers the judge sets beside those of the tuned model.")
    requests_at_once: int = parameter(
        4, "Requests at once", "How many rows a service is asked at the same time.", ge=1, le=64)
    request_timeout_s: float = parameter(
        60.0, "Wait for an answer (s)", "A service that has not answered by then is asked again, four times at most.",
        ge=1, le=3600)


class ExportSection(Section):
    """Export"""

    save_merged: bool = parameter(
        True, "Merge at the end", "Joins adapter and base model into one model that runs anywhere.", BASIC)
    max_shard_size_gb: float = parameter(
        4, "File size at most (GB)", "Larger models are saved as several files.", gt=0, le=50)
    gguf: GgufKinds = parameter(
        [], "GGUF files",
        "Kinds to write at the end, for llama.cpp and Ollama: q4_k_m is the smallest, f16 the truest.")
    parity_prompts: int = parameter(
        20, "Prompts of the parity check",
        "Before anything is published, the exported files answer so many held-out prompts as the trained model does.",
        ge=1, le=200)


class PublishSection(Section):
    """Publish"""

    push_to_hub: bool = parameter(
        False, "Publish at the end", "Uploads the model to the Hub when the run is done.", BASIC)
    hub_model_id: str = parameter("", "Repository", "Where to publish: owner/name on the Hub.", BASIC, max_length=200)
    hub_private_repo: bool = parameter(True, "Private", "Only you and people you invite can see it.", BASIC)
    what: Forms = parameter(
        ["merged"], "What to publish",
        "merged runs anywhere; adapter is small and needs the base model; gguf is for llama.cpp and Ollama.",
        min_length=1)
    separate_repos: bool = parameter(
        False, "A repository for each form",
        "On: adapter and GGUF files go to name-adapter and name-GGUF. Off: all in one repository, in folders.")
    hub_revision: RefName = parameter(
        "", "Branch", "Branch to push to; made where it is missing. Empty is main.", max_length=100)
    hub_tag: RefName = parameter(
        "", "Tag", "A name for this version, such as v1, that stays with it for good; empty sets none.",
        max_length=100)
    create_pr: bool = parameter(
        False, "As a pull request", "What is there stays as it is until somebody merges the pull request on the Hub.")
    hub_collection: str = parameter(
        "", "Collection", "Title of a collection that the repositories are put into; made where it is missing.",
        max_length=59)
    load_test: bool = parameter(
        False, "Load it from the Hub afterwards",
        "Downloads what was pushed, lets it answer a question here, and compares with the model on this machine.")

    @model_validator(mode="after")
    def _repository_named(self) -> "PublishSection":
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError("publishing at the end needs a repository: set publish.hub_model_id to owner/name")
        return self

    @model_validator(mode="after")
    def _pull_request_alone(self) -> "PublishSection":
        if self.create_pr and (self.hub_tag or self.hub_revision):
            raise ValueError("a pull request goes to main and is tagged once it is merged: leave branch and tag empty")
        return self


class Preset(Section):
    """One whole run: what to train, on what, how, how to judge it, and where it goes."""

    version: Literal[1] = parameter(SCHEMA_VERSION, "Version", "Version of the preset format.")
    name: str = parameter("my-run", "Name", "A short name for lists and folders.", BASIC, min_length=1, max_length=80)
    description: str = parameter("", "Purpose", "What the tuned model should do, in a sentence.", BASIC, max_length=500)
    plan: PlanSection = PlanSection()
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    method: MethodSection = MethodSection()
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    export: ExportSection = ExportSection()
    publish: PublishSection = PublishSection()
