-- date_bin: floor to the bin, before 1970 too; the origin moves the bins.
SELECT date_bin(INTERVAL '15 minutes', TIMESTAMP '2023-01-01T18:18:18Z') AS t
--> ["2023-01-01T18:15:00"]
SELECT DISTINCT date_bin(INTERVAL '1 hour', time) AS t FROM readings ORDER BY t
--> ["1969-12-31T23:00:00"]
--> ["2025-01-01T00:00:00"]
--> ["2025-01-01T01:00:00"]
SELECT date_bin(INTERVAL '1 hour', TIMESTAMP '2025-01-01T00:04:00Z', TIMESTAMP '2000-01-01T00:05:00Z') AS t
--> ["2024-12-31T23:05:00"]
SELECT date_bin(INTERVAL '1 day', TIMESTAMP '2025-01-01T00:00:00Z', '1970-01-01T06:00:00Z') AS t
--> ["2024-12-31T06:00:00"]
SELECT date_bin(INTERVAL '1 week', TIMESTAMP '2025-01-01T10:00:00Z') AS t
--> ["2024-12-26T00:00:00"]
SELECT date_bin(INTERVAL '1 month', TIMESTAMP '2025-03-31T10:00:00Z') AS t
--> ["2025-03-01T00:00:00"]
SELECT date_bin(INTERVAL '1 year', TIMESTAMP '2025-03-31T10:00:00Z') AS t
--> ["2025-01-01T00:00:00"]
SELECT date_bin(INTERVAL '1 nanosecond', time) = time AS exact FROM readings WHERE host = 'b'
--> [true]
SELECT date_bin(INTERVAL '10 nanoseconds', TIMESTAMP '2025-01-01T00:00:00.123456789Z') AS t
--> ["2025-01-01T00:00:00.123456780"]
SELECT date_bin('10 minutes', time) AS t, count(*) AS c FROM readings WHERE time >= '2025-01-01' GROUP BY 1 ORDER BY 1
--> ["2025-01-01T00:00:00", 1]
--> ["2025-01-01T00:10:00", 1]
--> ["2025-01-01T01:00:00", 1]
SELECT date_bin(INTERVAL '12 hours', time) AS t, room, avg(temp) AS avg_temp FROM home WHERE time < '2022-01-01T20:00:00Z' AND time >= '2022-01-01T12:00:00Z' GROUP BY t, room ORDER BY room, t
--> ["2022-01-01T12:00:00", "Kitchen", 22.7875]
--> ["2022-01-01T12:00:00", "Living Room", 22.4375]
SELECT date_bin(INTERVAL $w, time) AS t, max(co) AS co FROM home GROUP BY 1 ORDER BY 1 LIMIT 2
--$ {"w": "8 hours"}
--> ["2022-01-01T08:00:00", 3]
--> ["2022-01-01T16:00:00", 26]
SELECT date_bin(INTERVAL '0 seconds', time) FROM home
--! query_error: must be positive
SELECT date_bin(INTERVAL '1 month 1 day', time) FROM home
--! query_not_supported: months and days mixed
SELECT date_bin(co, time) FROM home
--! query_error: needs a constant interval
SELECT date_bin(INTERVAL '1 hour') FROM home
--! query_error: date_bin does not take 1 arguments

