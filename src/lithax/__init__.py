"""lithax: digital rock petrophysics on voxel images of any size."""
