"""The commands for data sets: examine one, and write its rows as they would be trained on."""

import argparse
import dataclasses
import signal
import threading
from pathlib import Path
from typing import Any

from studio import words
from studio.commands.arguments import changes, command, on_preset, read_preset, with_changes
from studio.commands.outcome import tell
from studio.errors import DataError, StudioError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.terminal.doctor import print_report
from studio.terminal.line import LiveLine


def add(commands: Any) -> None:
    examined = command(
        commands, "doctor", _doctor, "examine a data set: what is wrong with which rows, and is it enough")
    examined.add_argument("data", metavar="DATA", nargs="+", help="files (also .gz, .zip), or owner/name on the Hub")
    examined.add_argument("--heldout", metavar="FILE", default="", help="rows to judge by: what of them is in DATA too")
    examined.add_argument("--model", default="", help="count tokens with this model's tokenizer and chat template")
    examined.add_argument("--max-length", type=int, metavar="N", help="longest row in tokens (default: the preset's)")
    examined.add_argument("--quick", action="store_true", help="rows only: look for no duplicates, languages, secrets")
    examined.add_argument("--exact", action="store_true", help="count every row's tokens, however many there are")
    with_changes(examined, "e.g. data.prompt_column=question")

    data = commands.add_parser("data", help="work with data sets", description="Work with data sets.")
    exported = on_preset(command(data.add_subparsers(required=True, metavar="WHAT"), "export", _export,
                                 "write a preset's rows, cleaned, as JSON Lines"), "PRESET_OR_DATA")
    exported.add_argument("--to", required=True, metavar="FOLDER", help="where the files are written")
    exported.add_argument("--push", metavar="OWNER/NAME", default="", help="push them as a data set to the Hub, too")
    exported.add_argument("--public", action="store_true", help="let everyone see it there (default: private)")


def _doctor(store: RunStore, arguments: argparse.Namespace) -> int:
    """Exit code 1 where training would refuse rows, or no tokens can be counted. Ctrl-C ends the reading early."""
    from studio.data import doctor, token_client

    fields = {"data.dataset_name": arguments.data[0]}
    fields |= {"model.model_name_or_path": arguments.model} if arguments.model else {}
    fields |= {"training.max_length": arguments.max_length} if arguments.max_length is not None else {}
    preset = files.override(Preset(), fields | changes(arguments))
    heldout = preset.data.model_copy(update={"dataset_name": arguments.heldout}) if arguments.heldout else None
    line = LiveLine(arguments.json)
    ended = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        report = doctor.examine(
            preset.data, store.settings, more=arguments.data[1:], heldout=heldout, stopped=ended.is_set,
            thorough=not arguments.quick,
            progress=lambda share, rows: line.show(
                words.in_number(f"{words.percent(share)}  {rows:,} [row|rows]", rows)))
    except StudioError:
        raise
    except Exception as error:  # the data are anybody's: whatever they break, the person gets a sentence
        raise DataError(f"The examination broke off: {type(error).__name__}, {words.plain(str(error), 200)}.",
                        "Try another file; if this one is sound, report it with these words.") from error
    finally:
        line.clear()
        signal.signal(signal.SIGINT, before)
    if arguments.model and report.usable_rows and report.complete:
        line.show("counting tokens")
        try:
            report.add_tokens(token_client.count_tokens(
                arguments.data, preset, store.settings, report.usable_rows, exact=arguments.exact),
                preset.data.bad_rows)
        except StudioError as error:  # what was found in the rows stays
            report.tokens_error = {"message": error.message, "hint": error.hint, "field": error.field}
    line.clear()
    tell(arguments, report.as_json(), lambda: print_report(report))
    return 0 if report.may_start and report.tokens_error is None else 1


def _export(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.data.export import export
    from studio.terminal.export import print_export, push

    preset = _preset_or_data(store.settings, arguments)
    exported = export(preset, store.settings, Path(arguments.to))
    pushed = push(
        exported, preset, store.settings, arguments.push, private=not arguments.public, quiet=arguments.json,
    ) if arguments.push else None
    facts = dataclasses.asdict(exported) | {"pushed": dataclasses.asdict(pushed) if pushed else None}
    tell(arguments, facts, lambda: print_export(exported, pushed))


def _preset_or_data(settings: Settings, arguments: argparse.Namespace) -> Preset:
    """The preset that is named, or the default one with the data that is named, and the `--set` changes."""
    named = arguments.preset
    if named.endswith((".yaml", ".yml")) or named in (path.stem for path in files.list_presets(settings)):
        return read_preset(settings, arguments)[0]
    return files.override(Preset(), {"data.dataset_name": named} | changes(arguments))
