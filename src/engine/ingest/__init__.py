"""Write requests, from bytes to acknowledged rows."""
