"""Stores: places that checkpoints are published to. One protocol, a file for each kind."""
