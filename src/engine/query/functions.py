# Owns the list of functions that a query may call: a name that is not here is refused. Each says
# under which name DuckDB (or one of our macros) has it and what comes out; those that need more are
# translated in calls.py and its neighbours under the name in `SPECIAL`. docs/sql.md is checked
# against these lists.
"""Functions of the query language."""

from typing import NamedTuple

from engine.query.kinds import Kind


class Function(NamedTuple):
    """One function: its name in DuckDB, and its result (None: the kind of its first argument)."""

    name: str
    kind: Kind | None


def _named(kind: Kind | None, text: str) -> dict[str, Function]:
    """Functions from words ``name`` or ``name=duckdb_name``."""
    pairs = (word.partition("=") for word in text.split())
    return {name: Function(target or name, kind) for name, _, target in pairs}


def _lists(kind: Kind | None, text: str) -> dict[str, Function]:
    """Functions of lists, each as ``array_name`` and ``list_name``, from ``name=duckdb_name``."""
    named = _named(kind, text)
    return {
        prefix + name: Function(function.name, function.kind)
        for prefix in ("array_", "list_")
        for name, function in named.items()
    }


PLAIN: dict[str, Function] = {
    # aggregates
    **_named(Kind.INTEGER, "count regr_count grouping"),
    **_named(None, "min max sum any_value bit_and bit_or bit_xor"),
    **_named(
        Kind.FLOAT,
        """avg mean=avg stddev=stddev_samp stddev_samp stddev_pop var=var_samp var_samp
        var_sample=var_samp var_pop var_population=var_pop variance=var_samp corr covar=covar_samp
        covar_samp covar_pop regr_slope regr_intercept regr_r2 regr_avgx regr_avgy regr_sxx regr_syy
        regr_sxy percentile_cont=quantile_cont quantile_cont""",
    ),
    **_named(Kind.BOOLEAN, "bool_and bool_or every=bool_and"),
    **_named(Kind.TEXT, "string_agg"),
    **_named(Kind.OTHER, "array_agg"),
    # windows
    **_named(Kind.INTEGER, "row_number rank dense_rank ntile"),
    **_named(Kind.FLOAT, "percent_rank cume_dist"),
    **_named(None, "lag lead"),
    # numbers
    **_named(None, "abs greatest least nanvl=headrace_nanvl"),
    **_named(Kind.INTEGER, "gcd lcm factorial bit_count"),
    **_named(
        Kind.FLOAT,
        """sqrt=headrace_sqrt cbrt exp ln=headrace_ln log2=headrace_log2 log10=headrace_log10
        sin cos tan asin=headrace_asin acos=headrace_acos atan atan2 sinh cosh tanh asinh
        acosh=headrace_acosh atanh=headrace_atanh cot=headrace_cot degrees radians pi random
        ceil ceiling=ceil floor round trunc sign=headrace_sign signum=headrace_sign""",
    ),
    **_named(Kind.BOOLEAN, "isnan isinf isfinite iszero=headrace_iszero"),
    # conditions
    **_named(None, "coalesce nullif ifnull=coalesce nvl=coalesce"),
    # text
    **_named(
        Kind.TEXT,
        """lower upper concat concat_ws left right ltrim rtrim trim btrim=trim replace
        reverse split_part substr substring translate chr md5 sha256 uuid=headrace_uuid
        initcap=headrace_initcap substr_index=headrace_substr_index
        substring_index=headrace_substr_index""",
    ),
    **_named(
        Kind.INTEGER,
        """length char_length=length character_length=length octet_length=strlen bit_length ascii
        strpos instr=strpos levenshtein find_in_set=headrace_find_in_set""",
    ),
    **_named(Kind.BOOLEAN, "starts_with ends_with contains"),
    # times
    **_named(Kind.DATE, "make_date"),
    # lists
    **_named(Kind.OTHER, "make_array=list_value make_list=list_value unnest flatten"),
    **_named(Kind.OTHER, "generate_series range"),
    **_lists(
        Kind.OTHER,
        """any_value=list_any_value append=list_append push_back=list_append
        prepend=list_prepend push_front=list_prepend cat=list_concat concat=list_concat
        distinct=headrace_distinct element=list_extract extract=list_extract
        except=headrace_except intersect=headrace_intersect union=headrace_union
        max=list_max min=list_min pop_back=headrace_pop_back pop_front=headrace_pop_front
        positions=headrace_positions remove=headrace_remove remove_all=headrace_remove_all
        remove_n=headrace_remove_n replace=headrace_replace_first
        replace_all=headrace_replace_all replace_n=headrace_replace_n
        resize=headrace_resize repeat=headrace_array_repeat reverse=list_reverse
        slice=list_slice""",
    ),
    **_lists(Kind.INTEGER, "length=len position=list_position indexof=list_position"),
    **_lists(Kind.FLOAT, "distance=list_distance"),
    **_lists(
        Kind.BOOLEAN,
        """has=list_contains contains=list_contains has_all=list_has_all has_any=list_has_any
        empty=headrace_is_empty""",
    ),
    **_named(Kind.BOOLEAN, "empty=headrace_is_empty arrays_overlap=list_has_any"),
    **_named(Kind.INTEGER, "cardinality=len"),
    # structs
    **_named(Kind.OTHER, "row struct=row"),
}

# Their first argument counts as a floating-point number, whatever it is.
ON_DOUBLES = frozenset(("ceil", "ceiling", "floor", "round", "trunc", "sign", "signum", "isnan"))