-- date_trunc and its parts
SELECT date_trunc('week', TIMESTAMP '2025-01-01T10:00:00Z') AS t
--> ["2024-12-30T00:00:00"]
SELECT date_trunc('month', TIMESTAMP '2025-03-31T10:00:00Z') AS t
--> ["2025-03-01T00:00:00"]
SELECT date_trunc('quarter', TIMESTAMP '2025-06-30T10:00:00Z') AS t
--> ["2025-04-01T00:00:00"]
SELECT date_trunc('year', TIMESTAMP '2025-06-30T10:00:00Z') AS t
--> ["2025-01-01T00:00:00"]
SELECT datetrunc('minute', TIMESTAMP '2025-01-01T10:11:12.5Z') AS t
--> ["2025-01-01T10:11:00"]
SELECT date_trunc('second', time) AS t FROM readings ORDER BY time
--> ["1969-12-31T23:59:59"]
--> ["2025-01-01T00:00:00"]
--> ["2025-01-01T00:10:00"]
--> ["2025-01-01T01:00:00"]
SELECT date_trunc('millisecond', time) AS t FROM readings WHERE n IS NULL
--> ["2025-01-01T01:00:00.123"]
SELECT date_trunc('day', time) AS t FROM readings WHERE f > 10
--> ["1969-12-31T00:00:00"]
SELECT date_trunc('fortnight', time) FROM home
--! query_error: unknown unit of time 'fortnight'
SELECT date_part('year', time) AS y, date_part('month', time) AS m, date_part('day', time) AS d, date_part('hour', time) AS h FROM readings WHERE host IS NULL
--> [1969, 12, 31, 23]
SELECT date_part('week', DATE '2025-01-01') AS w, date_part('dow', DATE '2025-01-01') AS dow, date_part('doy', DATE '2025-02-01') AS doy, date_part('quarter', DATE '2025-05-01') AS q
--> [1, 3, 32, 2]
-- Parts below the second count within the minute, as the reference's do.
SELECT date_part('second', t) AS s, date_part('millisecond', t) AS ms, date_part('microsecond', t) AS us, date_part('nanosecond', t) AS ns FROM (SELECT TIMESTAMP '2020-09-08T12:00:12.12345678Z' AS t)
--> [12, 12123, 12123456, 12123456780]
SELECT extract(day FROM time) AS d FROM home LIMIT 1
--> [1]
SELECT EXTRACT(EPOCH FROM TIMESTAMP '1970-01-01T00:01:00.5Z') AS e
--> [60.5]
SELECT datepart('minute', TIMESTAMP '2025-01-01T10:11:12Z') AS m
--> [11]
SELECT date_part('eon', time) FROM home
--! query_error: unknown unit of time 'eon'

-- comparison with text in every spelling
SELECT count(*) AS c FROM home WHERE time >= '2022-01-01T20:00:00Z'
--> [2]
SELECT count(*) AS c FROM home WHERE time > '2022-01-01 19:00:00'
--> [2]
SELECT count(*) AS c FROM home WHERE time BETWEEN '2022-01-01T08:00:00Z' AND '2022-01-01T09:00:00Z'
--> [4]
SELECT count(*) AS c FROM home WHERE time = '2022-01-01T09:00:00+01:00'
--> [2]
SELECT count(*) AS c FROM home WHERE time IN ('2022-01-01T08:00:00Z', '2022-01-01T09:00:00Z')
--> [4]
SELECT count(*) AS c FROM home WHERE time >= TIMESTAMP '2022-01-01' AND time < '2022-01-01T10:00'
--> [4]
SELECT count(*) AS c FROM readings WHERE time = '2025-01-01T01:00:00.123456789Z'
--> [1]
SELECT count(*) AS c FROM readings WHERE time < '2025-01-01T01:00:00.123456789Z'
--> [3]
SELECT count(*) AS c FROM readings WHERE time > $t
--$ {"t": "2025-01-01T00:10:00Z"}
--> [2]
SELECT count(*) AS c FROM home WHERE time > 'tomorrow'
--! query_error: 'tomorrow' is not a timestamp

