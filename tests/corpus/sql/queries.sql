-- SELECT, ORDER BY, LIMIT
SELECT * FROM "Upper"
--= time | v
--> ["1970-01-01T00:00:00.000000001", 2]
SELECT * FROM empty
--= tag | time | v
--0
SELECT DISTINCT room FROM home ORDER BY room DESC
--> ["Living Room"]
--> ["Kitchen"]
SELECT co FROM home WHERE room = 'Kitchen' ORDER BY co DESC LIMIT 2 OFFSET 1
--> [22]
--> [18]
SELECT n FROM readings ORDER BY n
--> [-5]
--> [6]
--> [9223372036854775807]
--> [null]
SELECT n FROM readings ORDER BY n DESC
--> [null]
--> [9223372036854775807]
--> [6]
--> [-5]
SELECT n FROM readings ORDER BY n ASC NULLS FIRST LIMIT 1
--> [null]
SELECT room, co FROM home ORDER BY 2 DESC, 1 LIMIT 1
--> ["Kitchen", 26]
SELECT * EXCLUDE (hum, co) FROM home WHERE co = 26
--= room | temp | time
--> ["Kitchen", 22.7, "2022-01-01T20:00:00"]
SELECT h.room, h.co AS c FROM home AS h WHERE h.co = 26
--= room | c
--> ["Kitchen", 26]
SELECT 1 AS a, 'x' AS b, NULL AS c, TRUE AS d
--> [1, "x", null, true]
VALUES (1, 'a'), (2, 'b')
--= column1 | column2
--> [1, "a"]
--> [2, "b"]
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(n, s) ORDER BY n DESC
--> [2, "b"]
--> [1, "a"]
SELECT * FROM home LIMIT 0
--0
SELECT time, room FROM home WHERE room = 'Kitchen' AND time = '2022-01-01T08:00:00Z';
--> ["2022-01-01T08:00:00", "Kitchen"]

-- WITH, UNION and their like
WITH k AS (SELECT co FROM home WHERE room = 'Kitchen'), m AS (SELECT max(co) AS m FROM k) SELECT m FROM m
--> [26]
WITH home AS (SELECT 1 AS x) SELECT * FROM home
--> [1]
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT sum(n) AS s FROM r
--> [10]
SELECT 1 AS x UNION SELECT 1 UNION ALL SELECT 2 ORDER BY x
--> [1]
--> [2]
SELECT x FROM (VALUES (1), (2), (3)) AS v(x) INTERSECT SELECT 2
--> [2]
SELECT x FROM (VALUES (1), (2), (3)) AS v(x) EXCEPT SELECT 2 ORDER BY x
--> [1]
--> [3]
SELECT room FROM home UNION SELECT host FROM readings ORDER BY 1
--> ["Kitchen"]
--> ["Living Room"]
--> ["a"]
--> ["b"]
--> [null]

-- Subqueries and joins
SELECT co FROM home WHERE co = (SELECT max(co) FROM home)
--> [26]
SELECT count(*) AS c FROM home WHERE time IN (SELECT max(time) FROM home)
--> [2]
SELECT count(*) AS c FROM home AS h WHERE EXISTS (SELECT 1 FROM home AS i WHERE i.time = h.time AND i.co > h.co)
--> [8]
SELECT count(*) AS c FROM readings WHERE n NOT IN (SELECT 6)
--> [2]
SELECT room, (SELECT count(*) FROM readings) AS c FROM home WHERE co = 26
--> ["Kitchen", 4]
SELECT q.c FROM (SELECT count(*) AS c FROM home) AS q
--> [26]
SELECT count(*) AS c FROM home WHERE co > ALL (SELECT co FROM home WHERE room = 'Living Room')
--> [3]
SELECT count(*) AS c FROM home WHERE co = ANY (SELECT 26)
--> [1]
SELECT a.co AS a, b.co AS b FROM home AS a JOIN home AS b ON a.time = b.time WHERE a.room = 'Kitchen' AND b.room = 'Living Room' AND a.co > 20 ORDER BY a
--> [22, 14]
--> [26, 17]
SELECT r.host, v.x FROM readings AS r LEFT JOIN (VALUES ('a', 1)) AS v(host, x) ON r.host = v.host ORDER BY r.time
--> [null, null]
--> ["a", 1]
--> ["b", null]
--> ["a", 1]
SELECT count(*) AS c FROM readings FULL OUTER JOIN (VALUES ('a'), ('z')) AS v(h) ON host = h
--> [5]
SELECT count(*) AS c FROM readings CROSS JOIN (VALUES (1), (2)) AS v(x)
--> [8]
SELECT count(*) AS c FROM readings INNER JOIN (VALUES ('a')) AS v(host) USING (host)
--> [2]

