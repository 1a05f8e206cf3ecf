"""The loss of a run as a PNG for its model card: faint raw points, a smooth line, held-out loss, last values printed.

Drawn with Pillow, which comes with Gradio, so that publishing needs no plotting library.
"""

import math
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, SCALE = 880, 400, 2
LEFT, RIGHT, TOP, BOTTOM = 66, 150, 28, 56
BACKGROUND, INK, GRID = "#ffffff", "#475569", "#e2e8f0"
TRAIN, TRAIN_FAINT, HELD_OUT = "#0f766e", "#99d5cf", "#b45309"

Points = Sequence[tuple[int, float]]


def draw_loss_curve(train: Points, held_out: Points) -> bytes | None:
    """PNG bytes of the training and held-out loss over steps; None with fewer than two training points.

    `train` and `held_out` are (step, loss) pairs in order of steps, every loss finite.
    """
    if len(train) < 2:
        return None
    canvas = _Canvas([*train, *held_out])
    canvas.axes()
    for point in train:
        canvas.dot(point, TRAIN_FAINT, 2)
    smooth = _smoothed(train)
    canvas.line(smooth, TRAIN)
    last = [("training", smooth[-1], TRAIN)]
    if held_out:
        canvas.line(held_out, HELD_OUT)
        for point in held_out:
            canvas.dot(point, HELD_OUT, 4)
        last.append(("held out", held_out[-1], HELD_OUT))
    canvas.last_values(last)
    return canvas.png()


class _Canvas:
    """A plot area in steps and loss, drawn at twice its size for sharp lines."""

    def __init__(self, points: Points):
        self.first, self.last = min(step for step, _ in points), max(step for step, _ in points)
        self.ticks = _ticks(min(loss for _, loss in points), max(loss for _, loss in points))
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), BACKGROUND)
        self.pen = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(14 * SCALE)

    def xy(self, point: tuple[int, float]) -> tuple[float, float]:
        step, loss = point
        low, high = self.ticks[0], self.ticks[-1]
        x = LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (loss - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return x * SCALE, y * SCALE

    def axes(self) -> None:
        for tick in self.ticks:
            (x0, y), (x1, _) = self.xy((self.first, tick)), self.xy((self.last, tick))
            self.pen.line([(x0, y), (x1, y)], fill=GRID, width=SCALE)
            self.text((x0 - 8 * SCALE, y), f"{tick:g}", "rm")
        for step in sorted({self.first, (self.first + self.last) // 2, self.last}):
            x, y = self.xy((step, self.ticks[0]))
            self.text((x, y + 8 * SCALE), f"{step:,}", "ma")
        middle = (LEFT + WIDTH - RIGHT) / 2 * SCALE
        self.text((middle, (HEIGHT - 10) * SCALE), "step", "ms")
        self.text((8 * SCALE, 8 * SCALE), "loss", "lt")

    def text(self, place: tuple[float, float], words: str, anchor: str, colour: str = INK) -> None:
        self.pen.text(place, words, fill=colour, font=self.font, anchor=anchor)

    def dot(self, point: tuple[int, float], colour: str, radius: float) -> None:
        x, y = self.xy(point)
        self.pen.ellipse([x - radius * SCALE, y - radius * SCALE, x + radius * SCALE, y + radius * SCALE], fill=colour)

    def line(self, points: Points, colour: str) -> None:
        self.pen.line([self.xy(point) for point in points], fill=colour, width=round(2.2 * SCALE), joint="curve")

    def last_values(self, values: list[tuple[str, tuple[int, float], str]]) -> None:
        """Name and last value at the end of each line, moved apart where they would overlap."""
        above = -math.inf
        for name, point, colour in sorted(values, key=lambda value: -value[1][1]):
            x, y = (WIDTH - RIGHT + 10) * SCALE, self.xy(point)[1]
            above = max(y, above + 20 * SCALE)
            self.text((x, above), f"{name} {point[1]:.3g}", "lm", colour)

    def png(self) -> bytes:
        data = BytesIO()
        self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(data, "PNG", optimize=True)
        return data.getvalue()


def _smoothed(points: Points) -> list[tuple[int, float]]:
    """Mean over a tenth of the points, half of them on either side: unlike a running mean it does not lag behind."""
    half = max(1, len(points) // 20)
    losses = [loss for _, loss in points]
    windows = [losses[max(0, place - half):place + half + 1] for place in range(len(points))]
    return [(step, sum(window) / len(window)) for (step, _), window in zip(points, windows, strict=True)]


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round values that span low to high."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
