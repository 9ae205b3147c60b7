"""Swathpack"""
