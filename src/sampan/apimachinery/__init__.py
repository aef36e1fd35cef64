"""What every API shares and no kind: schema, quantities, selectors, patches, Status errors."""