SPECIAL: dict[str, Kind | None] = {
    "now": Kind.TIME,
    "current_timestamp": Kind.TIME,
    "current_date": Kind.DATE,
    "today": Kind.DATE,
    "current_time": Kind.OTHER,
    "date_bin": Kind.TIME,
    "date_bin_wallclock": Kind.TIME,
    "date_bin_gapfill": Kind.TIME,
    "date_bin_wallclock_gapfill": Kind.TIME,
    "locf": None,
    "interpolate": None,
    "tz": Kind.TIME,
    "to_local_time": Kind.TIME,
    "date_trunc": Kind.TIME,
    "datetrunc": Kind.TIME,
    "date_part": Kind.INTEGER,
    "datepart": Kind.INTEGER,
    "to_char": Kind.TEXT,
    "date_format": Kind.TEXT,
    "to_date": Kind.DATE,
    "to_timestamp": Kind.TIME,
    "to_timestamp_seconds": Kind.TIME,
    "to_timestamp_millis": Kind.TIME,
    "to_timestamp_micros": Kind.TIME,
    "to_timestamp_nanos": Kind.TIME,
    "from_unixtime": Kind.TIME,
    "to_unixtime": Kind.INTEGER,
    "first_value": None,
    "last_value": None,
    "nth_value": None,
    "selector_first": Kind.OTHER,
    "selector_last": Kind.OTHER,
    "selector_min": Kind.OTHER,
    "selector_max": Kind.OTHER,
    "median": None,
    "approx_median": None,
    "approx_percentile_cont": None,
    "approx_distinct": Kind.INTEGER,
    "arrow_cast": None,
    "arrow_typeof": Kind.TEXT,
    "regexp_count": Kind.INTEGER,
    "regexp_instr": Kind.INTEGER,
    "regexp_like": Kind.BOOLEAN,
    "regexp_match": Kind.OTHER,
    "regexp_replace": Kind.TEXT,
    "to_hex": Kind.TEXT,
    "encode": Kind.TEXT,
    "decode": Kind.OTHER,
    "digest": Kind.TEXT,
    "lpad": Kind.TEXT,
    "repeat": Kind.TEXT,
    "rpad": Kind.TEXT,
    "log": Kind.FLOAT,
    "power": None,
    "pow": None,
    "nvl2": None,
    "string_to_array": Kind.OTHER,
    "string_to_list": Kind.OTHER,
    "array_sort": Kind.OTHER,
    "list_sort": Kind.OTHER,
    "array_to_string": Kind.TEXT,
    "list_to_string": Kind.TEXT,
    "array_join": Kind.TEXT,
    "list_join": Kind.TEXT,
    "named_struct": Kind.OTHER,
    "get_field": Kind.OTHER,
}

# What translation makes of other calls, with results of a known kind. Not for users.
INTERNAL: dict[str, Kind] = {
    "make_timestamp_ns": Kind.TIME,
    "epoch_ns": Kind.INTEGER,
}

# Those that make one value of the rows of a group.
AGGREGATES = frozenset(
    _named(
        None,
        """any_value approx_distinct approx_median approx_percentile_cont array_agg avg bit_and
        bit_or bit_xor bool_and bool_or corr count covar covar_pop covar_samp every first_value
        last_value max mean median min nth_value percentile_cont quantile_cont regr_avgx regr_avgy
        regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy selector_first
        selector_last selector_max selector_min stddev stddev_pop stddev_samp string_agg sum var
        var_pop var_population var_samp var_sample variance""",
    )
)
WINDOWS = frozenset(
    _named(None, "row_number rank dense_rank ntile percent_rank cume_dist lag lead")
)
# Those of the aggregates that are 0, and not null, where there are no rows.
COUNTS = frozenset(("approx_distinct", "count", "regr_count"))

# Known to users of the reference system; they get a clear answer and not a wrong one. The text says
# what to do instead.
REFUSED: dict[str, str] = {
    "difference": "use x - lag(x) OVER (ORDER BY time)",
    "non_negative_difference": "use greatest(x - lag(x) OVER (ORDER BY time), 0)",
    "derivative": "use lag(x) OVER and lag(time) OVER",
    "non_negative_derivative": "use lag(x) OVER and lag(time) OVER",
    "moving_average": "use avg(x) OVER (ORDER BY time ROWS n PRECEDING)",
    "integral": "use sum over lag(x) OVER and lag(time) OVER",
    "approx_percentile_cont_with_weight": "use approx_percentile_cont",
    "make_time": "use to_timestamp",
    "to_time": "use to_timestamp",
    "sha224": "use sha256",
    "sha384": "use sha256",
    "sha512": "use sha256",
    "array_dims": "use array_length",
    "list_dims": "use array_length",
    "array_ndims": "use array_length",
    "list_ndims": "use array_length",
    "arrays_zip": "use two arrays",
    "list_zip": "use two arrays",
    "map": "use named_struct",
    "make_map": "use named_struct",
    "element_at": "use get_field",
    "map_entries": "use named_struct",
    "map_extract": "use get_field",
    "map_keys": "use named_struct",
    "map_values": "use named_struct",
    "union_extract": "there are no union types",
    "union_tag": "there are no union types",
    "arrow_metadata": "use arrow_typeof",
    "sleep": "queries do not wait",
    "version": "ask /ping",
}

# Sources of rows whose arguments name a table and one of its caches.
CACHE_FUNCTIONS = frozenset({"distinct_cache", "last_cache"})
TABLE_FUNCTIONS = frozenset({"generate_series", "range", "unnest"}) | CACHE_FUNCTIONS
