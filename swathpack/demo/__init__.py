"""The demo: real scenes from installable packages, edge to ground, with one table and pictures."""
