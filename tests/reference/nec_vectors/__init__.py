"""What the golden vectors hold: packages, legal files, illegal files. `make_vectors.py` writes them, by hand only."""
