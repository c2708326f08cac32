"""Training: data order, objectives, optimiser and schedule, and the one loop of all roads."""
