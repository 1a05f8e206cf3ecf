"""How fast a data set is examined: chat rows in JSON Lines, against two usual ways, each in a process of its own.

usage: python benchmarks/data.py [--rows 1000000] [--tokens]

    shape     the doctor's pass alone: parse every row, bring it into shape, and judge it under all names for rows
    doctor    the whole report: also duplicates, near-duplicates, languages, secrets, personal data
    cookbook  the format check of OpenAI's cookbook (Chat_finetuning_data_prep), json.loads and plain Python: its seven
              named errors; neither its warnings nor its token counts, which would make it slower
    datasets  datasets.load_dataset of the same file, with an empty cache; nothing is checked

Targets: shape at least 5 times faster than cookbook and at most 2 times slower than datasets, at most 1.5 GB resident
(this process and its helpers together, each at its peak).
With --tokens also: counting tokens as the doctor does, against a loop of single rows (at least 3 times as fast).
Exit code 0 only when all targets are met.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

WAYS = ("shape", "doctor", "cookbook", "datasets")
FASTER_THAN_COOKBOOK, SLOWER_THAN_DATASETS, MOST_RESIDENT_GB = 5, 2, 1.5
FASTER_IN_BATCHES, TOKENISED_ROWS, SINGLE_ROWS = 3, 100_000, 10_000
WORDS = 20_000


def main() -> int:
    """Run every way and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--way", choices=[*WAYS, "tokens"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        began = time.perf_counter()
        found = globals()[f"by_{arguments.way}"](arguments.file)
        seconds = time.perf_counter() - began
        resident = resident_gb()
        print(json.dumps({"seconds": seconds, "resident_gb": resident, "found": found}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, arguments.rows)
        print(f"{arguments.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} cores")
        best = {way: min((measure(way, path) for _ in range(arguments.rounds)), key=lambda taken: taken["seconds"])
                for way in WAYS}
        for way, taken in best.items():
            print(f"{way:9} {taken['seconds']:8.2f} s  {arguments.rows / taken['seconds']:>10,.0f} rows/s  "
                  f"{taken['resident_gb']:.2f} GB  found {taken['found']}")
        met = judge(best)
        if arguments.tokens:
            ratio = measure("tokens", path)["found"]
            print(f"tokens: all at once {ratio:.1f} times faster than row by row (target {FASTER_IN_BATCHES})")
            met = met and ratio >= FASTER_IN_BATCHES
    return 0 if met else 1


def resident_gb() -> float:
    """The peaks of this process and of as many helpers as there are cores, which end first."""
    while multiprocessing.active_children():
        time.sleep(0.01)
    peaks = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return peaks[0] + peaks[1] * os.cpu_count()


def judge(best: dict[str, dict]) -> bool:
    """Print the ratios; returns whether the targets are met."""
    cookbook = best["cookbook"]["seconds"] / best["shape"]["seconds"]
    loaded = best["shape"]["seconds"] / best["datasets"]["seconds"]
    resident = max(best["shape"]["resident_gb"], best["doctor"]["resident_gb"])
    print(f"shape is {cookbook:.1f} times faster than cookbook (target {FASTER_THAN_COOKBOOK})")
    print(f"shape takes {loaded:.2f} times as long as datasets (target at most {SLOWER_THAN_DATASETS})")
    print(f"resident at most {resident:.2f} GB (target {MOST_RESIDENT_GB})")
    return (cookbook >= FASTER_THAN_COOKBOOK and loaded <= SLOWER_THAN_DATASETS and resident <= MOST_RESIDENT_GB)


def measure(way: str, path: Path) -> dict:
    """One way in a fresh process."""
    done = subprocess.run([sys.executable, __file__, "--way", way, "--file", str(path)], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_rows(path: Path, rows: int) -> None:
    """Chats of two to six turns, about 500 bytes; one in a thousand has no answer."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvyzéš", k=rng.randint(2, 9))) for _ in range(WORDS)]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(rows):
            turns = rng.choice((2, 2, 2, 4, 6))
            messages = [{"role": "system", "content": "You are a helpful assistant."}]
            for turn in range(turns):
                content = " ".join(rng.choices(words, k=rng.randint(5, 30)))
                messages.append({"role": "assistant" if turn % 2 else "user", "content": content})
            if number % 1000 == 999:
                messages = messages[:2]
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def by_shape(path: Path) -> int:
    """Rows the doctor's pass refuses."""
    return examined(path, thorough=False)


def by_doctor(path: Path) -> int:
    """Rows the whole report says are dropped."""
    return examined(path, thorough=True)


def examined(path: Path, thorough: bool) -> int:
    from studio.data.doctor import examine
    from studio.preset.schema import DataSection
    from studio.settings import Settings

    section, settings = DataSection(dataset_name=str(path)), Settings(data_dir=path.parent)
    return examine(section, settings, thorough=thorough).dropped_rows


def by_cookbook(path: Path) -> int:
    """The checks of the cookbook's notebook, written out: all rows in a list, then a loop; returns its error count."""
    with open(path, encoding="utf-8") as file:
        dataset = [json.loads(line) for line in file]
    errors: dict[str, int] = defaultdict(int)
    for example in dataset:
        if not isinstance(example, dict):
            errors["data_type"] += 1
            continue
        messages = example.get("messages", None)
        if not messages:
            errors["missing_messages_list"] += 1
            continue
        for message in messages:
            if "role" not in message or "content" not in message:
                errors["message_missing_key"] += 1
            if any(key not in ("role", "content", "name", "function_call", "weight") for key in message):
                errors["message_unrecognized_key"] += 1
            if message.get("role", None) not in ("system", "user", "assistant", "function"):
                errors["unrecognized_role"] += 1
            content = message.get("content", None)
            function_call = message.get("function_call", None)
            if (not content and not function_call) or not isinstance(content, str):
                errors["missing_content"] += 1
        if not any(message.get("role", None) == "assistant" for message in messages):
            errors["example_missing_assistant_message"] += 1
    return sum(errors.values())


def by_datasets(path: Path) -> int:
    """Nothing is checked; returns 0."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
    return 0


def by_tokens(path: Path) -> float:
    """How many times more rows a second are counted together than one by one, reading included."""
    sys.modules["torch"] = None
    from studio.data.json_rows import parse
    from studio.data.render import render
    from studio.preset.schema import Preset
    from studio.settings import Settings
    from studio.worker.preview import tokenizer_of
    from studio.worker.tokens import count_rows

    settings = Settings.from_environment()
    preset = Preset(data={"dataset_name": str(path), "max_rows": TOKENISED_ROWS})
    tokenizer = tokenizer_of(preset, settings)
    began = time.perf_counter()
    rows = count_rows(preset, settings, [str(path)], 1).sampled_rows
    together = rows / (time.perf_counter() - began)
    began = time.perf_counter()
    with open(path, "rb") as file:
        for line, _ in zip(file, range(SINGLE_ROWS), strict=False):
            render(tokenizer, parse(line)[0], preset)
    return together / (SINGLE_ROWS / (time.perf_counter() - began))


if __name__ == "__main__":
    sys.exit(main())
