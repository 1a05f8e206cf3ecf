"""What batches are worth: answers to held-out rows in sorted padded batches against `generate` row by row.

usage: python benchmarks/evaluate.py [--rows 80] [--alone 20] [--batch-size 40] [--max-new-tokens 64] [--examples 0]

Takes the quickstart's model in float32 and its held-out rows. Row by row only every so-many-th of the rows sorted by
length is answered (`--alone`), since that is slow; the ratio is that of the seconds for a row. Checks that those rows
get the same answers both ways. Exit code 0 only when they do and the ratio is at least 3.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

from studio.data.jsonl import read_jsonl  # noqa: E402
from studio.evaluation.examples import choose_examples  # noqa: E402
from studio.evaluation.ways import askable, build_prompt  # noqa: E402
from studio.preset import files  # noqa: E402
from studio.preset.schema import EvaluationSection  # noqa: E402
from studio.settings import Settings  # noqa: E402
from studio.worker import base_model, environment  # noqa: E402

TARGET = 3
ROWS_DIR = PROJECT_DIR / "presets" / "data" / "recipes"


def main() -> int:
    """Answer the rows both ways and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rows", 80), ("alone", 20), ("batch-size", 40), ("max-new-tokens", 64), ("examples", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_environment({"STUDIO_DATA_DIR": folder} | os.environ)
        environment.prepare(settings)
        return compare(arguments, settings)


def compare(arguments: argparse.Namespace, settings: Settings) -> int:
    """Load the model once and have it answer."""
    from studio.data.render import render_prompt
    from studio.runs.device import probe_device
    from studio.worker import model as models
    from studio.worker.generation import answer_batches

    preset = files.override(files.load(PROJECT_DIR / "presets" / "quickstart.yaml"), {
        "model.dtype": "float32", "training.max_length": 1024})
    model, tokenizer = models.load_whole(preset, base_model.locate(preset.model, settings).folder, probe_device())
    models.FastLanguageModel.for_inference(model)
    rows = askable(read_jsonl(ROWS_DIR / "heldout.jsonl"))[:arguments.rows]
    way = "few_shot" if arguments.examples else "base"
    examples = choose_examples(way, [row.question for row in rows], askable(read_jsonl(ROWS_DIR / "train.jsonl")),
                               EvaluationSection(few_shot_examples=max(1, arguments.examples)), seed=1)
    prompts = sorted((render_prompt(tokenizer, build_prompt(way, row.question, chosen, "", as_chat=True), preset)[1]
                      for row, chosen in zip(rows, examples, strict=True)), key=len)
    chosen = list(range(0, len(prompts), max(1, len(prompts) // arguments.alone)))

    def answer(asked: list[list[int]], batch_size: int) -> tuple[list[str], float]:
        began = time.monotonic()
        found = {}
        for batch in answer_batches(model, tokenizer, asked, batch_size, arguments.max_new_tokens):
            found |= batch
        return [found[i].text for i in range(len(asked))], (time.monotonic() - began) / len(asked)

    answer(prompts[:1], 1)  # the first call compiles
    together, batched_s = answer(prompts, arguments.batch_size)
    alone, alone_s = answer([prompts[i] for i in chosen], 1)
    same = sum(one == together[i] for one, i in zip(alone, chosen, strict=True))
    ratio = alone_s / batched_s
    print(f"{len(prompts)} rows in batches of {arguments.batch_size}: {batched_s:.2f} s a row; "
          f"{len(chosen)} of them one by one: {alone_s:.2f} s a row")
    print(f"ratio {ratio:.2f} (target {TARGET}), {same} of {len(chosen)} answers the same")
    return 0 if ratio >= TARGET and same == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
