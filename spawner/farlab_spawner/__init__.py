"""JupyterHub's side of Farlab: the spawner, its form and its progress."""
