"""How good a model is, how sure that is, and how its logits become labels. No torch in here."""
