"""Kernels at sites: what runs beside a kernel there, and what makes it look local here."""
