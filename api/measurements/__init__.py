"""What was measured in a job's model."""
