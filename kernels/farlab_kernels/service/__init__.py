"""The Farlab service as a client sees it: sites, workloads and byte streams to their ports."""
