-- Unquoted names are folded to lower case; quoted ones are exact; a name with a dot is one name.
SELECT V FROM "Upper"
--= v
--> [2]
SELECT v FROM Upper
--! table_not_found: table 'public.iox.upper' not found
SELECT HOME.CO FROM HOME WHERE Co = 26
--= co
--> [26]
SELECT v FROM "_a.b"
--> [1]
SELECT v FROM '_a.b'
--> [1]
SELECT v FROM iox."_a.b"
--> [1]
SELECT v FROM public.iox."_a.b"
--> [1]
SELECT v FROM other."_a.b"
--! table_not_found: table 'public.other._a.b' not found
SELECT v FROM other.iox."_a.b"
--! query_error: catalog 'other' not found
SELECT "Temp", "Site Name", "select" FROM "Weather.Raw"
--= Temp | Site Name | select
--> [3.5, "North", 4]
-- The reference finds no column temp; here one that differs in case alone is taken.
SELECT Temp AS t FROM 'Weather.Raw'
--> [3.5]
SELECT "Weather.Raw"."Temp" AS t FROM "Weather.Raw" WHERE "Site Name" = 'North'
--> [3.5]
SELECT w."Temp" FROM "Weather.Raw" w
--= Temp
--> [3.5]
SELECT "Temp", temp, "TEMP" FROM mixed
--= Temp | temp | TEMP
--> [1.5, 2, "x"]
SELECT * FROM mixed
--= TEMP | Temp | temp | time
--> ["x", 1.5, 2, "1970-01-01T00:00:00.000000001"]
SELECT Temp AS "Temp" FROM mixed
--= Temp
--> [2]
SELECT max("Temp") AS "Größte Temp." FROM "Weather.Raw"
--= Größte Temp.
--> [3.5]
SELECT 1 AS "a""b"
--= a"b
--> [1]
SELECT "room" FROM "home" WHERE "co" = 26
--> ["Kitchen"]
SELECT co FROM home WHERE room = "Kitchen"
--! query_error: "Kitchen" not found
SELECT * FROM 'nope.parquet'
--! table_not_found: not found
SELECT count(*) AS c FROM home AS "Home" WHERE "Home".co > 20
--> [2]
SELECT "headrace table 0".co FROM home AS "headrace table 0"
--! query_error: reserved

-- Tables about tables
SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name
--> ["Upper"]
--> ["Weather.Raw"]
--> ["_a.b"]
--> ["clock"]
--> ["empty"]
--> ["home"]
--> ["mixed"]
--> ["readings"]
--> ["sparse"]
SELECT table_catalog, table_schema, table_type FROM information_schema.tables WHERE table_name = 'home'
--> ["public", "iox", "BASE TABLE"]
SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'readings' ORDER BY column_name
--> ["b", "Boolean", "YES"]
--> ["f", "Float64", "YES"]
--> ["host", "Dictionary(Int32, Utf8)", "YES"]
--> ["n", "Int64", "YES"]
--> ["s", "Utf8", "YES"]
--> ["time", "Timestamp(ns)", "NO"]
--> ["u", "UInt64", "YES"]
SELECT schema_name FROM information_schema.schemata ORDER BY schema_name
--> ["information_schema"]
--> ["iox"]
--> ["system"]
SELECT count(*) AS c FROM information_schema.views
--> [0]
SELECT count(*) > 150 AS many FROM information_schema.routines
--> [true]
SELECT routine_name, function_type FROM information_schema.routines WHERE routine_name IN ('avg', 'date_bin', 'rank') ORDER BY routine_name
--> ["avg", "AGGREGATE"]
--> ["date_bin", "SCALAR"]
--> ["rank", "WINDOW"]
SELECT count(*) AS c FROM information_schema.parameters
--> [0]
SELECT name, value FROM information_schema.df_settings WHERE name = 'datafusion.execution.time_zone'
--> ["datafusion.execution.time_zone", "+00:00"]
SELECT * FROM information_schema.nope
--! table_not_found: table 'public.information_schema.nope' not found
SHOW COLUMNS FROM "Upper"
--= table_catalog | table_schema | table_name | column_name | data_type | is_nullable
--> ["public", "iox", "Upper", "time", "Timestamp(ns)", "NO"]
--> ["public", "iox", "Upper", "v", "Int64", "YES"]
SHOW COLUMNS FROM upper
--! table_not_found: table 'public.iox.upper' not found
SHOW COLUMNS IN '_a.b'
--> ["public", "iox", "_a.b", "time", "Timestamp(ns)", "NO"]
--> ["public", "iox", "_a.b", "v", "Int64", "YES"]
DESCRIBE "Upper"
--= column_name | data_type | is_nullable
--> ["time", "Timestamp(ns)", "NO"]
--> ["v", "Int64", "YES"]
SELECT measurement, key, data_type FROM system.influxdb_schema WHERE measurement = 'readings' ORDER BY key
--> ["readings", "b", "boolean"]
--> ["readings", "f", "float"]
--> ["readings", "host", "tag"]
--> ["readings", "n", "integer"]
--> ["readings", "s", "string"]
--> ["readings", "time", "time"]
--> ["readings", "u", "uinteger"]
SELECT * FROM system.nope
--! table_not_found: table 'public.system.nope' not found
