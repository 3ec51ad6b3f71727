"""From a prompt to the context that a policy sees: features, clusters, projection."""
