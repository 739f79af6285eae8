SELECT make_array(1, 2, 3) AS a, [1, 2, 3] AS b, [1, 2, 3][2] AS c, [1, 2, 3, 4][2:3] AS d
--> [[1, 2, 3], [1, 2, 3], 2, [2, 3]]
SELECT array_append([1, 2, 3], 4) AS a, array_prepend(1, [2, 3]) AS b, array_concat([1, 2], [3]) AS c, array_cat([1], [2]) AS d, list_push_back([1], 2) AS e
--> [[1, 2, 3, 4], [1, 2, 3], [1, 2, 3], [1, 2], [1, 2]]
SELECT array_distinct([1, 3, 2, 3, 1, 2, 4]) AS a, array_union([1, 2, 3, 4], [5, 6, 3, 4]) AS b, array_intersect([1, 2, 3, 4], [5, 6, 3, 4]) AS c, array_except([1, 2, 3, 4], [5, 6, 3, 4]) AS d
--> [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [3, 4], [1, 2]]
SELECT array_has([1, 2, 3], 2) AS a, array_has_all([1, 2, 3, 4], [2, 3]) AS b, array_has_any([1, 2, 3], [3, 4]) AS c, arrays_overlap([1], [2]) AS d, array_contains([1], 1) AS e
--> [true, true, true, false, true]
SELECT array_length([1, 2, 3]) AS a, cardinality([1, 2]) AS b, empty([1]) AS c, array_empty([1]) AS d
--> [3, 2, false, false]
SELECT array_position([1, 2, 2, 3, 1, 4], 2) AS a, array_positions([1, 2, 2, 3, 1, 4], 2) AS b, array_indexof([5], 5) AS c
--> [2, [2, 3], 1]
SELECT array_remove([1, 2, 2, 3, 2, 1, 4], 2) AS a, array_remove_n([1, 2, 2, 3, 2, 1, 4], 2, 2) AS b, array_remove_all([1, 2, 2, 3, 2, 1, 4], 2) AS c
--> [[1, 2, 3, 2, 1, 4], [1, 3, 2, 1, 4], [1, 3, 1, 4]]
SELECT array_replace([1, 2, 2, 3, 2, 1, 4], 2, 5) AS a, array_replace_n([1, 2, 2, 3, 2, 1, 4], 2, 5, 2) AS b, array_replace_all([1, 2, 2, 3, 2, 1, 4], 2, 5) AS c
--> [[1, 5, 2, 3, 2, 1, 4], [1, 5, 5, 3, 2, 1, 4], [1, 5, 5, 3, 5, 1, 4]]
SELECT array_pop_back([1, 2, 3]) AS a, array_pop_front([1, 2, 3]) AS b, array_slice([1, 2, 3, 4, 5, 6, 7, 8], 3, 6) AS c, array_slice([1, 2, 3], -2, -1) AS d
--> [[1, 2], [2, 3], [3, 4, 5, 6], [2, 3]]
SELECT array_sort([3, 1, 2]) AS a, array_sort([3, NULL, 1], 'DESC', 'NULLS LAST') AS b, array_reverse([1, 2, 3, 4]) AS c, list_sort([2, NULL, 1]) AS d
--> [[1, 2, 3], [3, 1, null], [4, 3, 2, 1], [null, 1, 2]]
SELECT array_sort([1], 'UP')
--! query_error: array_sort takes 'ASC' or 'DESC'
SELECT array_to_string([1, 2, 3], ',') AS a, array_to_string([1, NULL], ',', '+') AS b, string_to_array('abc##def', '##') AS c, string_to_array('a b', ' ', 'b') AS d, array_join(['a', 'b'], '-') AS e
--> ["1,2,3", "1,+", ["abc", "def"], ["a", null], "a-b"]
SELECT array_max([3, 1, 4, 2]) AS a, array_min([3, 1, 4, 2]) AS b, array_repeat(1, 3) AS c, array_resize([1, 2, 3], 5, 0) AS d, flatten([[1, 2], [3, 4]]) AS e, array_any_value([NULL, 1]) AS f
--> [4, 1, [1, 1, 1], [1, 2, 3, 0, 0], [1, 2, 3, 4], 1]
SELECT array_distance([1, 2], [1, 4]) AS a, array_element([1, 2, 3, 4], 3) AS b, array_extract([1, 2], -1) AS c
--> [2.0, 3, 2]
SELECT array_repeat('a', 100000000)
--! query_error: longer than 10000000
SELECT unnest([1, 2, 3]) AS x
--> [1]
--> [2]
--> [3]
SELECT x FROM unnest(['a', 'b']) AS u(x)
--> ["a"]
--> ["b"]
SELECT sum(x) AS s FROM generate_series(1, 4) AS g(x)
--> [10]
SELECT x FROM range(0, 3) AS g(x) ORDER BY x DESC
--> [2]
--> [1]
--> [0]
SELECT range(1, 5)
--! query_not_supported: range is supported in FROM only
SELECT array_agg(room ORDER BY room) AS a FROM (SELECT DISTINCT room FROM home) AS q
--> [["Kitchen", "Living Room"]]
SELECT array_agg(co ORDER BY time DESC)[1] AS a FROM home WHERE room = 'Kitchen'
--> [26]
SELECT named_struct('a', 1, 'b', 'x') AS s, named_struct('a', 1)['a'] AS a, get_field(named_struct('a', 5), 'a') AS g
--> [{"a": 1, "b": "x"}, 1, 5]
SELECT s['value'] AS v FROM (SELECT selector_max(temp, time) AS s FROM home) AS q
--> [23.3]
SELECT named_struct('a')
--! query_error: named_struct takes pairs
SELECT map('a', 1)
--! query_not_supported: map is not supported
SELECT arrays_zip([1], [2])
--! query_not_supported: arrays_zip is not supported
SELECT make_list(1, 2) AS a, array_push_back([1], 2) AS b, array_push_front(1, [2]) AS c, array_to_string(array_sort([2, 1]), '') AS d
--> [[1, 2], [1, 2], [1, 2], "12"]
SELECT row(1, 'x') IS NOT NULL AS a, struct(1) IS NULL AS b
--> [true, false]
