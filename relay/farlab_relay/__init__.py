"""Byte streams to workloads on machines that nothing can connect to."""
