"""The usage ledger: what every workload used, written when it happens and added up by day."""
