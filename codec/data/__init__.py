"""Readers of training data; splits and dataset facts are data. No torch here."""
