"""Downstream heads: small linear maps from decoded embeddings to classes, trained on several rates at
once.
"""
