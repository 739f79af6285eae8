-- tz relabels an instant; without a zone it takes UTC.
SELECT tz('2024-01-01T01:00:00Z', 'America/New_York') AS t
--> ["2023-12-31T20:00:00-05:00"]
SELECT tz('2024-01-01T01:00:00Z') AS t
--> ["2024-01-01T01:00:00Z"]
SELECT tz('2024-01-01 00:00:00'::TIMESTAMP, 'America/Los_Angeles') AS t
--> ["2023-12-31T16:00:00-08:00"]
SELECT tz('2024-01-01T00:00:00+01:00', 'America/Los_Angeles') AS t
--> ["2023-12-31T15:00:00-08:00"]
SELECT tz(time, 'Australia/Sydney') AS t FROM readings ORDER BY time LIMIT 2
--> ["1970-01-01T09:59:59.999999999+10:00"]
--> ["2025-01-01T11:00:00+11:00"]
SELECT tz(tz('2024-07-01T00:00:00Z', 'America/Denver'), 'Asia/Kolkata') AS t
--> ["2024-07-01T05:30:00+05:30"]
SELECT tz('2024-07-01T00:00:00Z', '+05:00') AS t, tz('2024-07-01T00:00:00Z', '-03:30') AS u
--> ["2024-07-01T05:00:00+05:00", "2024-06-30T20:30:00-03:30"]
SELECT tz(time, 'NewYork') FROM home
--! query_error: requires a valid timezone string, got 'NewYork'
SELECT tz(time, room) FROM home
--! query_error: requires the name of a time zone
SELECT tz(time, '../../etc/passwd') FROM home
--! query_error: requires a valid timezone string

-- AT TIME ZONE: a time without a zone is what the clock there shows.
SELECT '2024-01-01 00:00:00'::TIMESTAMP AT TIME ZONE 'America/Los_Angeles' AS t
--> ["2024-01-01T00:00:00-08:00"]
SELECT '2024-01-01T00:00:00-00:00' AT TIME ZONE 'America/Los_Angeles' AS t
--> ["2023-12-31T16:00:00-08:00"]
SELECT '2024-04-01T00:00:20Z'::timestamp AT TIME ZONE 'Europe/Brussels' AS a, tz('2024-04-01T00:00:20', 'Europe/Brussels') AS b
--> ["2024-04-01T00:00:20+02:00", "2024-04-01T02:00:20+02:00"]
SELECT tz('2024-01-01T00:00:00Z', 'Europe/Paris') AT TIME ZONE 'UTC' AS t
--> ["2024-01-01T00:00:00Z"]
SELECT time AT TIME ZONE room FROM home
--! query_error: requires the name of a time zone

-- to_local_time: what the clock shows, without a zone.
SELECT to_local_time('2024-01-01 00:00:00'::TIMESTAMP) AS t
--> ["2024-01-01T00:00:00"]
SELECT to_local_time((arrow_cast('2024-01-01 00:00:00', 'Timestamp(Nanosecond, Some("UTC"))')) AT TIME ZONE 'America/Los_Angeles') AS t
--> ["2023-12-31T16:00:00"]
SELECT to_local_time(tz(time, 'Europe/Paris')) AS t FROM clock ORDER BY time
--> ["2020-03-28T23:30:00"]
--> ["2020-03-29T01:30:00"]
--> ["2020-03-29T03:30:00"]
--> ["2020-10-25T02:30:00"]
--> ["2020-10-25T02:30:00"]
--> ["2020-10-25T03:30:00"]
SELECT to_local_time(tz(TIMESTAMP '2025-01-01T00:00:00.123456789Z', 'Asia/Kolkata')) AS t
--> ["2025-01-01T05:30:00.123456789"]

