"""What speaks against starting a run and what it will need, in a terminal."""

from studio import words
from studio.start import Outlook
from studio.terminal.layout import MARKS


def print_outlook(outlook: Outlook, say_clear: bool = False) -> None:
    """Errors, warnings and notes of the preflight, worst first, then what the run will need."""
    if say_clear and not outlook.findings:
        print("Nothing speaks against starting this run.")
    for finding in outlook.findings:
        print(f"{MARKS[finding.level]} {finding.message} {finding.hint}".rstrip())
        if finding.fix:
            print("    " + "  ".join(f"--set {name}={value}" for name, value in finding.fix.items()))
    needs = [outlook.device.name]
    if outlook.memory:
        needs.append(f"about {words.size(outlook.memory.total)} of {words.size(outlook.device.memory_bytes)} memory")
    if outlook.time:
        low, high = words.rough_duration(outlook.time.low_s), words.rough_duration(outlook.time.high_s)
        needs.append(f"{words.count(outlook.time.steps)} steps in {low} to {high}")
    if outlook.money is not None:
        needs.append(f"about {words.money(outlook.money)}")
    print(", ".join(needs))
