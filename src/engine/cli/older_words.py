# Owns the words of the command lines of InfluxDB 1 and 2 that mean something else here, or nothing.
"""Words of older command lines."""

_DATABASES = "'headrace show databases', 'create database' and 'delete database'"
_TABLES = "'headrace show tables' and 'delete table'"
_TOKENS = "'headrace show tokens', 'create token' and 'delete token'"
_HEALTH = "'headrace doctor', or GET /health"
_QUERY = "'headrace query SQL', with '--language influxql' for InfluxQL"

# What to write instead of a command, or of what stands behind one.
COMMANDS = {
    **dict.fromkeys(("bucket", "buckets", "databases", "db", "dbs", "dbrp"), _DATABASES),
    **dict.fromkeys(("measurement", "measurements", "tables"), _TABLES),
    **dict.fromkeys(("auth", "token", "tokens", "user", "users"), _TOKENS),
    **dict.fromkeys(("health", "ping", "ready"), _HEALTH),
    **dict.fromkeys(("execute", "influxql", "select", "sql"), _QUERY),
    "org": "nothing: there are no organizations",
    "config": "'headrace show config', and ~/.config/headrace for host and token",
    "series": "'headrace query --language influxql \"SHOW SERIES\"'",
    "setup": "'headrace create token --admin'",
    "task": "'headrace create trigger'",
    "version": "'headrace --version'",
}
_NO_ORGANIZATIONS = "nothing: there are no organizations"
# What to write instead of a flag.
FLAGS = {
    **dict.fromkeys(("-b", "-bucket", "--bucket", "-bucket-id", "--bucket-id"), "--database"),
    **dict.fromkeys(("-host", "-port", "--port", "-ssl"), "--host URL"),
    **dict.fromkeys(("-username", "-password", "--username", "--password"), "--token"),
    **dict.fromkeys(("-execute", "-type"), _QUERY),
    **dict.fromkeys(("-org", "--org", "-org-id", "--org-id"), _NO_ORGANIZATIONS),
    "-database": "--database",
    "-format": "--format",
    "-precision": "--precision",
}