-- The zone is in the type: it stays through subqueries, aggregates and arithmetic, and shows in text.
SELECT max(t) AS m, min(t) + INTERVAL '1 hour' AS n FROM (SELECT tz(time, 'Europe/Paris') AS t FROM clock) AS q
--> ["2020-10-25T03:30:00+01:00", "2020-03-29T00:30:00+01:00"]
WITH c AS (SELECT tz(time, 'Europe/Paris') AS t, v FROM clock) SELECT t FROM c WHERE v IN (3, 4) ORDER BY t
--> ["2020-10-25T02:30:00+02:00"]
--> ["2020-10-25T02:30:00+01:00"]
SELECT * FROM (SELECT tz(time, 'Asia/Tokyo') AS t FROM clock WHERE v = 0) AS q
--> ["2020-03-29T07:30:00+09:00"]
SELECT tz(time, 'Europe/Paris')::STRING AS s FROM clock WHERE v IN (0, 3) ORDER BY v
--> ["2020-03-28T23:30:00+01:00"]
--> ["2020-10-25T02:30:00+02:00"]
SELECT arrow_typeof(tz(time, 'Europe/Paris')) AS a, arrow_typeof(time) AS b FROM clock LIMIT 1
--> ["Timestamp(ns, \"Europe/Paris\")", "Timestamp(ns)"]
SELECT tz(time, 'Europe/Paris') = time AS same FROM clock LIMIT 1
--> [true]
SELECT count(*) AS c FROM clock WHERE tz(time, 'Europe/Paris') >= '2020-10-25T01:30:00Z'
--> [2]
SELECT CAST(tz(time, 'Europe/Paris') AS TIMESTAMP) AS t FROM clock WHERE v = 0
--> ["2020-03-28T22:30:00"]
SELECT date_part('hour', tz(time, 'Europe/Paris')) AS h, date_part('day', tz(time, 'Asia/Tokyo')) AS d FROM clock WHERE v = 0
--> [23, 29]
SELECT date_trunc('day', tz(time, 'Europe/Paris')) AS t FROM clock WHERE v IN (2, 5) ORDER BY v
--> ["2020-03-29T00:00:00+01:00"]
--> ["2020-10-25T00:00:00+02:00"]
SELECT to_char(tz(time, 'Europe/Paris'), '%H:%M') AS s FROM clock WHERE v = 0
--> ["23:30"]
SELECT CAST(tz(time, 'Asia/Tokyo') AS DATE) AS d FROM clock WHERE v = 0
--> ["2020-03-29"]
SELECT date_bin(INTERVAL '1 day', tz(time, 'Asia/Tokyo')) AS t FROM clock WHERE v = 0
--> ["2020-03-28T09:00:00+09:00"]
SELECT coalesce(tz(time, 'Asia/Tokyo'), now()) AS t FROM clock WHERE v = 0
--> ["2020-03-29T07:30:00+09:00"]
SELECT CASE WHEN v = 0 THEN tz(time, 'Asia/Tokyo') END AS t FROM clock ORDER BY v LIMIT 2
--> ["2020-03-29T07:30:00+09:00"]
--> [null]
SELECT date_bin(interval '1 day', time, to_local_time(0::TIMESTAMP)) AT TIME ZONE 'America/Los_Angeles' AS time, avg(f1) AS f1, avg(f2) AS f2 FROM (VALUES (arrow_cast('2024-01-01 12:00:00', 'Timestamp(Nanosecond, Some("UTC"))'), 1.23, 4.56), (arrow_cast('2024-01-01 13:00:00', 'Timestamp(Nanosecond, Some("UTC"))'), 2.46, 8.1), (arrow_cast('2024-01-01 14:00:00', 'Timestamp(Nanosecond, Some("UTC"))'), 4.81, 16.2)) AS data(time, f1, f2) GROUP BY 1
--> ["2023-12-31T16:00:00-08:00", 2.8333333333333335, 9.62]

-- date_bin_wallclock: bins of the clock of a zone, across the days on which it is put forward or back.
SELECT date_bin_wallclock(INTERVAL '12 hours', tz(time, 'America/Los_Angeles')) AS time, room, avg(temp) AS avg_temp FROM home WHERE time >= '2022-01-01T08:00:00Z' AND time <= '2022-01-01T20:00:00Z' GROUP BY 1, room ORDER BY room, 1
--> ["2022-01-01T00:00:00-08:00", "Kitchen", 22.61666666666667]
--> ["2022-01-01T12:00:00-08:00", "Kitchen", 22.7]
--> ["2022-01-01T00:00:00-08:00", "Living Room", 22.166666666666668]
--> ["2022-01-01T12:00:00-08:00", "Living Room", 22.2]
SELECT date_bin_wallclock(INTERVAL '1 day', tz(time, 'Europe/Paris')) AS t, count(*) AS c FROM clock GROUP BY 1 ORDER BY 1
--> ["2020-03-28T00:00:00+01:00", 1]
--> ["2020-03-29T00:00:00+01:00", 2]
--> ["2020-10-25T00:00:00+02:00", 3]
SELECT date_bin_wallclock(INTERVAL '1 hour', tz(time, 'Europe/Paris')) AS t FROM clock ORDER BY time
--> ["2020-03-28T23:00:00+01:00"]
--> ["2020-03-29T01:00:00+01:00"]
--> ["2020-03-29T03:00:00+02:00"]
--> ["2020-10-25T02:00:00+02:00"]
--> ["2020-10-25T02:00:00+01:00"]
--> ["2020-10-25T03:00:00+01:00"]
SELECT date_bin_wallclock(INTERVAL '2 hours', tz(time, 'Europe/Paris')) AS t FROM clock WHERE v >= 3 ORDER BY time
--> ["2020-10-25T02:00:00+02:00"]
--> ["2020-10-25T02:00:00+02:00"]
--> ["2020-10-25T02:00:00+02:00"]
SELECT date_bin_wallclock(INTERVAL '1 hour', tz('2020-10-25T02:29:00+01:00', 'Europe/Paris'), '1970-01-01T00:30:00') AT TIME ZONE 'UTC' AS t
--> ["2020-10-24T23:30:00Z"]
SELECT date_bin_wallclock(INTERVAL '1 hour', tz('2020-10-25T02:30:00+01:00', 'Europe/Paris'), '1970-01-01T00:30:00') AT TIME ZONE 'UTC' AS t
--> ["2020-10-25T01:30:00Z"]
SELECT date_bin_wallclock(INTERVAL '1 day', tz(time, '+05:30')) AS t FROM clock WHERE v = 0
--> ["2020-03-29T00:00:00+05:30"]
SELECT date_bin_wallclock(INTERVAL '1 day', time) AS t FROM clock WHERE v = 0
--> ["2020-03-28T00:00:00"]
SELECT date_bin_wallclock(INTERVAL '1 month', tz(time, 'Europe/Paris')) FROM clock
--! query_not_supported: does not support months
