"""The head of a model card: what the Hub's pages and search read. Built with the Hub's own card tools."""


from huggingface_hub import EvalResult, ModelCard, ModelCardData

from studio.evaluation.summary import metric_name
from studio.preset.schema import Form, Preset
from studio.publishing.licences import Licence
from studio.publishing.names import hub_dataset, is_local
from studio.publishing.request import Target
from studio.publishing.run_facts import RunFacts

LIBRARIES: dict[Form, str] = {"merged": "transformers", "adapter": "peft", "gguf": "gguf"}
RELATIONS: dict[Form, str] = {"merged": "finetune", "adapter": "adapter", "gguf": "quantized"}


def head(preset: Preset, target: Target, licence: Licence, facts: RunFacts) -> str:
    """The YAML between the two ---; `preset` is the public one."""
    leading, dataset = target.forms[0], hub_dataset(facts.preset)
    base = _base(facts.preset, target)
    # of the weights that were measured; GGUF files round them
    results = [] if leading == "gguf" else _eval_results(facts, preset)
    data = ModelCardData(
        base_model=base or None,
        base_model_relation=RELATIONS[leading] if base else None,
        library_name=LIBRARIES[leading],
        pipeline_tag="text-generation",
        license=licence.id or None,
        license_name=licence.name or None,
        license_link=licence.link or None,
        language=facts.languages or None,
        datasets=[dataset] if dataset else None,
        tags=["fine-tune-studio", "unsloth", "trl", "full" if preset.method.full_finetuning else "lora",
              *(["gguf"] if "gguf" in target.forms else [])],
        model_name=target.repo_id.split("/")[-1] if results else None, eval_results=results or None)
    return data.to_yaml()


def renamed(card: str, target: Target) -> str:
    """A person's card with the repository's name beside its results, where it holds any; all else stays as it is."""
    fitted, name = ModelCard(card), target.repo_id.split("/")[-1]
    if fitted.data.model_name in (None, name):
        return card
    fitted.data.model_name = name
    return str(fitted)


def _base(preset: Preset, target: Target) -> str:
    """What the repository's model was made from, by its name on the Hub: GGUF files from the merged model."""
    if target.forms[0] == "gguf" and target.stems_from:
        return target.stems_from
    base = preset.model.model_name_or_path
    return "" if is_local(base) else base


def _eval_results(facts: RunFacts, preset: Preset) -> list[EvalResult]:
    """The tuned model's figures in the Hub's own form, so that its pages can show them.

    None of rows from elsewhere: the Hub would name them as those of the training's data set.
    """
    dataset = hub_dataset(facts.preset)
    if facts.report is None or facts.report["data"]:
        return []
    return [
        EvalResult(task_type="text-generation", dataset_type=dataset or "private",
                   dataset_name=f"held-out rows of {preset.data.dataset_name}", metric_type=name,
                   metric_name=metric_name(name), metric_value=round(figures["tuned"]["value"], 4))
        for name, figures in facts.report["metrics"].items()]
