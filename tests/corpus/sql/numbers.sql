-- Whole numbers divide to whole numbers, cut off towards zero.
SELECT 1 / 2 AS a, 7 / 2 AS b, -7 / 2 AS c, 7 / 2.0 AS d, -7 % 3 AS e
--> [0, 3, -3, 3.5, -1]
SELECT n / 4 AS a, n / 4.0 AS b, f / 2 AS c, u / 2 AS d FROM readings WHERE host = 'a' AND n IS NOT NULL
--> [1, 1.5, 0.75, 3]
SELECT sum(co) / count(*) AS a, avg(co) AS b FROM home WHERE room = 'Kitchen'
--> [6, 6.6923076923076925]
SELECT 1 / 0
--! query_error: Divide by zero
SELECT n % 0 FROM readings
--! query_error: Divide by zero
SELECT 1.0 / 0 AS a, -1.0 / 0 AS b, 0.0 / 0 AS c
--> [null, null, null]
-- Small literals are 64 bits wide too.
SELECT 2147483647 + 1 AS a, 100000 * 100000 AS b, 2147483647 * -2 AS c
--> [2147483648, 10000000000, -4294967294]
SELECT x * 2000000000 AS y FROM (VALUES (1), (2)) AS v(x) ORDER BY y
--> [2000000000]
--> [4000000000]
SELECT x * 2000000000 AS y FROM (SELECT 3 AS x) AS v
--> [6000000000]
SELECT 9223372036854775807 AS a, -9223372036854775808 AS b
--> [9223372036854775807, -9223372036854775808]
SELECT max(u) AS m FROM readings
--> [18446744073709551615]
SELECT 1e3 AS a, 1.50 AS b, .5 AS c, -0.25 AS d
--> [1000.0, 1.5, 0.5, -0.25]
SELECT 5 + 2 AS a, 5 - 2 AS b, 5 * 2 AS c, 5 % 2 AS d, -(3) AS e
--> [7, 3, 10, 1, -3]
SELECT 5 & 3 AS a, 5 | 3 AS b, 1 << 4 AS c, 16 >> 2 AS d
--> [1, 7, 16, 4]
SELECT CAST(1.9 AS BIGINT) AS a, (-1.9)::INT AS b, CAST('7' AS INTEGER) AS c, '1.5'::DOUBLE AS d, 3::DOUBLE AS e
--> [1, -1, 7, 1.5, 3.0]
SELECT TRY_CAST('x' AS BIGINT) AS a, TRY_CAST('5' AS BIGINT) AS b
--> [null, 5]
SELECT CAST('x' AS BIGINT)
--! query_error: Could not convert
SELECT abs(-5) AS a, abs(-1.5) AS b, abs(n) AS c FROM readings WHERE host = 'b'
--> [5, 1.5, 5]
SELECT ceil(3.14) AS a, floor(3.14) AS b, ceil(-3.14) AS c, floor(-3.14) AS d, ceil(3) AS e
--> [4.0, 3.0, -3.0, -4.0, 3.0]
SELECT round(3.14159) AS a, round(3.14159, 2) AS b, round(2.5) AS c, round(-2.5) AS d, round(7) AS e
--> [3.0, 3.14, 3.0, -3.0, 7.0]
SELECT trunc(3.98) AS a, trunc(-3.98) AS b, trunc(3.987, 2) AS c
--> [3.0, -3.0, 3.98]
SELECT signum(-42) AS a, signum(0) AS b, signum(2.5) AS c
--> [-1.0, 0.0, 1.0]
SELECT sqrt(16) AS a, cbrt(8) AS b, exp(0) AS c, ln(1) AS d, power(2, 3) AS e, pow(2.0, 3) AS f
--> [4.0, 2.0, 1.0, 0.0, 8, 8.0]
SELECT log(10) AS a, log(2, 8) AS b, log10(100) AS c, log2(8) AS d
--> [1.0, 3.0, 2.0, 3.0]
-- Outside of their range functions give NaN or infinity, which JSON shows as null.
SELECT isnan(sqrt(-1)) AS a, isnan(ln(-1)) AS b, ln(0) < -1e300 AS c, isnan(acos(2)) AS d, isnan(asin(2)) AS e
--> [true, true, true, true, true]
SELECT sin(0) AS a, cos(0) AS b, tan(0) AS c, asin(0) AS d, acos(1) AS e, atan(0) AS f, atan2(1, 1) AS g
--> [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.7853981633974483]
SELECT sinh(0) AS a, cosh(1) AS b, tanh(0) AS c, asinh(1) AS d, acosh(2) AS e, atanh(0.5) AS f, cot(1) AS g
--> [0.0, 1.5430806348152437, 0.0, 0.881373587019543, 1.3169578969248166, 0.5493061443340548, 0.6420926159343306]
SELECT degrees(pi()) AS a, radians(180) AS b, pi() AS c
--> [180.0, 3.141592653589793, 3.141592653589793]
SELECT factorial(5) AS a, gcd(48, 18) AS b, lcm(4, 5) AS c
--> [120, 6, 20]
SELECT isnan(1) AS a, iszero(0) AS b, iszero(1.5) AS c, nanvl(0.0, 5.0) AS d, nanvl('NaN'::DOUBLE, 5.0) AS e
--> [false, true, false, 0.0, 5.0]
SELECT random() < 1 AS a, random() >= 0 AS b
--> [true, true]
SELECT greatest(1, NULL, 3) AS a, least(2, 1, NULL) AS b, greatest('a', 'b') AS c
--> [3, 1, "b"]
SELECT coalesce(NULL, 2) AS a, ifnull(NULL, 3) AS b, nvl(NULL, 4) AS c, nvl2(NULL, 1, 2) AS d, nvl2(5, 1, 2) AS e, nullif(1, 1) AS f, nullif(1, 2) AS g
--> [2, 3, 4, 2, 1, null, 1]
SELECT arrow_cast(1.9, 'Int64') AS a, arrow_cast('7', 'Float64') AS b, arrow_cast(7, 'Utf8') AS c, arrow_cast(1, 'Boolean') AS d, arrow_cast(5, 'UInt64') AS e
--> [1, 7.0, "7", true, 5]
SELECT arrow_cast(1, 'Decimal256(1, 1)')
--! query_not_supported: arrow_cast to 'Decimal256(1, 1)'
SELECT arrow_typeof(time) AS a, arrow_typeof(host) AS b, arrow_typeof(n) AS c, arrow_typeof(u) AS d, arrow_typeof(f) AS e, arrow_typeof(b) AS f, arrow_typeof(s) AS g FROM readings LIMIT 1
--> ["Timestamp(ns)", "Dictionary(Int32, Utf8)", "Int64", "UInt64", "Float64", "Boolean", "Utf8"]
SELECT arrow_typeof(1) AS a, arrow_typeof(1.5) AS b, arrow_typeof('x') AS c, arrow_typeof(now()) AS d, arrow_typeof(current_date) AS e
--> ["Int64", "Float64", "Utf8", "Timestamp(ns)", "Date32"]
SELECT n > 1 AS a, n = 6 AS b, n <> 6 AS c, n != 6 AS d, n >= 6.0 AS e, n BETWEEN 1 AND 6 AS f, n IN (6, 7) AS g, n NOT IN (6) AS h FROM readings WHERE n = 6
--> [true, true, false, false, true, true, true, false]
SELECT n IS NULL AS a, n IS NOT NULL AS b, n IS DISTINCT FROM 1 AS c, n IS NOT DISTINCT FROM NULL AS d, NULL = NULL AS e FROM readings WHERE n IS NULL
--> [true, false, true, true, null]
SELECT TRUE AND NULL AS a, FALSE AND NULL AS b, TRUE OR NULL AS c, NOT FALSE AS d, b IS TRUE AS e, b IS NOT FALSE AS f FROM readings WHERE b IS NULL
--> [null, false, true, true, false, true]
SELECT n + $x AS a, f * $y AS b FROM readings WHERE n = 6
--$ {"x": 1, "y": 2.5}
--> [7, 3.75]
SELECT n FROM readings WHERE n = $missing
--! query_error: No value found for placeholder with name $missing
SELECT sha512('a')
--! query_not_supported: sha512 is not supported
SELECT ceiling(1.2) AS a, sign(-3) AS b, isinf(1.0 / 0) AS c, isfinite(1.0) AS d, bit_count(7) AS e
--> [2.0, -1.0, true, true, 3]
-- With a sign and without one, whole numbers are exact as far as 64 bits go, and no further.
SELECT u - 1 AS a, u / 2 + n AS b FROM readings WHERE u > 100 OR n = 6 ORDER BY u
--> [6, 9]
--> [18446744073709551614, null]
SELECT u + 1 AS a FROM readings WHERE u > 100
--! query_error: Overflow
SELECT -n - u - 3 AS a FROM readings WHERE s = ''
--! query_error: Overflow
SELECT a * 2 AS b FROM (SELECT u + 1 AS a FROM readings) AS q WHERE a > 100
--! query_error: Overflow
SELECT 18446744073709551616 AS a, 18446744073709551615 AS b
--> [1.8446744073709552e19, 18446744073709551615]
SELECT sum(u) AS a FROM (SELECT u FROM readings UNION ALL SELECT u FROM readings) AS q
--> [3.6893488147419103e19]
