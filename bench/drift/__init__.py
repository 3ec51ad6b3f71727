"""Recorded outcomes that change on the way: how soon a policy follows, what watching costs."""
