"""The command line and the demo: thin, composes the rooms; nothing imports it."""
