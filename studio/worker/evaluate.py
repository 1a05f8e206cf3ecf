"""Have the same held-out rows answered in every way that is compared, and write the report."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from transformers import AutoConfig
from unsloth import FastLanguageModel

from studio.data.jsonl import read_jsonl
from studio.data.render import IGNORED, render_prompt, render_rows
from studio.data.sources import open_split
from studio.errors import DataError, RunError
from studio.evaluation.answers import Answer, AnswerFile, answer_key, weights_mark
from studio.evaluation.examples import choose_examples
from studio.evaluation.page import render_page
from studio.evaluation.report import RowLosses, WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.request import read_request
from studio.evaluation.scores import read_rules
from studio.evaluation.ways import (
    TUNED,
    Example,
    askable,
    build_prompt,
    fitting_prompt,
    last_words,
    planned_ways,
)
from studio.preset import files
from studio.runs.device import probe_device
from studio.runs.events import read_events
from studio.worker import base_model
from studio.worker import model as models
from studio.worker.base_model import BaseModel
from studio.worker.generation import answer_batches
from studio.worker.phase import Phase
from studio.worker.tokenizer import load_tokenizer

SAMPLE_ROWS = 5
CONTEXT_TOKENS = 32_768
DOING = {
    "base": "The base model answers", "few_shot": "The base model answers with examples in the prompt",
    "retrieval": "The base model answers with rows looked up", "tuned": "The tuned model answers",
}


def evaluate(phase: Phase) -> dict:
    """Compare the ways on `compare_rows` held-out rows; writes report.json, report.html and predictions.jsonl.

    Chats and prompts are answered and judged by the metric; plain text is judged by perplexity. Answers that
    answers.jsonl holds are not given again. Returns the phase's facts. Raises `RunError` where there is no trained
    model, `DataError` where no row can be asked.
    """
    data = read_request(phase.run_dir)
    rows = _rows(phase, data)
    if not rows:
        return {"skipped": "There are no held-out rows to compare on."}
    seed = phase.preset.training.seed
    if "text" in rows[0]:
        base, tuned = _row_losses(phase, rows)
        report, predictions = compare_perplexity(base, tuned, seed, _training_seconds(phase)), []
    else:
        asked = askable(rows)
        if not asked:
            return {"skipped": "No held-out row holds a question with an answer."}
        asked, answers = _answers(phase, asked)
        prompts, expected = [last_words(row.question) for row in asked], [row.answer for row in asked]
        rules = read_rules(phase.preset.evaluation, [row.question for row in asked])
        report, predictions = compare_answers(prompts, expected, answers, phase.preset.evaluation.metric, seed,
                                              _training_seconds(phase), rules)
    report["data"] = Path(data).name if Path(data).is_absolute() else data
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in predictions]
    _write(phase.run_dir / "predictions.jsonl", "".join(lines))
    _write(phase.run_dir / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    name = json.loads((phase.run_dir / "run.json").read_text(encoding="utf-8"))["name"]
    page = render_page(report, name, phase.preset.description, phase.preset.model.model_name_or_path)
    _write(phase.run_dir / "report.html", page)
    for row in predictions[:SAMPLE_ROWS]:
        phase.journal.sample(row["prompt"], row["expected"], row["base"], row["tuned"])
    figures = report["metrics"][report["metric"]]
    base, tuned = figures["base"]["value"], figures["tuned"]["value"]
    print(f"{report['metric']} on {report['n']} held-out rows: base {base:.3f}, tuned {tuned:.3f}", flush=True)
    return {"metric": report["metric"], "rows": report["n"], "base": base, "tuned": tuned}


def _rows(phase: Phase, data: str) -> list[dict]:
    """The first `compare_rows` held-out rows, or those of the data set that the person named."""
    if not data:
        return read_jsonl(phase.run_dir / "data" / "heldout.jsonl")[:phase.preset.evaluation.compare_rows]
    source = files.override(phase.preset, {
        "data.dataset_name": data, "data.dataset_test_split": "", "data.test_size": 0.0})
    return open_split(source, phase.settings).train[:phase.preset.evaluation.compare_rows]


def _training_seconds(phase: Phase) -> float:
    """How long the last training took."""
    events, _ = read_events(phase.run_dir)
    trained = [event.values["result"] for event in events if event.type == "done" and event.values["phase"] == "train"]
    return trained[-1]["train_seconds"]


@dataclass(frozen=True)
class _Weights:
    """Where base and trained weights lie; `adapter` says that the trained ones are an adapter on the base."""

    base: BaseModel
    trained: Path
    adapter: bool

    def mark(self, way: str) -> str:
        """Tells the weights that answer in a way from all others."""
        base = weights_mark(self.base.folder)
        if way != TUNED:
            return base
        return weights_mark(self.trained) + (base if self.adapter else "")


def _find_weights(phase: Phase) -> _Weights:
    base = base_model.locate(phase.preset.model, phase.settings)
    for name, config in [("adapter", "adapter_config.json"), ("merged", "config.json")]:
        if (phase.run_dir / name / config).is_file():
            return _Weights(base, phase.run_dir / name, adapter=name == "adapter")
    raise RunError("The run has no trained model yet.", "Resume the run, then compare again.")


def _answers(phase: Phase, asked: list[Example]) -> tuple[list[Example], dict[str, WayAnswers]]:
    """The rows that fit the model, and what was answered to them in each way."""
    evaluation, weights = phase.preset.evaluation, _find_weights(phase)
    tokenizer = load_tokenizer(weights.trained, phase.preset.model)
    config = AutoConfig.from_pretrained(weights.base.folder).get_text_config()
    known = getattr(config, "max_position_embeddings", CONTEXT_TOKENS)  # models without positions have no limit
    asked, prompts, examples = _prompts(phase, tokenizer, asked, known - evaluation.max_new_tokens)
    keys = {way: [answer_key(weights.mark(way), ids, evaluation.max_new_tokens) for ids in prompts[way]]
            for way in prompts}
    answers = AnswerFile(phase.run_dir / "answers.jsonl")
    missing = {way: [i for i, key in enumerate(keys[way]) if answers.find(key) is None] for way in prompts}
    total = len(asked) * len(prompts)
    done = total - sum(map(len, missing.values()))
    longest = max(len(ids) for way in prompts.values() for ids in way) + evaluation.max_new_tokens
    for names, model in _models(phase, weights, [way for way in prompts if missing[way]], longest):
        for way in names:
            phase.journal.progress("evaluate", done, total, "rows", DOING[way])
            batches = answer_batches(model, tokenizer, [prompts[way][i] for i in missing[way]],
                                     evaluation.per_device_eval_batch_size, evaluation.max_new_tokens)
            for batch in batches:
                answers.add({keys[way][missing[way][i]]: answer for i, answer in batch.items()}, way)
                done += len(batch)
                phase.journal.progress("evaluate", done, total, "rows", DOING[way])
    return asked, {way: WayAnswers([_found(answers, key) for key in keys[way]], examples[way]) for way in prompts}


def _found(answers: AnswerFile, key: str) -> Answer:
    answer = answers.find(key)
    assert answer is not None, "every way was answered"
    return answer


def _prompts(phase: Phase, tokenizer: Any, asked: list[Example],
             context: int) -> tuple[list[Example], dict[str, list[list[int]]], dict[str, list[int]]]:
    """The rows whose question fits, their prompts in each way as tokens, and how many examples each prompt holds.

    A prompt may have `context` tokens at most. Raises `DataError` where no question fits.
    """
    preset, evaluation = phase.preset, phase.preset.evaluation
    as_chat = tokenizer.chat_template is not None

    def render(way: str, row: Example, examples: list[Example]) -> list[int]:
        prompt = build_prompt(way, row.question, examples, evaluation.base_system_prompt, as_chat)
        return render_prompt(tokenizer, prompt, preset)[1]

    fitting = [row for row in asked if max(len(render(way, row, [])) for way in ("base", TUNED)) <= context]
    if not fitting:
        raise DataError("No held-out row leaves room for an answer: each question fills what the model can read.",
                        "Lower evaluation.max_new_tokens, or take a model with a longer context.",
                        "evaluation.max_new_tokens")
    if len(fitting) < len(asked):
        phase.journal.warning(f"{len(asked) - len(fitting)} of {len(asked)} held-out rows are longer than the model "
                              "can read and are left out of the comparison.")
    train = askable(read_jsonl(phase.run_dir / "data" / "train.jsonl"))
    prompts, counts = {}, {}
    for way in planned_ways(evaluation):
        chosen = choose_examples(way, [row.question for row in fitting], train, evaluation, preset.training.seed)
        fitted = [
            fitting_prompt(lambda count, way=way, row=row, examples=examples: render(way, row, examples[:count]),
                           len(examples), min(context, evaluation.max_prompt_length))
            for row, examples in zip(fitting, chosen, strict=True)]
        prompts[way], counts[way] = [ids for ids, _ in fitted], [count for _, count in fitted]
    return fitting, prompts, counts


def _models(phase: Phase, weights: _Weights, ways: list[str], longest: int) -> Iterator[tuple[list[str], Any]]:
    """Yield (ways, model that answers in them): the untouched one, then the tuned one; none is loaded for no way.

    `longest` is the most tokens of prompt and answer together. With an adapter one loaded model serves both.
    """
    # Unsloth would not see further than the longest row of the training
    preset = files.override(phase.preset, {"training.max_length": max(phase.preset.training.max_length, longest)})
    untouched, tuned = [way for way in ways if way != TUNED], [way for way in ways if way == TUNED]
    device = probe_device()
    if ways and weights.adapter:
        model, _ = models.load_tuned(preset, weights.base, weights.trained, device, phase.settings)
        FastLanguageModel.for_inference(model)
        with model.disable_adapter():
            yield untouched, model
        yield tuned, model
        return
    for names, folder in [(untouched, weights.base.folder), (tuned, weights.trained)]:
        if names:
            model, _ = models.load_whole(preset, folder, device)
            FastLanguageModel.for_inference(model)
            yield names, model
            del model


def _row_losses(phase: Phase, rows: list[dict]) -> list[RowLosses]:
    """How well base and tuned model foresee the held-out texts."""
    weights = _find_weights(phase)
    tokenizer = load_tokenizer(weights.trained, phase.preset.model)
    rendered = render_rows(tokenizer, rows, phase.preset)
    measured = []
    for names, model in _models(phase, weights, ["base", TUNED], phase.preset.training.max_length):
        nll, tokens, began = [], [], time.monotonic()
        for row in rendered:
            done = len(measured) * len(rows) + len(nll)
            if done % 10 == 0:
                phase.journal.progress("evaluate", done, 2 * len(rows), "rows", DOING[names[0]])
            loss, learned = _loss(model, row.input_ids, row.labels)
            nll.append(loss)
            tokens.append(learned)
        measured.append(RowLosses(nll, tokens, time.monotonic() - began))
    phase.journal.progress("evaluate", 2 * len(rows), 2 * len(rows), "rows", DOING[TUNED])
    return measured


@torch.inference_mode()
def _loss(model: Any, input_ids: list[int], labels: list[int]) -> tuple[float, int]:
    """Summed negative log-likelihood (nats) of the learned tokens of one row, and how many there are."""
    wanted = torch.tensor(labels[1:], device=model.device)
    logits = model(input_ids=torch.tensor([input_ids], device=model.device)).logits[0, :-1].float()
    summed = torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    return summed.item(), int((wanted != IGNORED).sum())


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)
