"""From the best trials to a model one can trust: confirm, retrain, decide, evaluate, export."""
