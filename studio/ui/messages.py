"""Failures a person can answer, shown as a message on the page instead of a traceback in the server's log.

Only for events that use the queue: a handler with `queue=False` cannot show a message (return it into a component).
"""

import functools
import html
import inspect
from collections.abc import Callable

import gradio as gr

from studio.errors import StudioError


def shown(handler: Callable) -> Callable:
    """Let a handler (plain function or generator) raise `StudioError`; the page shows its cause and next step."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def streaming(*args, **kwargs):
            try:
                yield from handler(*args, **kwargs)
            except StudioError as error:
                raise as_message(error) from None

        return streaming

    @functools.wraps(handler)
    def plain(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            raise as_message(error) from None

    return plain


def as_message(error: StudioError) -> gr.Error:
    """The error as Gradio shows it. Its text is escaped: the page renders messages as HTML."""
    return gr.Error(html.escape(str(error)), duration=15, title="", print_exception=False)
