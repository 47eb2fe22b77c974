"""Draws lines over time as SVG, and as PNG if Chromium is installed."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 900, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 24
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: a title and, for each line, its name and its values at the common times."""

    title: str
    lines: dict[str, list[float]]


def svg(title: str, seconds: list[float], panels: list[Panel]) -> str:
    """Return the panels below each other as one SVG image."""
    total = HEIGHT * len(panels) + 30
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}"'
            f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
            f'<text x="{_LEFT}" y="20" font-size="15" font-weight="bold">{escape(title)}</text>'
        ),
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0,{30 + number * HEIGHT})">')
        parts += _panel(panel, seconds)
        parts.append("</g>")
    return "".join([*parts, "</svg>\n"])


def _panel(panel: Panel, seconds: list[float]) -> list[str]:
    highest = max((value for line in panel.lines.values() for value in line), default=0) * 1.1 or 1
    end = max(seconds[-1], 1.0)
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    parts = [f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(panel.title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = _TOP + high * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#d0d7de"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{highest * share:.4g}</text>'
            f'<text x="{_LEFT + wide * share}" y="{HEIGHT - 6}" text-anchor="middle">'
            f"{end * share:.0f} s</text>",
        )
    for number, (name, values) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + wide * at / end:.1f},{_TOP + high * (1 - value / highest):.1f}"
            for at, value in zip(seconds, values, strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="{_LEFT + 200 + number * 170}" y="16" fill="{colour}">{escape(name)}</text>',
        )
    return parts


def png(image: Path) -> Path | None:
    """Write the SVG `image` as PNG next to it; return its path, None without Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return None
    target = image.with_suffix(".png")
    height = int(image.read_text().split('height="', 1)[1].split('"', 1)[0])
    with tempfile.TemporaryDirectory(prefix="corsproxy-plot-") as profile:
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}"]
        subprocess.run(
            [
                *(browser, *options, f"--window-size={WIDTH},{height}"),
                *(f"--screenshot={target}", image.resolve().as_uri()),
            ],
            capture_output=True,
            check=True,
            timeout=60,
        )
    return target
