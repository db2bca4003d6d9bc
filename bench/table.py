"""Tables of figures: what a suite found, for people, for programs and for plots alike.

A column is (key, heading, format); a row is a dictionary by those keys. A figure that could not be
taken is None and shows as a dash.
"""


def text_of(value, form):
    if value is None:
        return "-"
    return format(value, form) if form else str(value)


class Table:
    def __init__(self, name, title, columns, plot=None):
        self.name = name
        self.title = title
        self.columns = columns
        self.plot = plot  # None, or {"label": key, "bars": [keys], "axis": text, "log": bool}
        self.rows = []
        self.notes = []

    def add(self, **row):
        unknown = set(row) - {key for key, _, _ in self.columns}
        assert not unknown, unknown
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)

    def cells(self):
        return [[heading for _, heading, _ in self.columns]] + [
            [text_of(row.get(key), form) for key, _, form in self.columns] for row in self.rows]

    def show(self):
        """Columns in line: words to the left, figures to the right."""
        cells = self.cells()
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        lines = [self.title, ""]
        for line in cells:
            lines.append("  ".join(
                cell.rjust(width) if form else cell.ljust(width)
                for cell, width, (_, _, form) in zip(line, widths, self.columns)).rstrip())
        return "\n".join([*lines, *(["", *self.notes] if self.notes else []), ""])

    def markdown(self):
        """The same for a page: doc/performance.md is made of these."""
        cells = self.cells()
        rule = ["---:" if form else "---" for _, _, form in self.columns]
        lines = ["| " + " | ".join(line) + " |"
                 for line in [[cell.lower() for cell in cells[0]], rule, *cells[1:]]]
        return "\n".join([f"{self.title}:", "", *lines, ""])

    def data(self):
        return {"name": self.name, "title": self.title, "plot": self.plot, "notes": self.notes,
                "columns": [list(column) for column in self.columns], "rows": self.rows}
