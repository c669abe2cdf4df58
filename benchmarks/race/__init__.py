"""The race: how soon a search reaches a validation macro-F1, against what people use today."""
