"""The default policy: outcome heads, change detection and Thompson sampling over them."""
