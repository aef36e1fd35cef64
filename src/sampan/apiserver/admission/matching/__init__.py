"""Which writes a webhook or a policy is about: rules, selectors, equivalent versions, conditions in CEL."""
