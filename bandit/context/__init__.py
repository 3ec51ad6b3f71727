"""The context of a prompt that a policy sees: features, clusters, projection."""