-- now and intervals
SELECT now() AS n
--> ["2025-01-02T00:00:00"]
SELECT now() - INTERVAL '1 day' AS t
--> ["2025-01-01T00:00:00"]
SELECT count(*) AS c FROM readings WHERE time > now() - INTERVAL '24 hours'
--> [2]
SELECT count(*) AS c FROM readings WHERE time >= now() - INTERVAL '1' DAY
--> [3]
SELECT current_timestamp = now() AS same, NOW() = now() AS again
--> [true, true]
SELECT current_date AS d, today() AS e
--> ["2025-01-02", "2025-01-02"]
SELECT CAST(current_date() AS TIMESTAMP) AS t
--> ["2025-01-02T00:00:00"]
SELECT now() + INTERVAL '1 hour 30 minutes' AS t
--> ["2025-01-02T01:30:00"]
SELECT now() + INTERVAL '1 month' AS t, now() - INTERVAL '1 year' AS u
--> ["2025-02-02T00:00:00", "2024-01-02T00:00:00"]
SELECT TIMESTAMP '2025-01-31T00:00:00Z' + INTERVAL '1 month' AS t
--> ["2025-02-28T00:00:00"]
SELECT now() + 2 * INTERVAL '12 hours' AS t
--> ["2025-01-03T00:00:00"]
SELECT DATE '2025-01-01' + INTERVAL '1 day' AS t
--> ["2025-01-02T00:00:00"]
SELECT time + INTERVAL '1 nanosecond' AS t FROM readings WHERE n IS NULL
--> ["2025-01-01T01:00:00.123456790"]
SELECT time - INTERVAL '1 week' AS t FROM readings WHERE n IS NULL
--> ["2024-12-25T01:00:00.123456789"]
SELECT max(time) - min(time) AS d FROM home
--> ["PT43200S"]
SELECT max(time) - INTERVAL '1 month' + INTERVAL '1 month' = max(time) AS same FROM readings
--> [true]
SELECT now() - INTERVAL 'soon'
--! query_error: 'soon' is not an interval
SELECT now() - INTERVAL '99999999999 days'
--! query_error: is too long
SELECT time - '1 hour' AS t FROM readings WHERE host = 'b'
--> ["2024-12-31T23:10:00.000000001"]

