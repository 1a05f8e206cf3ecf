"""`python -m studio ...`: parse, call one function of the core, print. A person's mistake ends with exit code 2."""

import argparse
import json
import sys
from dataclasses import replace

from studio.commands import afterwards, answers, data, presets, publishing, runs
from studio.commands.arguments import command
from studio.commands.outcome import EXIT_MISTAKE
from studio.errors import StudioError
from studio.preset.schema import Preset
from studio.runs.store import RunStore
from studio.settings import Settings, read_port

EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 the run did not complete, 2 the request was refused,
    130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.command(RunStore(Settings.from_environment()), arguments) or 0
    except StudioError as error:
        if arguments.json:
            print(json.dumps({"error": error.message, "hint": error.hint, "field": error.field}))
        else:
            print(f"{error}", file=sys.stderr)
        return EXIT_MISTAKE
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """All commands with their arguments; the parsed ones hold in `command` the function that is called."""
    parser = argparse.ArgumentParser(
        prog="python -m studio", description="Fine-tune open language models without code.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")  # listed in this order
    serve = command(commands, "serve", _serve, "serve the studio's page")
    serve.add_argument("--host", metavar="ADDRESS", default="", help="listen at this address instead of STUDIO_HOST")
    serve.add_argument("--port", metavar="NUMBER", default="", help="listen on this port instead of STUDIO_PORT")
    serve.add_argument("--open", metavar="RUN", default="", help="print and open the page at this run")
    for subject in (runs, afterwards, publishing, answers, presets, data):
        subject.add(commands)
    command(commands, "schema", _schema, "print the preset's JSON schema")
    return parser


def _serve(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import app  # gradio takes seconds to import and no other command needs it

    settings = replace(store.settings, host=arguments.host or store.settings.host)
    if arguments.port:
        settings = replace(settings, port=read_port({"--port": arguments.port}, "--port"))
    app.launch(settings, open_run=store.find(arguments.open).run_id if arguments.open else "")


def _schema(store: RunStore, arguments: argparse.Namespace) -> None:
    print(json.dumps(Preset.model_json_schema(), indent=2, ensure_ascii=False))
