"""The data doctor's report in a terminal: the verdict, what is wrong with its lines, and figures."""

from typing import Any

from studio import words
from studio.data.languages import UNKNOWN
from studio.data.report import Finding, Place, Report, Tokens
from studio.terminal.layout import MARKS

PLACES_SHOWN = 3
BAR_WIDTH = 40
LABELS_SHOWN = 8
LANGUAGES_SHOWN = 6


def print_report(report: Report) -> None:
    """Everything a person needs before training: worst first, figures at the end."""
    print(report.verdict)
    if not report.complete:
        print("The examination was ended early: this is what was read until then.")
    print()
    for finding in report.all_findings:
        _print_finding(finding)
    if report.all_findings:
        print()
    for name, value in _facts(report):
        print(f"  {name:12} {value}")
    if report.tokens is not None and report.tokens.rows:
        _print_tokens(report.tokens)
    if report.tokens_error is not None:
        print(f"\n{MARKS['error']} The tokens could not be counted. {report.tokens_error['message']} "
              f"{report.tokens_error['hint']}")


def print_verdict(report: dict[str, Any]) -> None:
    """The verdict of a report (as JSON) and what it found, in a few lines."""
    print(f"Data: {report['verdict']}")
    for found in report["findings"]:
        if found["level"] != "info":
            _print_finding(Finding(**found | {"places": [Place(**place) for place in found["places"]]}))
    print()


def _print_finding(finding: Finding) -> None:
    print(f"{MARKS['info' if finding.outcome else finding.level]} {finding.message} {finding.outcome or finding.fix}")
    places = [place for place in finding.places if place.file or place.detail]
    for place in places[:PLACES_SHOWN]:
        where = f"line {place.line:,}" if place.line else f"row {place.in_file:,}" if place.in_file else ""
        print("    " + ", ".join(part for part in (place.file, where, words.plain(place.detail)) if part))
    more = finding.count - len(places[:PLACES_SHOWN])
    if more > 0 and any(place.file for place in places):
        print(f"    and {more:,} more")


def _facts(report: Report) -> list[tuple[str, str]]:
    columns = ", ".join(f"{part} from {words.plain(name, 40)}" for part, name in report.shape["columns"].items())
    facts = [
        ("rows", f"{report.rows:,}, of which {report.usable_rows:,} can be used"),
        ("shape", f"{report.shape['format']} ({columns}), {words.percent(report.shape['confidence'])} sure")]
    facts += [("file", f"{file['name']}: {_rows(file['rows'])}, {words.size(file['size_bytes'])}"
               + (f", {file['encoding']}" if file["encoding"] else "")) for file in report.files[:8]]
    if report.turns:
        facts.append(("chats", f"{report.turns['mean']:.1f} messages on average, "
                      f"{words.percent(report.turns['with_system'])} with a system message"))
    if report.labels:
        most = sorted(report.labels.items(), key=lambda item: -item[1])[:LABELS_SHOWN]
        facts.append(("labels", ", ".join(f"{words.plain(label, 24)} {n:,}" for label, n in most)))
    if report.languages:
        judged = sum(report.languages.values())
        facts.append(("languages", ", ".join(
            f"{'unknown' if code == UNKNOWN else code} {words.percent(n / judged)}"
            for code, n in list(report.languages.items())[:LANGUAGES_SHOWN]) + f" of {_rows(judged)} looked at"))
    found = report.secrets | report.personal_data
    if found:
        facts.append(("found", ", ".join(f"{kind} {n:,}" for kind, n in found.items())))
    if report.overlap:
        facts.append(("held out", f"{_rows(report.overlap.heldout_rows)}, {report.overlap.exact:,} of them among "
                      f"the training rows and {report.overlap.near:,} nearly"))
    facts.append(("epochs", f"{report.epochs} would be chosen automatically"))
    facts.append(("time", words.duration(report.seconds)))
    return facts


def _rows(number: int) -> str:
    return words.in_number(f"{number:,} [row|rows]", number)


def _gain(tokens: Tokens) -> str:
    return f"{tokens.packing_gain:.1f} times fewer to compute" if tokens.packing_gain > 1 else "saves nothing"


def _print_tokens(tokens: Tokens) -> None:
    print(f"\n  Tokens of {tokens.model}, longest row {tokens.max_length:,}")
    if tokens.sampled_rows < tokens.rows:
        print(f"  Estimated from {tokens.sampled_rows:,} of {tokens.rows:,} rows: "
              f"mean {tokens.mean:.1f} ± {tokens.mean_error:.1f}")
    most = max(tokens.histogram["counts"])
    edges = tokens.histogram["edges"]
    bins = list(zip(edges, edges[1:], tokens.histogram["counts"], strict=False))
    while bins[0][2] == 0:
        del bins[0]
    for low, high, n in bins:
        print(f"  {low:>7,} to {high - 1:<7,} {'█' * round(BAR_WIDTH * n / most)} {n:,}")
    facts = [
        ("median", f"{tokens.median:,}; 95 % have at most {tokens.p95:,}; the longest has {tokens.longest:,}"),
        ("cut", f"{100 * tokens.truncated_share:.1f} % of the rows, "
                f"{100 * tokens.tokens_cut_share:.1f} % of the tokens"),
        ("suggested", f"training.max_length={tokens.suggested_max_length}"),
        ("epoch", f"{tokens.tokens_per_epoch:,} tokens, {tokens.trained_tokens_per_epoch:,} of them learned"),
        ("padding", f"{words.percent(tokens.padding_waste)} with {_rows(tokens.batch_size)} a batch"),
        ("packing", f"{words.percent(tokens.packed_waste)} empty; {_gain(tokens)}")]
    for name, value in facts:
        print(f"  {name:12} {value}")
