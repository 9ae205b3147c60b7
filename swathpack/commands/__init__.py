"""One file per command; each parses, opens, calls one function, prints, returns."""
