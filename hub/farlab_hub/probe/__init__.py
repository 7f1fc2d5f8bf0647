"""The probe: usage records of a cluster's pods, from what its Prometheus has seen."""
