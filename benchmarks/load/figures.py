# Owns how figures are shown: one Markdown table, a column for each of what was measured.
"""Tables of figures."""


def print_table(results):
    """Print the figures of each of `results`, by name; numbers are rounded, texts stay as they are."""
    print(table(results))


def table(results):
    """As `print_table`, as a text; what one does not have is a dash."""
    lines = [f"| | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for key in dict.fromkeys(key for figures in results.values() for key in figures):
        cells = (_cell(figures.get(key)) for figures in results.values())
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure):
    if figure is None:
        return "-"
    return figure if isinstance(figure, str) else f"{figure:,.2f}"
