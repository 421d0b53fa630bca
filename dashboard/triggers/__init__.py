"""When: one module a kind of trigger."""
