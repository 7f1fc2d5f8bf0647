"""The DataLake in a cell: `%datalake`, `%%offload --data` and the file system `farlab://`.

At a site the package may lack what a notebook's environment has: so nothing is imported here.
"""
