"""The service's lower half: shared storage, job records, queues and workers. Knows nothing of HTTP routes."""
