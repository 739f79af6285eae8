"""WAL plugin: for every table of a flush, writes count, minimum, mean and maximum of its numbers.

Trigger: all_tables or table:NAME. The results go to the table ``write_summary`` of the same
database.
"""


def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        table, rows = batch["table_name"], batch["rows"]
        if table == "write_summary":
            continue
        columns = {}
        for row in rows:
            for name, value in row.items():
                # bool is an int to Python, and time is no measurement
                if (
                    isinstance(value, (int, float))
                    and not isinstance(value, bool)
                    and name != "time"
                ):
                    columns.setdefault(name, []).append(value)
        for name, values in columns.items():
            line = LineBuilder("write_summary").tag("table_name", table).tag("field_name", name)
            line.int64_field("row_count", len(values))
            line.float64_field("minimum", min(values)).float64_field("maximum", max(values))
            line.float64_field("mean", sum(values) / len(values))
            influxdb3_local.write(line)
        influxdb3_local.info(f"{len(rows)} rows of {table} aggregated")
