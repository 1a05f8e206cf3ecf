"""Terminal: what the command line prints, in words, tables and a line that moves; and the facts that `--json` prints.

Nothing here decides; `studio.commands` calls these functions.
"""
