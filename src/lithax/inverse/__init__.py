"""Fits and inversions: from images back to what the rock is made of."""
