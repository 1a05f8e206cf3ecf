"""The page: one file per tab, the form derived from the schema, texts, theme.

Handlers call one function of another room and return updates. No rule that the command line would need belongs here.
"""
