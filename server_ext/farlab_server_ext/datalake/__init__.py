"""The DataLake: several lakes behind one small interface, without Jupyter and without tornado."""
