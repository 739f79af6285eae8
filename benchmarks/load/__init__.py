# Load over HTTP against a running server and against peers; see README.md.
