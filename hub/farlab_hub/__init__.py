"""The hub service beside JupyterHub: workloads, their streams and where they run."""
