"""Evidence bought on live traffic: the other arms are asked the same, off the caller's path."""
