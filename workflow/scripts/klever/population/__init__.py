"""The survey as a population: its table, the literature, relations, trends and their figures."""
