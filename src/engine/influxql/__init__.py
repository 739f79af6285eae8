"""InfluxQL: the query language of the older versions, translated to the SQL that query/ answers."""
