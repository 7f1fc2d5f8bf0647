"""A lake managed by Rucio, by the few calls of its REST API that page."""
