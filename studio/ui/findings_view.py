"""The preflight's findings as HTML: icon and word beside the colour, and a button for a fix that a click can make."""

import html
import json
from typing import Any

from studio import words
from studio.preset.flatten import leaves
from studio.runs.checks import Finding
from studio.runs.device import Device
from studio.runs.estimates import MemoryEstimate
from studio.start import Outlook
from studio.texts import text

MARKS = {"error": "✕", "warning": "!", "info": "i"}
# the button carries the fields it would set; the server checks them like any other input
FIX_JS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-fix]');
  if (button) trigger('select', {fix: JSON.parse(button.dataset.fix)});
});
"""


def outlook_html(outlook: Outlook) -> str:
    """Findings, then memory against the device, time and money where they are known."""
    facts = ""
    if outlook.time is not None:
        span = text("train.check.time_range", low=words.rough_duration(outlook.time.low_s),
                    high=words.rough_duration(outlook.time.high_s))
        steps = words.in_number(text("train.check.steps", steps=words.count(outlook.time.steps)), outlook.time.steps)
        facts += _fact_html("time", span, steps)
    if outlook.money is not None:
        facts += _fact_html("money", words.money(outlook.money), text("train.check.money_help"))
    if outlook.memory is not None:
        facts = _memory_html(outlook.memory, outlook.device) + facts
    return findings_html(outlook.findings) + (f'<div class="estimates">{facts}</div>' if facts else "")


def findings_html(findings: list[Finding]) -> str:
    """All findings, worst first; a calm line where there are none."""
    order = list(MARKS)
    if not findings:
        return f'<div class="finding ok"><span class="mark" aria-hidden="true">✓</span><div>{_t("ok")}</div></div>'
    return "".join(_finding_html(finding) for finding in sorted(findings, key=lambda found: order.index(found.level)))


def status_html(problems: list[str]) -> str:
    """The line below the YAML: whether it and the form agree, else what is to mend."""
    if not problems:
        return f'<p class="status ok" role="status">✓ {html.escape(text("train.yaml.agree"))}</p>'
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    return f'<div class="status broken" role="status">{html.escape(text("train.yaml.attention"))}<ul>{items}</ul></div>'


def _memory_html(memory: MemoryEstimate, device: Device) -> str:
    """The parts as one bar; its full width is the device's memory, or the need where that is larger."""
    whole = max(memory.total, device.memory_bytes)
    parts = [("weights", memory.weights), ("trainable", memory.trainable), ("activations", memory.activations),
             ("overhead", memory.overhead)]
    bars = "".join(
        f'<span class="part {part}" style="width:{100 * value / whole:.2f}%"></span>' for part, value in parts)
    legend = "".join(
        f'<li><span class="part {part}"></span>{_t(f"parts.{part}")} {words.size(value)}</li>' for part, value in parts)
    verdict = text(f"train.check.verdicts.{memory.verdict(device).name}")
    said = text("train.check.of_device", needed=words.size(memory.total), there=words.size(device.memory_bytes))
    return (f'<div class="estimate wide"><h3>{_t("memory")}</h3><p class="figure">{html.escape(said)}'
            f'<small>{html.escape(verdict)}</small></p><div class="bar" aria-hidden="true">{bars}</div>'
            f'<ul class="bar-legend">{legend}</ul></div>')


def _fact_html(key: str, figure: str, note: str) -> str:
    return (f'<div class="estimate"><h3>{_t(key)}</h3><p class="figure">{html.escape(figure)}'
            f"<small>{html.escape(note)}</small></p></div>")


def _finding_html(finding: Finding) -> str:
    word = _t(finding.level)
    return (
        f'<div class="finding {finding.level}"><span class="mark" aria-hidden="true">{MARKS[finding.level]}</span>'
        f"<div><strong>{word}: {html.escape(finding.message)}</strong> {html.escape(finding.hint)}"
        f"{fix_html(finding.fix)}</div></div>")


def fix_html(fix: dict[str, Any], label: str = "") -> str:
    """A button that sets these fields of the preset; by itself it says which. Nothing where there are none."""
    if not fix:
        return ""
    titles = {name: field.title for name, field in leaves()}
    changes = ", ".join(f"{titles[name]} = {_value(value)}" for name, value in fix.items())
    label = label or text("train.check.fix", changes=changes)
    return f"<button type='button' class='fix' data-fix='{html.escape(json.dumps(fix))}'>{html.escape(label)}</button>"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return text("train.check.on") if value else text("train.check.off")
    return str(value)


def _t(key: str) -> str:
    return html.escape(text(f"train.check.{key}"))