-- numbers and texts become times: whole numbers are nanoseconds for to_timestamp
SELECT to_timestamp(1704067200000000000) AS t
--> ["2024-01-01T00:00:00"]
SELECT to_timestamp('2023-01-31T09:26:56.123456789Z') AS t
--> ["2023-01-31T09:26:56.123456789"]
SELECT to_timestamp('2023-01-31T09:26:56.123-05:00') AS t
--> ["2023-01-31T14:26:56.123"]
SELECT to_timestamp('2023-01-31') AS t
--> ["2023-01-31T00:00:00"]
SELECT to_timestamp(1.5)
--! query_error: to_timestamp takes whole nanoseconds
SELECT to_timestamp('03:59:00.123456789 05-17-2023', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS t
--> ["2023-05-17T03:59:00.123456789"]
SELECT to_timestamp_seconds(1704067201) AS t
--> ["2024-01-01T00:00:01"]
SELECT to_timestamp_millis(1704067200001) AS t
--> ["2024-01-01T00:00:00.001"]
SELECT to_timestamp_micros(1704067200000001) AS t
--> ["2024-01-01T00:00:00.000001"]
SELECT to_timestamp_nanos(1704067200000000001) AS t
--> ["2024-01-01T00:00:00.000000001"]
SELECT to_timestamp_seconds('01:01:59.123456789 01-01-2024', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS t
--> ["2024-01-01T01:01:59"]
SELECT to_timestamp_millis('01:01:59.123456789 01-01-2024', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS t
--> ["2024-01-01T01:01:59.123"]
SELECT to_timestamp_micros('01:01:59.123456789 01-01-2024', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS t
--> ["2024-01-01T01:01:59.123456"]
SELECT to_timestamp_nanos('01:01:59.123456789 01-01-2024', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS t
--> ["2024-01-01T01:01:59.123456789"]
SELECT to_timestamp('soon', '%Y')
--! query_error: Could not parse
SELECT from_unixtime(1599572549) AS t
--> ["2020-09-08T13:42:29"]
SELECT from_unixtime(1599572549, 'America/New_York') AS t
--> ["2020-09-08T09:42:29-04:00"]
SELECT to_unixtime('2024-01-01T01:01:59.123456789Z') AS u
--> [1704070919]
SELECT to_unixtime('01:01:59.123456789 01-01-2024', '%c', '%+', '%H:%M:%S%.f %m-%d-%Y') AS u
--> [1704070919]
SELECT to_unixtime(time) AS u FROM readings WHERE host IS NULL
--> [-1]
SELECT to_date('2024-01-01') AS d, to_date('1-Jan-2024', '%e-%b-%Y')::STRING AS e, to_date(1) AS f
--> ["2024-01-01", "2024-01-01", "1970-01-02"]
SELECT make_date(2024, 1, 31) AS d, make_date(2024, 01, 01)::STRING AS s
--> ["2024-01-31", "2024-01-01"]
SELECT make_date(2024, 2, 30)
--! query_error: out of range
SELECT to_char('2024-01-01T12:22:01Z'::TIMESTAMP, '%a %e-%b-%Y %H:%M:%S') AS s
--> ["Mon  1-Jan-2024 12:22:01"]
SELECT date_format(TIMESTAMP '2023-05-31T09:26:56.123456789Z', '%d-%m-%Y %T%.9f') AS s
--> ["31-05-2023 09:26:56.123456789"]
SELECT to_char(TIMESTAMP '2025-01-02T03:04:05Z', '%F %R %-d %% %3f') AS s
--> ["2025-01-02 03:04 2 % 000"]
SELECT to_char(time, '%Q') FROM home
--! query_not_supported: %Q in a format of time
SELECT to_char(time, room) FROM home
--! query_not_supported: must be a constant text
SELECT current_time() IS NOT NULL AS x
--> [true]
SELECT make_time(1, 2, 3)
--! query_not_supported: make_time is not supported

-- casts
SELECT CAST(time AS BIGINT) AS n FROM readings WHERE n IS NULL
--> [1735693200123456789]
SELECT arrow_cast(time, 'Int64') AS n FROM readings WHERE host IS NULL
--> [-1]
SELECT time::STRING AS s FROM readings ORDER BY time
--> ["1969-12-31T23:59:59.999999999"]
--> ["2025-01-01T00:00:00"]
--> ["2025-01-01T00:10:00.000000001"]
--> ["2025-01-01T01:00:00.123456789"]
SELECT CAST(time AS DATE) AS d FROM readings WHERE host IS NULL
--> ["1969-12-31"]
SELECT '2025-01-01'::DATE AS d, DATE '2025-01-01' = '2025-01-01'::DATE AS same
--> ["2025-01-01", true]
SELECT 0::TIMESTAMP AS t
--> ["1970-01-01T00:00:00"]
SELECT arrow_cast('2025-01-01T00:00:00.000000001', 'Timestamp(Nanosecond, None)') AS t
--> ["2025-01-01T00:00:00.000000001"]
SELECT arrow_cast(5, 'Timestamp(Second, None)') AS t
--> ["1970-01-01T00:00:05"]
-- Texts in columns keep their nanoseconds and their offset.
SELECT to_timestamp(x) AS t FROM (VALUES ('2025-01-01T02:00:00.123456789+02:00'), ('2024-12-31T20:30:00.000000001-03:30'), ('2025-01-01T00:00:00.5Z'), ('2025-01-01')) AS v(x)
--> ["2025-01-01T00:00:00.123456789"]
--> ["2025-01-01T00:00:00.000000001"]
--> ["2025-01-01T00:00:00.500"]
--> ["2025-01-01T00:00:00"]
SELECT to_timestamp(x, '%d.%m.%Y', '%+') AS t FROM (VALUES ('01.02.2025'), ('2025-01-01T02:00:00.123456789+02:00'), (NULL)) AS v(x)
--> ["2025-02-01T00:00:00"]
--> ["2025-01-01T00:00:00.123456789"]
--> [null]