-- Windows
SELECT co, row_number() OVER (ORDER BY co DESC) AS r, rank() OVER (ORDER BY temp) AS k FROM home WHERE room = 'Kitchen' AND co > 9 ORDER BY co
--> [18, 3, 3]
--> [22, 2, 2]
--> [26, 1, 1]
SELECT co - lag(co) OVER (PARTITION BY room ORDER BY time) AS d FROM home WHERE co > 9 ORDER BY room, time
--> [null]
--> [4]
--> [4]
--> [null]
--> [3]
SELECT lag(x, 1, 0) OVER (ORDER BY x) AS a, lead(x) OVER (ORDER BY x) AS b FROM (VALUES (1), (2)) AS v(x) ORDER BY x
--> [0, 2]
--> [1, null]
SELECT sum(x) OVER (ORDER BY x) AS a, avg(x) OVER (ORDER BY x ROWS 1 PRECEDING) AS b, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c FROM (VALUES (1), (2), (4)) AS v(x) ORDER BY x
--> [1, 1.0, 3]
--> [3, 1.5, 7]
--> [7, 3.0, 6]
SELECT first_value(x) OVER (ORDER BY x) AS a, last_value(x) OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS b, nth_value(x, 2) OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS c FROM (VALUES (1), (2), (4)) AS v(x) LIMIT 1
--> [1, 4, 2]
SELECT last_value(n) IGNORE NULLS OVER (ORDER BY time) AS a, lag(n) IGNORE NULLS OVER (ORDER BY time) AS b, first_value(n) RESPECT NULLS OVER (ORDER BY time DESC) AS c FROM readings ORDER BY time DESC LIMIT 1
--> [-5, -5, null]
SELECT dense_rank() OVER (ORDER BY x) AS a, ntile(2) OVER (ORDER BY x) AS b, percent_rank() OVER (ORDER BY x) AS c, cume_dist() OVER (ORDER BY x) AS d FROM (VALUES (1), (1), (2), (3)) AS v(x) ORDER BY a, b
--> [1, 1, 0.0, 0.5]
--> [1, 1, 0.0, 0.5]
--> [2, 2, 0.6666666666666666, 0.75]
--> [3, 2, 1.0, 1.0]
SELECT room, co FROM home QUALIFY row_number() OVER (PARTITION BY room ORDER BY time DESC) = 1 ORDER BY room
--> ["Kitchen", 26]
--> ["Living Room", 17]
SELECT sum(x) OVER w AS s FROM (VALUES (1), (2)) AS v(x) WINDOW w AS (ORDER BY x)
--> [1]
--> [3]

-- EXPLAIN
EXPLAIN SELECT count(*) FROM home
--= plan_type | plan
--* 1
EXPLAIN ANALYZE SELECT count(*) FROM home
--= plan_type | plan
--* 1
EXPLAIN VERBOSE WITH a AS (SELECT 1 AS x) SELECT x FROM a
--* 1
EXPLAIN SELECT * FROM nope
--! table_not_found: table 'public.iox.nope' not found
EXPLAIN DELETE FROM home
--! query_not_supported: EXPLAIN is supported for queries only

-- Errors
SELECT nope FROM home
--! query_error: "nope" not found
SELECT * FROM nope
--! table_not_found: table 'public.iox.nope' not found
SELECT nope(1)
--! query_error: Invalid function 'nope'
SELECT FROM home
--! query_error: SQL error: ParserError
SELECT 1 FROM home WHERE
--! query_error: SQL error: ParserError
SELECT 1; SELECT 2
--! query_error: exactly one statement
SHOW MEASUREMENTS
--! query_not_supported: SHOW MEASUREMENTS is not supported
INSERT INTO home VALUES (1)
--! query_not_supported: INSERT statements are not supported
SELECT derivative(co) FROM home
--! query_not_supported: derivative is not supported
SELECT co FROM home WHERE time BETWEEN SYMMETRIC '2022-01-02' AND '2022-01-01'
--! query_not_supported: This feature is not implemented: BETWEEN SYMMETRIC
SELECT co::float64 FROM home
--! query_not_supported: Unsupported SQL type float64
SELECT interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (interval (1))))))))))))))))
--! query_error: too many steps to parse
SELECT time + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' + INTERVAL '1 month' FROM home
--! query_error: nested too deeply
