"""Parts of test/gateway/gateway."""
