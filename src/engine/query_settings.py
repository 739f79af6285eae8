# Owns how the settings of a server become those of its queries.
"""Settings of queries."""

from engine.config import ServeConfig
from engine.paths import DataPaths
from engine.query.dialect import ParseLimits
from engine.query.executor import QueryConfig
from engine.query.service import QueryServiceConfig


def executor_config(config: ServeConfig, paths: DataPaths) -> QueryConfig:
    """What bounds each query, and all of them together."""
    has_disk = config.query_temp_max > 0
    return QueryConfig(
        memory_limit_bytes=config.query_memory_limit,
        cache_bytes_max=config.query_cache_max,
        timeout_ms=int(config.query_timeout * 1000),
        files_directory=paths.parquet_dir.resolve(),
        temp_directory=str(paths.query_temp_dir.resolve()) if has_disk else "",
        temp_bytes_max=config.query_temp_max,
        text_bytes_max=config.query_text_max,
        parse_limits=ParseLimits(words_max=config.query_words_max),
    )


def service_config(config: ServeConfig) -> QueryServiceConfig:
    """How many queries run and wait, and which are slow."""
    return QueryServiceConfig(
        concurrency_max=config.query_concurrency,
        waiting_max=config.query_waiting_max,
        slow_s=config.slow_query_time,
    )
