"""The service API's documents: JSON in and out, etags, queries, paging (DPS service REST API, and our extensions).

Bytes become values here and values become documents; nothing is looked up, and what a value means for the service is
decided in `administration`.
"""
