-- The examples of the reference's documentation.
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS _time, room, avg(temp) AS temp FROM home WHERE time >= '2022-01-01T08:00:00Z' AND time <= '2022-01-01T10:00:00Z' GROUP BY _time, room
--= _time | room | temp
--> ["2022-01-01T08:00:00", "Kitchen", 21.0]
--> ["2022-01-01T08:30:00", "Kitchen", null]
--> ["2022-01-01T09:00:00", "Kitchen", 23.0]
--> ["2022-01-01T09:30:00", "Kitchen", null]
--> ["2022-01-01T10:00:00", "Kitchen", 22.7]
--> ["2022-01-01T08:00:00", "Living Room", 21.1]
--> ["2022-01-01T08:30:00", "Living Room", null]
--> ["2022-01-01T09:00:00", "Living Room", 21.4]
--> ["2022-01-01T09:30:00", "Living Room", null]
--> ["2022-01-01T10:00:00", "Living Room", 21.8]
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS _time, room, interpolate(avg(temp)) FROM home WHERE time >= '2022-01-01T08:00:00Z' AND time <= '2022-01-01T10:00:00Z' GROUP BY _time, room
--= _time | room | interpolate(avg(home.temp))
--> ["2022-01-01T08:00:00", "Kitchen", 21.0]
--> ["2022-01-01T08:30:00", "Kitchen", 22.0]
--> ["2022-01-01T09:00:00", "Kitchen", 23.0]
--> ["2022-01-01T09:30:00", "Kitchen", 22.85]
--> ["2022-01-01T10:00:00", "Kitchen", 22.7]
--> ["2022-01-01T08:00:00", "Living Room", 21.1]
--> ["2022-01-01T08:30:00", "Living Room", 21.25]
--> ["2022-01-01T09:00:00", "Living Room", 21.4]
--> ["2022-01-01T09:30:00", "Living Room", 21.6]
--> ["2022-01-01T10:00:00", "Living Room", 21.8]
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS _time, room, locf(avg(temp)) AS t FROM home WHERE time >= '2022-01-01T08:00:00Z' AND time <= '2022-01-01T10:00:00Z' GROUP BY _time, room
--> ["2022-01-01T08:00:00", "Kitchen", 21.0]
--> ["2022-01-01T08:30:00", "Kitchen", 21.0]
--> ["2022-01-01T09:00:00", "Kitchen", 23.0]
--> ["2022-01-01T09:30:00", "Kitchen", 23.0]
--> ["2022-01-01T10:00:00", "Kitchen", 22.7]
--> ["2022-01-01T08:00:00", "Living Room", 21.1]
--> ["2022-01-01T08:30:00", "Living Room", 21.1]
--> ["2022-01-01T09:00:00", "Living Room", 21.4]
--> ["2022-01-01T09:30:00", "Living Room", 21.4]
--> ["2022-01-01T10:00:00", "Living Room", 21.8]
SELECT date_bin_wallclock_gapfill(INTERVAL '30 minutes', tz(time, 'America/Los_Angeles')) AS time, room, interpolate(avg(temp)) AS t FROM home WHERE time >= '2022-01-01T08:00:00Z' AND time <= '2022-01-01T10:00:00Z' GROUP BY 1, room
--> ["2022-01-01T00:00:00-08:00", "Kitchen", 21.0]
--> ["2022-01-01T00:30:00-08:00", "Kitchen", 22.0]
--> ["2022-01-01T01:00:00-08:00", "Kitchen", 23.0]
--> ["2022-01-01T01:30:00-08:00", "Kitchen", 22.85]
--> ["2022-01-01T02:00:00-08:00", "Kitchen", 22.7]
--> ["2022-01-01T00:00:00-08:00", "Living Room", 21.1]
--> ["2022-01-01T00:30:00-08:00", "Living Room", 21.25]
--> ["2022-01-01T01:00:00-08:00", "Living Room", 21.4]
--> ["2022-01-01T01:30:00-08:00", "Living Room", 21.6]
--> ["2022-01-01T02:00:00-08:00", "Living Room", 21.8]

-- Rows before the first and after the last value: locf and interpolate invent nothing before it.
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, locf(avg(temp)) AS l, interpolate(avg(temp)) AS i, avg(temp) AS a FROM home WHERE time >= '2022-01-01T07:00:00Z' AND time < '2022-01-01T11:00:00Z' AND room = 'Kitchen' AND co = 0 AND temp <> 23.0 AND hum <> 36.1 GROUP BY 1
--> ["2022-01-01T07:00:00", null, null, null]
--> ["2022-01-01T08:00:00", 21.0, 21.0, 21.0]
--> ["2022-01-01T09:00:00", 21.0, null, null]
--> ["2022-01-01T10:00:00", 21.0, null, null]

