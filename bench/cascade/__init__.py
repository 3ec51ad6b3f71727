"""Plans with a gate, replayed over recorded answers through the product's classes."""
