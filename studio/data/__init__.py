"""Data: where rows come from, which shape they have, and how a model reads them.

`sources` reads, `formats` normalises, `render` applies the chat template and the loss mask; `doctor` examines a whole
set with `records` (files of any kind in one bounded pass). No training code and no widgets belong here; only `render`
and `tokenizer` need transformers, and only workers import them.
"""