-- Interpolation of unsigned and whole numbers cuts off; rows whose value is null are filled too.
SELECT date_bin_gapfill(INTERVAL '100 nanoseconds', time) AS t, interpolate(min(u)) AS u, interpolate(min(n)) AS n, locf(min(n)) AS l FROM sparse WHERE time >= '1970-01-01T00:00:00.000001Z' AND time <= '1970-01-01T00:00:00.000002Z' GROUP BY 1
--> ["1970-01-01T00:00:00.000001", null, null, null]
--> ["1970-01-01T00:00:00.000001100", 100, 100, 100]
--> ["1970-01-01T00:00:00.000001200", 133, 133, 100]
--> ["1970-01-01T00:00:00.000001300", 166, 166, 100]
--> ["1970-01-01T00:00:00.000001400", 200, 200, 200]
--> ["1970-01-01T00:00:00.000001500", 466, 466, 200]
--> ["1970-01-01T00:00:00.000001600", 733, 733, 200]
--> ["1970-01-01T00:00:00.000001700", 1000, 1000, 1000]
--> ["1970-01-01T00:00:00.000001800", 500, 500, 1000]
--> ["1970-01-01T00:00:00.000001900", 0, 0, 0]
--> ["1970-01-01T00:00:00.000002", null, null, 0]
SELECT date_bin_gapfill(INTERVAL '300 nanoseconds', time, '1970-01-01T00:00:00.000000100Z') AS t, interpolate(sum(f)) AS f FROM sparse WHERE time >= '1970-01-01T00:00:00.000001100Z' AND time < '1970-01-01T00:00:00.000002Z' GROUP BY t
--> ["1970-01-01T00:00:00.000001", 25.0]
--> ["1970-01-01T00:00:00.000001300", 50.0]
--> ["1970-01-01T00:00:00.000001600", 250.0]
--> ["1970-01-01T00:00:00.000001900", 0.0]

-- What counts is 0 where there is nothing; other aggregates are null.
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, count(*) AS c, count(temp) AS d, sum(co) AS s FROM home WHERE time >= '2022-01-01T19:00:00Z' AND time <= '2022-01-01T20:00:00Z' GROUP BY 1
--> ["2022-01-01T19:00:00", 2, 2, 36]
--> ["2022-01-01T19:30:00", 0, 0, null]
--> ["2022-01-01T20:00:00", 2, 2, 43]
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, coalesce(avg(temp), 0.0) AS c, locf(avg(temp)) * 2 AS d FROM home WHERE room = 'Kitchen' AND time >= '2022-01-01T08:00:00Z' AND time < '2022-01-01T09:00:00Z' GROUP BY t ORDER BY t DESC
--> ["2022-01-01T08:30:00", 0.0, 42.0]
--> ["2022-01-01T08:00:00", 21.0, 42.0]

