"""Services of other teams, in other languages, each released over its own commit before."""
