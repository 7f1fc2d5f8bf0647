"""Variables, calls and files between a notebook and a kernel at a site, beside its channels."""