-- An open bound leaves the bin out that begins there; bounds may be parameters or now().
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, max(co) AS c FROM home WHERE time > '2022-01-01T18:00:00Z' AND time < '2022-01-01T20:00:00Z' GROUP BY 1
--> ["2022-01-01T18:00:00", null]
--> ["2022-01-01T19:00:00", 22]
SELECT date_bin_gapfill(INTERVAL '6 hours', time) AS t, count(n) AS c FROM readings WHERE time >= now() - INTERVAL '1 day' AND time < now() GROUP BY 1
--> ["2025-01-01T00:00:00", 2]
--> ["2025-01-01T06:00:00", 0]
--> ["2025-01-01T12:00:00", 0]
--> ["2025-01-01T18:00:00", 0]
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) AS c FROM home WHERE time BETWEEN $from AND $to GROUP BY 1
--$ {"from": "2022-01-01T19:30:00Z", "to": "2022-01-01T21:00:00Z"}
--> ["2022-01-01T19:00:00", 0]
--> ["2022-01-01T20:00:00", 2]
--> ["2022-01-01T21:00:00", 0]
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, room, count(*) AS c FROM home WHERE '2022-01-01T19:00:00Z' <= time AND (time <= '2022-01-01T20:30:00Z' AND co > 20) GROUP BY room, t
--> ["2022-01-01T19:00:00", "Kitchen", 1]
--> ["2022-01-01T20:00:00", "Kitchen", 1]
-- HAVING sees the filled rows.
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, count(*) AS c FROM home WHERE time >= '2022-01-01T19:00:00Z' AND time <= '2022-01-01T20:00:00Z' GROUP BY 1 HAVING count(*) = 0
--> ["2022-01-01T19:30:00", 0]
SELECT t, c FROM (SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, count(*) AS c FROM home WHERE time >= '2022-01-01T19:00:00Z' AND time <= '2022-01-01T20:00:00Z' GROUP BY 1) AS q WHERE t > '2022-01-01T19:00:00Z' ORDER BY t
--> ["2022-01-01T19:30:00", 0]
--> ["2022-01-01T20:00:00", 2]
WITH k AS (SELECT * FROM home WHERE room = 'Kitchen') SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, upper(room) AS r, sum(co) AS c FROM k WHERE time >= '2022-01-01T19:00:00Z' AND time < '2022-01-01T20:00:00Z' GROUP BY 1, room
--> ["2022-01-01T19:00:00", "KITCHEN", 22]
--> ["2022-01-01T19:30:00", "KITCHEN", null]
SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, locf(selector_last(temp, time)['value']) AS v FROM home WHERE room = 'Kitchen' AND time >= '2022-01-01T08:00:00Z' AND time < '2022-01-01T09:00:00Z' GROUP BY 1
--> ["2022-01-01T08:00:00", 21.0]
--> ["2022-01-01T08:30:00", 21.0]
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) FILTER (WHERE co > 23) AS c FROM home WHERE time >= '2022-01-01T19:00:00Z' AND time < '2022-01-01T21:30:00Z' GROUP BY 1
--> ["2022-01-01T19:00:00", 0]
--> ["2022-01-01T20:00:00", 1]
--> ["2022-01-01T21:00:00", 0]
-- Without rows there are no groups and so no bins.
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) AS c FROM home WHERE time >= '2023-01-01' AND time < '2023-01-02' GROUP BY 1
--0
-- A clock that is put back shows an hour twice.
SELECT date_bin_wallclock_gapfill(INTERVAL '1 hour', tz(time, 'Europe/Paris')) AS t, count(*) AS c FROM clock WHERE time >= '2020-10-25T00:00:00Z' AND time < '2020-10-25T04:00:00Z' GROUP BY 1
--> ["2020-10-25T02:00:00+02:00", 1]
--> ["2020-10-25T02:00:00+01:00", 1]
--> ["2020-10-25T03:00:00+01:00", 1]
--> ["2020-10-25T04:00:00+01:00", 0]
SELECT date_bin_wallclock_gapfill(INTERVAL '1 day', tz(time, 'Europe/Paris')) AS t, count(*) AS c FROM clock WHERE time >= '2020-03-28T00:00:00Z' AND time < '2020-03-30T22:00:00Z' GROUP BY 1
--> ["2020-03-28T00:00:00+01:00", 1]
--> ["2020-03-29T00:00:00+01:00", 2]
--> ["2020-03-30T00:00:00+02:00", 0]

-- Misuse
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) FROM home WHERE time >= '2022-01-01' GROUP BY 1
--! query_error: gap-filling query is missing upper time bound
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) FROM home WHERE time <= '2022-01-01' GROUP BY 1
--! query_error: gap-filling query is missing lower time bound
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) FROM home GROUP BY 1
--! query_error: gap-filling query is missing both upper and lower time bounds
SELECT date_bin_gapfill(INTERVAL '1 hour', time) FROM home
--! query_error: date_bin_gapfill may only be used as a GROUP BY expression
SELECT locf(temp) FROM home
--! query_error: locf may only be used in the SELECT list of a gap-filling query
SELECT count(*) FROM home WHERE interpolate(temp) > 1
--! query_error: interpolate may only be used in the SELECT list of a gap-filling query
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, locf(room) FROM home WHERE time > '2022-01-01' AND time < '2022-01-02' GROUP BY 1, room
--! query_error: locf must be called on an aggregate column in a gap-filling query
SELECT date_bin_gapfill(INTERVAL '1 hour', time) + INTERVAL '1 hour' AS t, count(*) FROM home WHERE time > '2022-01-01' AND time < '2022-01-02' GROUP BY 1
--! query_error: must be a top-level expression in the GROUP BY clause
SELECT date_bin_gapfill(INTERVAL '1 month', time) AS t, count(*) FROM home WHERE time > '2022-01-01' AND time < '2022-01-02' GROUP BY 1
--! query_not_supported: months
SELECT date_bin_gapfill(INTERVAL '1 hour', now()) AS t, count(*) FROM home WHERE time > '2022-01-01' AND time < '2022-01-02' GROUP BY 1
--! query_error: requires a column as the source argument
SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(*) FROM home WHERE time > (SELECT min(time) FROM home) AND time < '2022-01-02' GROUP BY 1
--! query_error: must evaluate to a scalar
