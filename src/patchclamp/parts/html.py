"""A page as a static HTML fragment: no script, nothing loaded, inline styles that suit dark and light notebooks."""

from __future__ import annotations

from html import escape

from .cells import NONE, cell, visible
from .span import span
from .svg import scale_words, svg
from .tree import Fields, Grid, Grids, Heading, Page, Part, Row, Table, Text

__all__ = ["html"]

LINE = "1px solid rgba(128,128,128,0.4)"
BOX = "overflow:auto;max-height:48em;margin:0.5em 0"
TABLE = "border-collapse:collapse;color:inherit;background:none;font-size:inherit;margin:0"
CELL = "padding:0.15em 0.8em 0.15em 0;background:none;border:0;vertical-align:top"
MAX_ROWS = 500  # rows of a table; more make a page that a browser is slow with
NO_ROWS = '<tr style="background:none"><td style="border:0;text-align:left">(no rows)</td></tr>\n'


def html(page: Page) -> str:
    """The page as one `<div>`; every text in it is escaped, and what does not print is made visible.

    >>> print(html(Page((Heading("<script>alert(1)</script>"),))))
    <div class="patchclamp" style="color:inherit;line-height:1.4">
    <h3 style="margin:0.5em 0">&lt;script&gt;alert(1)&lt;/script&gt;</h3>
    </div>
    """
    parts = "".join(f"{_part(part)}\n" for part in page.parts)
    return f'<div class="patchclamp" style="color:inherit;line-height:1.4">\n{parts}</div>'


def _safe(text: str) -> str:
    return escape(visible(text), quote=True)


def _part(part: Part) -> str:
    match part:
        case Heading(words):
            return f'<h3 style="margin:0.5em 0">{_safe(words)}</h3>'
        case Text(words):
            lines = "\n".join(map(_safe, words.split("\n")))
            return f'<p style="margin:0.5em 0;white-space:pre-wrap">{lines}</p>'
        case Fields():
            return _fields(part)
        case Table():
            return _table(part)
        case Grid():
            return _figure(Grids("", (part,)), "")
        case Grids():
            return _figure(part, f"{part.title} ({part.note})" if part.note else part.title)


def _fields(part: Fields) -> str:
    rows = "".join(_field(label, cell(value)) for label, value in part.rows)
    return f'<div style="{BOX}"><table style="{TABLE}"><tbody>\n{rows}</tbody></table></div>'


def _field(label: str, value: str) -> str:
    cells = _cell("th", label, False, False, "row") + _cell("td", value, False, True)
    return f'<tr style="background:none">{cells}</tr>\n'


def _table(table: Table) -> str:
    more = f" (first {MAX_ROWS:,} of {len(table.rows):,} rows)" if len(table.rows) > MAX_ROWS else ""
    caption = _safe(table.caption + more)
    caption = f'<caption style="text-align:left;color:inherit">{caption}</caption>\n' if caption else ""
    columns = tuple(zip(table.on_right, (column.wrap for column in table.columns), strict=True))
    head = _row(columns, table.names, "th", "")
    body = "".join(_row(columns, row, "td", NONE) for row in table.rows[:MAX_ROWS]) or NO_ROWS
    foot = "".join(_row(columns, row, "td", "") for row in table.footer)
    foot = f'<tfoot style="border-top:{LINE};font-weight:bold">\n{foot}</tfoot>\n' if foot else ""
    head = f'<thead style="border-bottom:{LINE}">\n{head}</thead>\n'
    return f'<div style="{BOX}"><table style="{TABLE}">\n{caption}{head}<tbody>\n{body}</tbody>\n{foot}</table></div>'


def _row(columns: tuple[tuple[bool, bool], ...], row: Row, tag: str, none: str) -> str:
    """`columns` says of each whether it is on the right and whether it may wrap."""
    scope = "col" if tag == "th" else ""
    cells = "".join(
        _cell(tag, cell(value, none), right, wrap, scope) for value, (right, wrap) in zip(row, columns, strict=True)
    )
    return f'<tr style="background:none">{cells}</tr>\n'


def _cell(tag: str, words: str, right: bool, wrap: bool, scope: str = "") -> str:
    side = "right" if right else "left"
    space = "pre-wrap" if wrap else "pre"
    scoped = f' scope="{scope}"' if scope else ""
    return f'<{tag}{scoped} style="{CELL};text-align:{side};white-space:{space}">{_safe(words)}</{tag}>'


def _figure(part: Grids, title: str) -> str:
    """Grids in one row that wraps, on one colour scale, with the scale in words below."""
    scale = span(part.drawn)
    heading = f'<div style="font-weight:bold;white-space:pre-wrap">{_safe(title)}</div>\n' if title else ""
    pictures = "".join(_picture(grid, svg(grid, scale)) for grid in part.shown)
    caption = f'<figcaption style="opacity:0.8">{_safe(scale_words(scale))}</figcaption>\n' if part.drawn else ""
    row = f'<div style="display:flex;flex-wrap:wrap;gap:0.8em;align-items:flex-end">\n{pictures}</div>\n'
    return f'<figure style="margin:0.5em 0;color:inherit">\n{heading}{row}{caption}</figure>'


def _picture(grid: Grid, drawing: str) -> str:
    title = f'<div style="white-space:pre">{_safe(grid.title)}</div>' if grid.title else ""
    return f'<div style="overflow:auto;max-width:100%;max-height:48em">{title}{drawing}</div>\n'
