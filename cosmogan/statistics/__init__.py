"""Summary statistics of density fields: pure array functions, one module a statistic."""
