# Figures of what was measured stand side by side, also where one has none.
from load.figures import table


def test_each_figure_has_a_row_and_what_is_missing_a_dash():
    assert table({"a": {"rows": 1_000, "ms": 0.125}, "b": {"ms": "1 / 2", "MB": 3}}).split(
        "\n"
    ) == [
        "| | a | b |",
        "|---|---|---|",
        "| rows | 1,000.00 | - |",
        "| ms | 0.12 | 1 / 2 |",
        "| MB | - | 3.00 |",
    ]
