"""Programs of the user that the server asks over HTTPS: where they are, and how they are asked."""
