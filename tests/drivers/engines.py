"""Opens a lake with engines that know nothing of weir.

engines.py count LAKE       JSON: per table the rows that DuckDB, pyarrow and polars see; they must
                            read the same values
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


def in_order(table):
    """Rows of an Arrow table as Python values, by where they stand in the log."""
    columns = sorted(set(table.column_names) - {"date"})
    rows = table.select(columns).to_pylist()
    return sorted(rows, key=lambda row: (row["log_shard"], row["log_index"], str(row)))


def count(lake):
    import polars
    import pyarrow.parquet

    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    counts = {}
    for table in tables(lake):
        source = f"read_parquet('{glob(lake, table)}', hive_partitioning = true)"
        # Of the three it alone checks the checksums of pages, and only if it is told to.
        checked = pyarrow.parquet.read_table(
            lake / table, partitioning="hive", page_checksum_verification=True
        )
        frame = polars.scan_parquet(glob(lake, table), hive_partitioning=True).collect()
        # Counting alone reads footers; comparing values reads the pages.
        read = {
            "duckdb": connection.sql(f"select * from {source}").to_arrow_table(),
            "pyarrow": checked,
            "polars": frame.to_arrow(),
        }
        rows = {engine: in_order(table) for engine, table in read.items()}
        for engine, seen in rows.items():
            for row, expect in zip(seen, rows["pyarrow"]):
                if row != expect:
                    sys.exit(f"{table}: {engine} reads {row} where pyarrow reads {expect}")
        counts[table] = {engine: len(seen) for engine, seen in rows.items()}
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
