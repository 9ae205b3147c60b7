"""Distillation of the shipped encoder from a published teacher: views, labels, training, evaluation."""
