# From the sections of log frames to what process_writes gets.

from types import SimpleNamespace

from engine.plugins.channel import WritesRun
from engine.plugins.table_batches import delivery_for, merged_sections


class Table:
    def __init__(self, *values):
        self.values = values
        self.num_rows = len(values)

    def rows(self):
        return [{"v": value} for value in self.values]


def section(database="db", origin="", hops=0, **tables):
    return SimpleNamespace(database=database, origin=origin, hops=hops, batch=tables)


def merged(sections, **settings):
    return merged_sections(sections, WritesRun(database="db", **settings))


def flat(delivery):
    return {
        batch["table_name"]: [row["v"] for row in batch["rows"]]
        for batch in delivery.table_batches()
    }


def test_tables_come_by_first_appearance_and_rows_in_write_order():
    delivery = merged([section(b=Table(1), a=Table(2)), section(a=Table(3, 3), c=Table())])
    assert list(flat(delivery).items()) == [("b", [1]), ("a", [2, 3, 3])]
    assert delivery.rows == 4
    assert all(set(batch) == {"table_name", "rows"} for batch in delivery.table_batches())


def test_other_databases_and_tables_are_left_out():
    sections = [section("other", a=Table(1)), section(a=Table(2), b=Table(3))]
    assert flat(merged(sections, tables=["a"])) == {"a": [2]}


def test_a_triggers_own_output_is_left_out_unless_wanted():
    sections = [section(origin="db/me", a=Table(1)), section(origin="db/you", a=Table(2))]
    assert flat(merged(sections, skip_origin="db/me")) == {"a": [2]}
    assert flat(merged(sections)) == {"a": [1, 2]}


def test_hops_are_those_of_delivered_sections_only():
    sections = [section(hops=9, b=Table(1)), section(hops=2, a=Table(1)), section(a=Table(1))]
    assert merged(sections, tables=["a"]).hops_max == 2


def test_a_range_of_rows_is_counted_over_all_tables():
    inline = [("a", [{"v": 1}, {"v": 2}]), ("b", [{"v": 3}]), ("c", [{"v": 4}, {"v": 5}])]

    def cut(start, end):
        run = WritesRun(database="db", inline=inline, row_start=start, row_end=end)
        return flat(delivery_for(run))

    assert cut(0, None) == {"a": [1, 2], "b": [3], "c": [4, 5]}
    assert cut(1, 4) == {"a": [2], "b": [3], "c": [4]}
    assert cut(2, 3) == {"b": [3]}
    assert cut(4, 99) == {"c": [5]}
    assert cut(5, None) == {}
