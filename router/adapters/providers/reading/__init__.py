"""An answer out of JSON of whatever shape its server gave it; no I/O."""
