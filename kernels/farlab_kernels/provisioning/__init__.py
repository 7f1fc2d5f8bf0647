"""Kernels at sites as JupyterLab's launcher, `jupyter console` and `jupyter execute` know them."""
