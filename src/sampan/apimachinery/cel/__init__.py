"""CEL, the expression language of admission policies, match conditions and custom resources: one environment."""
