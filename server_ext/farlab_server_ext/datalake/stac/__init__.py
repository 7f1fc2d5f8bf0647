"""STAC catalogues as lakes, and how their items and Rucio's datasets name each other."""
