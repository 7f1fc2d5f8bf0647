"""What makes a cell at a site look local: in the notebook's own kernel, or in a terminal."""
