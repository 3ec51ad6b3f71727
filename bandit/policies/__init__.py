"""One file per policy.

To add one: write its file here, with its options and their bounds; add a row to
`bandit.registry`; name it, and its section, in `router.config.policy_schema`.
"""
