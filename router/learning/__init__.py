"""Learning: the event log becomes published snapshots of policies and gates."""
