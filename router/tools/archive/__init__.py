"""The event log outside the store: Parquet files by day, their hashes chained in a manifest."""
