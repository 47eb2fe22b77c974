"""What is told about requests: records, logs. Knows what happened, never how it was done."""
