"""Commands: what `python -m studio` offers, a file for each subject: the arguments first, then what each command does.

Each file's `add` puts its commands into the parser of `studio.cli`; `studio.terminal` prints. What takes long to import
is imported in the command that needs it.
"""
