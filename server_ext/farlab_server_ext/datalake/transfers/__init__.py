"""Transfers between lakes: one list of them, kept on disk, whoever carries the bytes."""
