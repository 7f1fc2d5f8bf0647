"""The local side of a kernel at a site: to any Jupyter client it is a kernel like any other."""
