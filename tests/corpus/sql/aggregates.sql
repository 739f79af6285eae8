SELECT count(*) AS a, count(n) AS b, count(DISTINCT host) AS c, sum(n) AS d, min(n) AS e, max(n) AS f FROM readings WHERE n IS NULL OR n < 100
--= a | b | c | d | e | f
--> [3, 2, 2, 1, -5, 6]
SELECT avg(temp) AS a, mean(temp) AS b, median(temp) AS c FROM home WHERE room = 'Kitchen' AND co > 7
--> [22.95, 22.95, 22.9]
SELECT median(co) AS a, approx_median(co) AS b, approx_percentile_cont(co, 0.5) AS c FROM home WHERE room = 'Kitchen'
--> [1, 1, 1]
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY temp) AS a, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY temp) AS b, percentile_cont(temp, 0.5) AS c FROM home WHERE room = 'Kitchen'
--> [22.7, 22.7, 22.7]
SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY x) AS a, percentile_cont(0.25) WITHIN GROUP (ORDER BY x DESC) AS b FROM (VALUES (1.0), (2.0), (3.0), (4.0), (5.0)) AS v(x)
--> [2.0, 4.0]
SELECT approx_distinct(room) AS a, approx_distinct(co) AS b FROM home
--> [2, 12]
SELECT approx_percentile_cont_with_weight(temp, 1, 0.5) FROM home
--! query_not_supported: approx_percentile_cont_with_weight is not supported
-- The sample {2, 4, 4, 4, 5, 5, 7, 9}: variance 4 of the population, 32/7 of the sample.
SELECT stddev_pop(x) AS a, var_pop(x) AS b, var_population(x) AS c, var(x) AS d, var_samp(x) AS e, var_sample(x) AS f, stddev(x) AS g, stddev_samp(x) AS h FROM (VALUES (2), (4), (4), (4), (5), (5), (7), (9)) AS v(x)
--> [2.0, 4.0, 4.0, 4.571428571428571, 4.571428571428571, 4.571428571428571, 2.1380899352993947, 2.1380899352993947]
SELECT stddev(x) AS a, var(x) AS b, var_pop(x) AS c FROM (VALUES (5)) AS v(x)
--> [null, null, 0.0]
SELECT corr(x, y) AS a, covar(x, y) AS b, covar_pop(x, y) AS c, covar_samp(x, y) AS d FROM (VALUES (1, 2), (2, 4), (3, 6)) AS v(x, y)
--> [1.0, 2.0, 1.3333333333333333, 2.0]
SELECT regr_slope(y, x) AS a, regr_intercept(y, x) AS b, regr_r2(y, x) AS c, regr_count(y, x) AS d, regr_avgx(y, x) AS e, regr_avgy(y, x) AS f, regr_sxx(y, x) AS g, regr_syy(y, x) AS h, regr_sxy(y, x) AS i FROM (VALUES (1, 3), (2, 5), (3, 7)) AS v(x, y)
--> [2.0, 1.0, 1.0, 3, 2.0, 5.0, 2.0, 8.0, 4.0]
SELECT bit_and(x) AS a, bit_or(x) AS b, bit_xor(x) AS c FROM (VALUES (5), (3)) AS v(x)
--> [1, 7, 6]
SELECT bool_and(b) AS a, bool_or(b) AS b FROM readings
--> [false, true]
SELECT string_agg(host, ',' ORDER BY time) AS a FROM readings
--> ["a,b,a"]
SELECT first_value(co ORDER BY time) AS a, last_value(co ORDER BY time) AS b, last_value(co ORDER BY time DESC) AS c, nth_value(co, 2 ORDER BY time DESC) AS d FROM home WHERE room = 'Kitchen'
--> [0, 26, 0, 22]
SELECT last_value(n ORDER BY time) AS a, last_value(n ORDER BY time) IGNORE NULLS AS b FROM readings
--> [null, -5]
SELECT room, last_value(temp ORDER BY time) AS t FROM home GROUP BY room ORDER BY room
--> ["Kitchen", 22.7]
--> ["Living Room", 22.2]
SELECT selector_first(temp, time)['value'] AS a, selector_first(temp, time)['time'] AS b, selector_last(temp, time)['value'] AS c, selector_last(temp, time)['time'] AS d FROM home WHERE room = 'Kitchen'
--> [21.0, "2022-01-01T08:00:00", 22.7, "2022-01-01T20:00:00"]
SELECT selector_min(temp, time)['value'] AS a, selector_min(temp, time)['time'] AS b, selector_max(temp, time)['value'] AS c, selector_max(temp, time)['time'] AS d FROM home
--> [21.0, "2022-01-01T08:00:00", 23.3, "2022-01-01T18:00:00"]
SELECT selector_last(n, time)['value'] AS a, selector_last(n, time)['time'] AS b FROM readings
--> [-5, "2025-01-01T00:10:00.000000001"]
-- Of equal extremes the earliest is selected.
SELECT selector_min(co, time)['time'] AS a FROM home WHERE room = 'Living Room'
--> ["2022-01-01T08:00:00"]
SELECT selector_max(temp, time) AS s FROM home
--> [{"time": "2022-01-01T18:00:00", "value": 23.3}]
SELECT selector_first(temp) FROM home
--! query_error: use selector_first(field, time)
SELECT count(*) FILTER (WHERE co > 0) AS a, sum(co) FILTER (WHERE room = 'Kitchen') AS b FROM home
--> [14, 87]
SELECT room, count(*) AS c FROM home GROUP BY room HAVING max(co) > 20
--> ["Kitchen", 13]
SELECT room, sum(co) AS s FROM home GROUP BY ROLLUP (room) ORDER BY room NULLS LAST
--> ["Kitchen", 87]
--> ["Living Room", 50]
--> [null, 137]
SELECT room, grouping(room) AS g, count(*) AS c FROM home GROUP BY GROUPING SETS ((room), ()) ORDER BY room NULLS LAST
--> ["Kitchen", 0, 13]
--> ["Living Room", 0, 13]
--> [null, 1, 26]
SELECT room, count(*) AS c FROM home GROUP BY CUBE (room) ORDER BY c, room
--> ["Kitchen", 13]
--> ["Living Room", 13]
--> [null, 26]
SELECT sum(n) AS a, count(*) AS c, max(tag) AS d FROM (SELECT v AS n, tag FROM empty) AS q
--> [null, 0, null]
SELECT avg(n) AS a, count(n) AS c FROM readings WHERE n IS NULL
--> [null, 0]
SELECT temp, count(*) FROM home
--! query_error: must appear in the GROUP BY clause
SELECT sum(room) FROM home
--! query_error: No function matches

-- Names of columns
SELECT count(temp), count(*), avg(temp), max(temp) - 1, room FROM home GROUP BY room ORDER BY room LIMIT 1
--= count(home.temp) | count(*) | avg(home.temp) | max(home.temp) - 1 | room
--> [13, 13, 22.623076923076926, 22.3, "Kitchen"]
SELECT COUNT(DISTINCT room) FROM home
--= count(DISTINCT home.room)
--> [2]
SELECT any_value(x) AS a, every(x > 0) AS b, variance(x) AS c, quantile_cont(x, 0.5) AS d, string_agg('a', '') AS e FROM (VALUES (3), (3)) AS v(x)
--> [3, true, 0.0, 3.0, "aa"]
