"""One blueprint a file; each turns HTTP into a call of `store` or `domain` and back."""
