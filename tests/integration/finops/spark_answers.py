"""Run by an interpreter that has PySpark: SQL on standard input, the rows on standard output."""

import json
import sys

from pyspark.sql import SparkSession  # type: ignore[import-not-found]


def main() -> None:
    asked = json.load(sys.stdin)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.read.parquet(asked["folder"]).createOrReplaceTempView("costs")
    found = {
        name: [[None if cell is None else str(cell) for cell in row] for row in answer]
        for name, query in asked["queries"].items()
        if (answer := spark.sql(query).collect()) is not None
    }
    json.dump(found, sys.stdout)


main()
