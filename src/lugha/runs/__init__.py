"""The run folder and what every stage leaves behind: manifests, durable files, metrics, rates, progress."""
