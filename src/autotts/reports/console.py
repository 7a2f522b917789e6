"""The console for tables, on which nothing that others wrote drives the terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from autotts.text import clean


class CleanConsole(Console):
    """Cleans every text on its way to the terminal, in tables, Markdown and progress alike."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            if control:
                yield Segment(text, style, control)
            elif style is not None and style.link is not None:
                # A link is an escape sequence around an address that nobody cleaned.
                yield Segment(clean(text), style.update_link(None))
            else:
                yield Segment(clean(text), style)
