"""The only door: authentication, authorisation, admission, registry, discovery."""
