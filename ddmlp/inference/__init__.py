"""Using a trained model: predict, evaluate, export, and read pictures."""
