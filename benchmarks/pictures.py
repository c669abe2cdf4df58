"""The pictures in README: a terminal with `cp-search run quickstart`, and the report of that study.

    python -m benchmarks.pictures [--home DIR] [--out docs/pictures] [--lang zh-TW]

Runs the search on a pseudo-terminal (some minutes) and draws what stands there at its end; photographs the
page that `cp-search report quickstart` writes in a headless Chromium, in its light scheme. A DIR that holds
the transcript and the study of an earlier call is drawn from without another run. Needs Chromium, and
for Chinese a font that has it (Debian: chromium, fonts-noto-cjk).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 110, 50
#: pixels of the page that are photographed, from its top
PAGE = (1100, 1000)
#: lines drawn from the beginning of a run, before some are left out
HEAD = 14
COMMAND = ["run", "quickstart"]
#: `Study quickstart: 2 complete, ...`
COUNTS = re.compile("quickstart[:：]")
#: rich counts characters for the length of a text; a Chinese one is twice as wide
SQUEEZED = re.compile(r' textLength="[\d.]+"(?=[^>]*>[^<]*[\u2e80-\uffef])')
LEFT_OUT = {"en": "⋮ ({} lines left out here)", "zh-TW": "⋮（此處省略 {} 行）"}
#: an escape sequence: cursor up, line erased, colours, anything else
ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|\r|\n")
#: a plain page for rich's picture: its own asks for a font on the network
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono CJK TC", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def main() -> None:
    """Run the search unless that was done, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--lang", default="en", choices=["en", "zh-TW"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        home = options.home or Path(directory)
        suffix = "" if options.lang == "en" else f".{options.lang}"
        written = transcript(home, language=options.lang)
        draw_terminal(written, options.out / f"terminal{suffix}.svg", language=options.lang)
        photograph(home, options.out / f"report{suffix}.png", language=options.lang)


def transcript(home: Path, *, language: str) -> str:
    """All that the search wrote to its terminal; kept in `home`."""
    kept = home / "transcript.txt"
    if not kept.exists():
        home.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(on_a_terminal([*COMMAND, "--lang", language], home))
    # As bytes: read as text, every return of the cursor would be a line end.
    return kept.read_bytes().decode("utf-8")


def typed(language: str) -> str:
    """The command as a person types it."""
    return " ".join(["cp-search", *COMMAND, *([] if language == "en" else ["--lang", language])])


def on_a_terminal(arguments: list[str], home: Path) -> bytes:
    """What `cp-search` writes where it is shown on a terminal; the same is shown here meanwhile."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "search.cli", *arguments]
    environment = environment_of_a_terminal()
    with subprocess.Popen(
        command, cwd=home, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        parts = []
        while part := read(ours):
            sys.stderr.buffer.write(part)
            parts.append(part)
    os.close(ours)
    if process.returncode:
        sys.exit(f"cp-search {' '.join(arguments)} ended with {process.returncode}")
    return b"".join(parts)


def environment_of_a_terminal() -> dict[str, str]:
    """This process's, with a terminal's name and nothing that overrules its size."""
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


def read(terminal: int) -> bytes:
    """The next piece; empty at the end, which Linux tells by an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def screen(written: str) -> list[str]:
    """The lines that stand on the terminal at the end, with their colours; bars that were wiped are gone.

    Knows what rich writes: text, colours, line ends, the cursor moved up, lines erased.
    """
    lines, row, at = [""], 0, 0
    for found in [*ESCAPE.finditer(written), None]:
        lines[row] += written[at : found.start() if found else None]
        if found is None:
            break
        at = found.end()
        if found[0] == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif found[2] == "A":
            row = max(0, row - int(found[1] or 1))
        elif found[2] == "K" or found[0] == "\r":
            lines[row] = lines[row] if found[0] == "\r" and written[at : at + 1] in "\n" else ""
        elif found[2] == "m":
            lines[row] += found[0]
    return lines


def shortened(lines: list[str], *, language: str) -> Iterator[Text]:
    """The beginning, how much is left out, and all from the verdict on."""
    drawn = [Text.from_ansi(line) for line in lines]
    while drawn and not drawn[-1].plain.strip():
        drawn.pop()
    # The verdict is the line before the one that counts the trials.
    verdict = next(number for number, line in enumerate(drawn) if COUNTS.search(line.plain)) - 1
    yield from drawn[:HEAD]
    yield Text(LEFT_OUT[language].format(verdict - HEAD), style="dim")
    yield from drawn[verdict:]


def draw_terminal(written: str, path: Path, *, language: str) -> None:
    """The beginning and the end of a run as a picture."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, color_system="truecolor")
        console.print(Text(f"$ {typed(language)}", style="bold"))
        for line in shortened(screen(written), language=language):
            console.print(line, highlight=False)
        drawn = console.export_svg(title="cp-search", theme=MONOKAI, code_format=SVG, unique_id="run")
    path.write_text(SQUEEZED.sub("", drawn), encoding="utf-8")


def photograph(home: Path, path: Path, *, language: str) -> None:
    """The top of the report's page."""
    page = home / f"report-{language}.html"
    command = [sys.executable, "-m", "search.cli", "report", "quickstart", "--to", str(page)]
    environment = environment_of_a_terminal() | {"CP_SEARCH_LANG": language}
    subprocess.run(command, cwd=home, env=environment, check=True)
    browser = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
    size = [f"--window-size={PAGE[0]},{PAGE[1]}", f"--screenshot={path.resolve()}"]
    subprocess.run([*browser, *size, page.resolve().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
