"""An adapted encoder becomes a model package: base and adapter by their hashes, and a codec of its own embeddings.

    package + adapter.safetensors ─embed windows of the adapter's bands─▶ transform, tables ─▶ package of these bands

What comes out is exported, encoded with, decoded and sent up as any other package.
"""
