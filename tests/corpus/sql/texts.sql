SELECT ascii('a') AS a, ascii('Ö') AS b, chr(112) AS c, chr(214) AS d, bit_length('datafusion') AS e, octet_length('Ångström') AS f, char_length('Ångström') AS g, length('abc') AS h
--> [97, 214, "p", "Ö", 80, 10, 8, 3]
SELECT btrim('__datafusion____', '_') AS a, btrim(' a ') AS b, ltrim('  x') AS c, rtrim('x  ') AS d, trim(' x ') AS e, trim(BOTH '_' FROM '_x_') AS f
--> ["datafusion", "a", "x", "x", "x", "x"]
SELECT concat('data', 'f', 'us', 'ion') AS a, concat('a', NULL, 'b') AS b, concat_ws('_', 'data', 'fusion') AS c, 'a' || 'b' AS d, 'a' || NULL AS e
--> ["datafusion", "ab", "data_fusion", "ab", null]
SELECT contains('the quick brown fox', 'row') AS a, starts_with('datafusion', 'data') AS b, ends_with('datafusion', 'soin') AS c
--> [true, true, false]
SELECT initcap('apache datafusion') AS a, initcap('hello-world') AS b, initcap('hello_world') AS c, lower('Ångström') AS d, upper('dataFusion') AS e
--> ["Apache Datafusion", "Hello-World", "Hello_World", "ångström", "DATAFUSION"]
SELECT left('datafusion', 4) AS a, right('datafusion', 6) AS b, left('hello', -2) AS c, right('hello', -2) AS d
--> ["data", "fusion", "hel", "llo"]
SELECT lpad('Dolly', 10, 'hello') AS a, rpad('datafusion', 20, '_-') AS b, lpad('abc', 2) AS c, lpad('a', 3) AS d
--> ["helloDolly", "datafusion_-_-_-_-_-", "ab", "  a"]
SELECT overlay('Txxxxas' placing 'hom' from 2 for 4) AS a, overlay('abcdef' placing 'XY' from 3) AS b
--> ["Thomas", "abXYef"]
SELECT position('fus' IN 'datafusion') AS a, strpos('datafusion', 'fus') AS b, instr('next-door neighbor', 'neighbor') AS c, instr('friend', 'neighbor') AS d
--> [5, 5, 11, 0]
SELECT repeat('data', 3) AS a, replace('ABabbaBA', 'ab', 'cd') AS b, reverse('datafusion') AS c
--> ["datadatadata", "ABcdbaBA", "noisufatad"]
SELECT split_part('1.2.3.4.5', '.', 3) AS a, split_part('a.b', '.', 9) AS b, split_part('a.b.c', '.', -1) AS c
--> ["3", "", "c"]
SELECT substr('datafusion', 5, 3) AS a, substring('datafusion' FROM 5 FOR 3) AS b, substr('hello', 2) AS c, substring('datafusion', 1, 4) AS d
--> ["fus", "fus", "ello", "data"]
SELECT substr_index('www.apache.org', '.', 1) AS a, substr_index('www.apache.org', '.', -1) AS b, substring_index('a.b.c', '.', 2) AS c, substr_index('a.b', '.', 0) AS d
--> ["www", "org", "a.b", ""]
SELECT find_in_set('b', 'a,b,c,d') AS a, find_in_set('x', 'a,b') AS b
--> [2, 0]
SELECT to_hex(12345689) AS a, to_hex(-1) AS b, translate('twice', 'wic', 'her') AS c, levenshtein('kitten', 'sitting') AS d
--> ["bc6159", "ffffffffffffffff", "there", 3]
SELECT md5('foo') AS a, sha256('foo') AS b, digest('foo', 'md5') AS c
--> ["acbd18db4cc2f85cedef654fccc4a4d8", "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "acbd18db4cc2f85cedef654fccc4a4d8"]
SELECT encode('foo', 'hex') AS a, encode('fo', 'base64') AS b, decode('666f6f', 'hex') AS c, decode('Zm8', 'base64') AS d
--> ["666f6f", "Zm8", "666f6f", "666f"]
SELECT encode('foo', 'rot13')
--! query_error: the encoding is 'base64' or 'hex'
SELECT length(uuid()) AS a
--> [36]
SELECT length(repeat('a', 2000000000))
--! query_error: would be longer than 10000000

-- Patterns
SELECT s FROM readings WHERE s LIKE 'f%' 
--> ["five"]
SELECT 'abc' LIKE 'a_c' AS a, 'abc' NOT LIKE 'b%' AS b, 'ABC' LIKE 'a%' AS c, 'ABC' ILIKE 'a%' AS d, 'a%c' LIKE 'a\%c' ESCAPE '\' AS e
--> [true, true, false, true, true]
SELECT 'abc' ~ 'b' AS a, 'abc' ~ '^b' AS b, 'ABC' ~* 'b' AS c, 'abc' !~ 'b' AS d, 'ABC' !~* 'x' AS e
--> [true, false, true, false, true]
-- SIMILAR TO is the reference's other name for ~.
SELECT 'abc' SIMILAR TO 'b' AS a, 'abc' NOT SIMILAR TO 'x' AS b
--> [true, true]
SELECT DISTINCT room FROM home WHERE room ~ 'R' 
--> ["Living Room"]
SELECT DISTINCT room, regexp_count(room::STRING, '[Ro]', 1, 'i') AS c FROM home ORDER BY room
--> ["Kitchen", 0]
--> ["Living Room", 3]
SELECT DISTINCT room, regexp_like(room::STRING, 'R', 'i') AS c FROM home ORDER BY room
--> ["Kitchen", false]
--> ["Living Room", true]
SELECT DISTINCT room, regexp_match(room::STRING, '.{3}')[1] AS c FROM home ORDER BY room
--> ["Kitchen", "Kit"]
--> ["Living Room", "Liv"]
SELECT DISTINCT room, regexp_replace(room::STRING, '\sRoom', '', 'gi') AS c FROM home ORDER BY room
--> ["Kitchen", "Kitchen"]
--> ["Living Room", "Living"]
SELECT regexp_match('foobarbequebaz', '(bar)(beque)') AS a, regexp_match('Köln', '[a-zA-Z]ö[a-zA-Z]{2}') AS b, regexp_match('x', 'y') AS c, regexp_match('aBc', '(b|d)', 'i') AS d
--> [["bar", "beque"], ["Köln"], null, ["B"]]
SELECT regexp_replace('foobarbaz', 'b(..)', 'X\1Y', 'g') AS a, regexp_replace('foobarbaz', 'b(..)', 'X\1Y') AS b, regexp_replace('aBc', '(b|d)', 'Ab\1a', 'i') AS c, regexp_replace('ab', '(a)(b)', '$2$1') AS d
--> ["fooXarYXazY", "fooXarYbaz", "aAbBac", "ba"]
SELECT regexp_count('abcAbAbc', 'abc', 2, 'i') AS a, regexp_count('abab', 'a') AS b, regexp_like('Köln', '[a-zA-Z]ö[a-zA-Z]{2}') AS c, regexp_like('aBc', '(b|d)', 'i') AS d
--> [1, 2, true, true]
SELECT regexp_instr('ABCDEF', 'C(.)(..)') AS a, regexp_instr('bab', 'b$') AS b, regexp_instr('abc', 'x') AS c
--> [3, 3, 0]
SELECT regexp_like('a', 'A', 'q')
--! query_not_supported: the flag 'q' of a regular expression
SELECT regexp_match(room, room) FROM home
--! query_not_supported: must be a constant text
SELECT regexp_like('a', '(')
--! query_error: missing )
SELECT 'it''s' AS a, 'a"b' AS b, 'é' AS c, '--' AS d, ';' AS e
--> ["it's", "a\"b", "é", "--", ";"]
SELECT $t AS t
--$ {"t": "x'; DROP TABLE home; --"}
--> ["x'; DROP TABLE home; --"]
SELECT CASE WHEN n > 5 THEN 'big' WHEN n < 0 THEN 'negative' ELSE 'other' END AS c FROM readings ORDER BY time
--> ["big"]
--> ["big"]
--> ["negative"]
--> ["other"]
SELECT CASE host WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS c FROM readings ORDER BY time
--> [null]
--> [1]
--> [2]
--> [1]
SELECT character_length('abc') AS a, string_to_list('a,b', ',') AS b
--> [3, ["a", "b"]]
