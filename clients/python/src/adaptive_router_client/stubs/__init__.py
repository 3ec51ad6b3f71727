"""The contract's messages as protobuf classes, for what the typed layer does not cover."""
