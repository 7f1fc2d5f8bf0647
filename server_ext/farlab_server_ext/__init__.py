"""What the user's Jupyter server tells Farlab's panels."""
