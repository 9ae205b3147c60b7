"""Embedding ↔ symbols in numpy, without training: mean, channel KLT, token DCT, steps, reconstruction points, tables.

`plane` holds the analysis and synthesis transform of one plane, `quantiser` the reference quantiser that every back
end reproduces bit for bit, `maps` what a table file says about one plane at one quality, `fit` all of it from any
array of embeddings, `rate` integer costs and the choice of a quality for a byte budget.
"""
