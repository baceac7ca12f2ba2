"""Changes: intents, sagas, idempotency, history and recovery."""
