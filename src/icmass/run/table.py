"""One table for people, in four forms: the terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import rich.table

MISSING = "–"
"""What stands where there is no value."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes
    ----------
    text : str
        Plain text: every form escapes what it would read as markup.
    error : str
        The error of a value, set after ±.
    strong : bool
        Whether it is emphasised.
    html : str or None
        The text as HTML, where it is more than letters (a symbol with an index); it is not escaped.
    """

    text: str
    error: str = ""
    strong: bool = False
    html: str | None = None

    def __str__(self) -> str:
        return f"{self.text} ± {self.error}" if self.error else self.text


@dataclass(frozen=True)
class Column:
    """A column: its heading, what is set small beneath it, and whether it is of numbers."""

    heading: str
    beneath: str = ""
    numeric: bool = True
    html: str | None = None

    def __str__(self) -> str:
        return f"{self.heading} [{self.beneath}]" if self.beneath else self.heading


Row = Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """Columns and rows, in groups with headings or in one without.

    Attributes
    ----------
    columns : sequence of Column or str
        The first names the rows; a text is the heading of a numeric column.
    rows : sequence
        Rows before or without groups.
    groups : sequence of (str, rows)
        Headings and what stands beneath them.
    title : str
    notes : sequence of str
        What is to be known to read it.
    """

    columns: Sequence[Column | str]
    rows: Sequence[Row] = ()
    groups: Sequence[tuple[str, Sequence[Row]]] = ()
    title: str = ""
    notes: Sequence[str] = field(default=())

    @property
    def _heads(self) -> list[Column]:
        """The columns; of texts the first is of words, the others of numbers."""
        return [
            column if isinstance(column, Column) else Column(column, numeric=i > 0)
            for i, column in enumerate(self.columns)
        ]

    @property
    def _parts(self) -> list[tuple[str, Sequence[Row]]]:
        return [*([("", self.rows)] if self.rows else []), *self.groups]

    def to_markdown(self) -> str:
        """Return the table alone, without title and notes, in Markdown."""
        heads = self._heads
        lines = [
            _markdown_row(heads),
            "|" + "".join("---:|" if c.numeric else "---|" for c in heads),
        ]
        for heading, rows in self._parts:
            if heading:
                lines.append(_markdown_row([Cell(heading, strong=True), *[""] * (len(heads) - 1)]))
            lines += [_markdown_row(row) for row in rows]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """Return an environment ``table`` with title and notes as its caption; no package."""
        heads = self._heads
        caption = ". ".join(filter(None, [_tex(self.title), " ".join(map(_tex, self.notes))]))
        lines = [
            r"\begin{table}",
            *([rf"\caption{{{caption}}}"] if caption else []),
            rf"\begin{{tabular}}{{{''.join('r' if c.numeric else 'l' for c in heads)}}}",
            r"\hline",
            " & ".join(_tex(str(column)) for column in heads) + r" \\",
        ]
        for heading, rows in self._parts:
            lines.append(r"\hline")
            if heading:
                told = rf"\textit{{{_tex(heading)}}}"
                lines.append(rf"\multicolumn{{{len(heads)}}}{{l}}{{{told}}} \\")
            lines += [" & ".join(map(_tex_cell, row)) + r" \\" for row in rows]
        lines += [r"\hline", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"

    def to_html(self, *, plain: bool = False) -> str:
        """Return the table in a region that scrolls; `plain`: of words rather than of numbers."""
        heads = self._heads
        head = "".join(_html_head(column) for column in heads)
        body = []
        for heading, rows in self._parts:
            if heading:
                blank = "<td></td>" * (len(heads) - 1)
                body.append(
                    f'<tr class="group"><th scope="rowgroup">{escape(heading)}</th>{blank}</tr>'
                )
            body += [_html_row(row) for row in rows]
        label = f' aria-label="{escape(self.title)}"' if self.title else ""
        kind, lines = ' class="plain"' if plain else "", "\n".join(body)
        return (
            f'<div class="scroll" tabindex="0" role="region"{label}>\n'
            f"<table{kind}>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
        )

    def to_rich(self) -> rich.table.Table:
        """Return the table for a terminal; the notes stand beneath it."""
        from rich.markup import escape as escape_rich
        from rich.table import Table as RichTable

        table = RichTable(
            title=escape_rich(self.title) or None,
            title_justify="left",
            caption=escape_rich("\n".join(self.notes)) or None,
            caption_justify="left",
            show_header=any(map(str, self._heads)),
        )
        for column in self._heads:
            side: Literal["left", "right"] = "right" if column.numeric else "left"
            table.add_column(escape_rich(str(column)), justify=side, no_wrap=column.numeric)
        for heading, rows in self._parts:
            table.add_section()
            if heading:
                table.add_row(f"[bold]{escape_rich(heading)}[/bold]")
            for row in rows:
                cells = [(escape_rich(str(cell)), _is_strong(cell)) for cell in row]
                table.add_row(*(f"[bold]{text}[/bold]" if bold else text for text, bold in cells))
        return table


def _is_strong(cell: str | Cell | Column) -> bool:
    return isinstance(cell, Cell) and cell.strong


def _markdown_row(cells: Iterable[str | Cell | Column]) -> str:
    texts = (
        f"**{_markdown(str(cell))}**" if _is_strong(cell) else _markdown(str(cell))
        for cell in cells
    )
    return "| " + " | ".join(texts) + " |"


def _markdown(text: str) -> str:
    """Escape what would end a cell, emphasise, or begin a tag.

    >>> print(_markdown("ln s|M < 3 <b>"))
    ln s\\|M < 3 \\<b>
    """
    text = re.sub(r"([\\|*`])", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=[A-Za-z/!?])", r"\<", text)


_TEX = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "σ": r"$\sigma$",
    "|": r"$|$",
    "<": "$<$",
    ">": "$>$",
}


def _tex(text: str) -> str:
    if text.startswith("-") and text[1:2].isdigit():
        text, sign = text[1:], "$-$"
    else:
        sign = ""
    return sign + "".join(_TEX.get(letter, letter) for letter in text)


def _tex_cell(cell: str | Cell) -> str:
    text = _tex(str(cell))
    return rf"\textbf{{{text}}}" if _is_strong(cell) else text


def _html_head(column: Column) -> str:
    text = escape(column.heading) if column.html is None else column.html
    beneath = f"<small>{escape(column.beneath)}</small>" if column.beneath else ""
    return f'<th scope="col">{text}{beneath}</th>'


def _html_row(row: Row) -> str:
    first, *others = map(_html_cell, row)
    cells = "".join(f"<td>{cell}</td>" for cell in others)
    return f'<tr><th scope="row">{first}</th>{cells}</tr>'


def _html_cell(cell: str | Cell) -> str:
    held = cell if isinstance(cell, Cell) else Cell(cell)
    text = held.html
    if text is None:
        text = re.sub(r"^-(?=\d)", "−", escape(held.text))
    if held.error:
        text += f' <span class="error">± {escape(held.error)}</span>'
    return f"<strong>{text}</strong>" if held.strong else text
