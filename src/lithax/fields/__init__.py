"""Algorithms on whole images: distances, labels, watersheds, thickness; on arrays, and exact on images of any size."""

from lithax.fields._distance import distance as distance
