"""From the event log to a published snapshot of the policy and its gates."""
