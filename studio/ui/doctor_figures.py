"""What the report counts, as HTML: the histogram of lengths, what padding costs, epochs, labels, overlap."""

import html
from typing import Any

from studio import words
from studio.preset.schema import Preset
from studio.texts import text
from studio.ui.findings_view import fix_html

CHART_WIDTH, CHART_HEIGHT = 600, 120
LABELS_SHOWN = 12
# packing is worth a word where it saves so much
WORTH_GAIN = 1.2


def figures_html(report: dict[str, Any], preset: Preset) -> str:
    """Lengths in tokens, where they are counted, and what else the rows are like."""
    return _tokens_html(report, preset) + _more_html(report)


def _tokens_html(report: dict[str, Any], preset: Preset) -> str:
    title = f"<h3>{_t('tokens.title')}</h3>"
    tokens, error = report["tokens"], report["tokens_error"]
    if tokens is None and error:
        return f'{title}<p>{_t("tokens.none")} {html.escape(error["message"])} {html.escape(error["hint"])}</p>'
    if tokens is None:
        return f'{title}<p class="later">{_t("tokens.later")}</p>' if report["usable_rows"] else ""
    if not tokens["rows"]:
        return ""
    facts = {"mean": _mean(tokens), "cut": _cut(tokens), "epoch": html.escape(text(
        "doctor.tokens.epoch_value", tokens=words.count(tokens["tokens_per_epoch"]),
        trained=words.count(tokens["trained_tokens_per_epoch"]))),
        "padding": _padding(tokens, preset), "epochs": _epochs(report["epochs"], preset)}
    return f'{title}{_histogram_html(tokens)}<dl class="facts">{_listed("tokens", facts)}</dl>'


def _mean(tokens: dict[str, Any]) -> str:
    mean, trained = words.count(round(tokens["mean"])), words.count(round(tokens["mean_trained"]))
    if tokens["sampled_rows"] == tokens["rows"]:
        return html.escape(text("doctor.tokens.mean_value", mean=mean, trained=trained))
    estimate = text("doctor.tokens.mean_estimate", mean=mean, trained=trained, error=words.figure(tokens["mean_error"]),
                    sampled=words.count(tokens["sampled_rows"]), rows=words.count(tokens["rows"]))
    return f'{html.escape(estimate)} <button type="button" class="fix" data-exact>{_t("tokens.exact")}</button>'


def _cut(tokens: dict[str, Any]) -> str:
    if not tokens["truncated_share"]:
        return html.escape(text("doctor.tokens.cut_none", n=words.count(tokens["max_length"])))
    said = html.escape(text("doctor.tokens.cut_value", share=_percent(tokens["truncated_share"]),
                            tokens=_percent(tokens["tokens_cut_share"])))
    longer = tokens["suggested_max_length"]
    if longer <= tokens["max_length"]:
        return said
    label = text("doctor.tokens.use_length", n=words.count(longer))
    return f'{said} {fix_html({"training.max_length": longer}, label)}'


def _padding(tokens: dict[str, Any], preset: Preset) -> str:
    waste = text("doctor.tokens.padding_value", share=_percent(tokens["padding_waste"]), batch=tokens["batch_size"])
    if preset.training.packing or tokens["packing_gain"] < WORTH_GAIN:
        return html.escape(waste)
    said = text("doctor.tokens.packing_saves", share=waste, gain=words.figure(tokens["packing_gain"]))
    return f'{html.escape(said)} {fix_html({"training.packing": True}, text("doctor.tokens.use_packing"))}'


def _epochs(usual: int, preset: Preset) -> str:
    now = preset.training.num_train_epochs
    if now == usual:
        return html.escape(text("doctor.tokens.epochs_same", auto=usual))
    said = html.escape(text("doctor.tokens.epochs_value", now=f"{now:g}", auto=usual))
    return f'{said} {fix_html({"training.num_train_epochs": usual}, text("doctor.tokens.use_epochs", n=usual))}'


