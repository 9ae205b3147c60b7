"""Open questions of neural embedding compression, each a config, rows with intervals, and a sentence in the document."""
