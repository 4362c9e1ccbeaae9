"""Opens a lake with engines that know nothing of weir.

engines.py count LAKE       JSON: per table the rows that DuckDB, pyarrow and polars see
engines.py sql LAKE QUERY   the first value of DuckDB's answer, every table a view of its name
"""

import json
import pathlib
import sys

import duckdb


def tables(lake):
    return sorted(path.name for path in lake.iterdir() if path.is_dir())


def glob(lake, table):
    return str(lake / table / "*" / "*.parquet")


def count(lake):
    import polars
    import pyarrow.dataset

    connection = duckdb.connect()
    counts = {}
    for table in tables(lake):
        source = f"read_parquet('{glob(lake, table)}', hive_partitioning = true)"
        # Counting alone reads footers; a hash of all values reads the pages.
        connection.execute(f"select md5(string_agg(t::text, '')) from {source} t").fetchone()
        dataset = pyarrow.dataset.dataset(lake / table, format="parquet", partitioning="hive")
        frame = polars.scan_parquet(glob(lake, table), hive_partitioning=True).collect()
        counts[table] = {
            "duckdb": connection.execute(f"select count(*) from {source}").fetchone()[0],
            "pyarrow": dataset.to_table().num_rows,
            "polars": frame.height,
        }
    print(json.dumps(counts))


def sql(lake, query):
    connection = duckdb.connect()
    for table in tables(lake):
        source = f"read_parquet('{glob(lake, table)}', hive_partitioning = true)"
        connection.execute(f"create view {table} as select * from {source}")
    print(connection.execute(query).fetchone()[0])


if sys.argv[1] == "count":
    count(pathlib.Path(sys.argv[2]))
else:
    sql(pathlib.Path(sys.argv[2]), sys.argv[3])
