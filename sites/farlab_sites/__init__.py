"""What a site is, and the programs at its edge."""
