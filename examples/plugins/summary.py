"""Request plugin: answers with what the aggregating trigger has found so far.

Trigger: request:summary. Then GET /api/v3/engine/summary, or with ?table=NAME for one table.
"""


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    sql = """
        SELECT table_name, field_name, sum(row_count) AS row_count,
               min(minimum) AS minimum, max(maximum) AS maximum
        FROM write_summary WHERE table_name = $table OR $table = '' GROUP BY table_name, field_name
        ORDER BY table_name, field_name
    """
    table = query_parameters.get("table", "")
    try:
        found = influxdb3_local.query(sql, {"table": table})
    except QueryError as error:
        return {"error": f"nothing aggregated yet: {error}"}, 404
    influxdb3_local.info(f"summary of {len(found)} columns sent")
    return {"columns": found}