def _histogram_html(tokens: dict[str, Any]) -> str:
    """Bars over the number of tokens, with a line at the cut; those beyond it have another colour."""
    edges, counts, limit = tokens["histogram"]["edges"], tokens["histogram"]["counts"], tokens["max_length"]
    end, most = edges[-1], max(counts)
    bars = []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if not count:
            continue
        x, width = CHART_WIDTH * left / end, CHART_WIDTH * (right - left) / end
        height = max(2, CHART_HEIGHT * count / most)
        kind = "beyond" if left >= limit else "within"
        title = html.escape(f"{words.count(left)} – {words.count(right)}: {words.count(count)}")
        bars.append(f'<rect class="{kind}" x="{x:.1f}" y="{CHART_HEIGHT - height:.1f}" width="{max(1, width - 1):.1f}" '
                    f'height="{height:.1f}"><title>{title}</title></rect>')
    said = html.escape(text("doctor.tokens.chart", median=words.count(tokens["median"]),
                            p95=words.count(tokens["p95"]), longest=words.count(tokens["longest"])))
    line = sign = ""
    if limit <= end:
        x = CHART_WIDTH * limit / end
        line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{CHART_HEIGHT}"></line>'
        # the sign stands on the side of the line that has room for it
        side = f"right:{100 - 100 * limit / end:.1f}%" if 2 * limit > end else f"left:{100 * limit / end:.1f}%"
        note = html.escape(text("doctor.tokens.limit", n=words.count(limit)))
        sign = f'<span class="sign" style="{side}" aria-hidden="true">{note}</span>'
    return (f'<figure class="lengths"><svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" '
            f'role="img" aria-label="{said}">{"".join(bars)}{line}</svg>{sign}'
            f'<div class="axis" aria-hidden="true"><span>0</span>'
            f'<span>{words.count(end)} {_t("tokens.axis")}</span></div>'
            f"<figcaption>{said}</figcaption></figure>")


def _more_html(report: dict[str, Any]) -> str:
    """Repeated rows, labels, overlap with the held-out rows, and the turns of chats, as far as there are any."""
    facts = {}
    repeated, overlap, turns = report["duplicates"], report["overlap"], report["turns"]
    if repeated["exact"] or repeated["near"]:
        facts["duplicates"] = html.escape(text("doctor.more.duplicates_value", exact=words.count(repeated["exact"]),
                                               near=words.count(repeated["near"])))
    if overlap:
        facts["overlap"] = html.escape(text(
            "doctor.more.overlap_value", rows=words.count(overlap["heldout_rows"]),
            exact=words.count(overlap["exact"]), near=words.count(overlap["near"]),
            question=words.count(overlap["same_question"])))
    if turns:
        facts["turns"] = html.escape(text(
            "doctor.more.turns_value", mean=words.figure(turns["mean"]), system=_percent(turns["with_system"]),
            tools=_percent(turns["with_tools"])))
    if report["labels"]:
        facts["labels"] = _labels_html(report["labels"])
    if not facts:
        return ""
    return f'<h3>{_t("more.title")}</h3><dl class="facts">{_listed("more", facts)}</dl>'


def _labels_html(labels: dict[str, int]) -> str:
    most = max(labels.values())
    shown = sorted(labels.items(), key=lambda item: -item[1])[:LABELS_SHOWN]
    return '<ul class="label-bars">' + "".join(
        f'<li><span class="label">{html.escape(words.plain(label, 60))}</span>'
        f'<span class="label-bar" aria-hidden="true"><span style="width:{100 * n / most:.1f}%"></span></span>'
        f'<span class="label-rows">{words.count(n)}</span></li>'
        for label, n in shown) + "</ul>"


def _listed(part: str, facts: dict[str, str]) -> str:
    return "".join(f"<dt>{_t(f'{part}.{key}')}</dt><dd>{value}</dd>" for key, value in facts.items())


def _percent(share: float) -> str:
    return words.percent(share) if share >= 0.01 or share == 0 else "< 1 %"


def _t(key: str) -> str:
    return html.escape(text(f"doctor.{key}"))
