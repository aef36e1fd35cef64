"""The roles and bindings that every cluster starts with, as data: what upstream documents as default roles."""
