"""lugha inside other people's programs."""
