"""Events told to other servers: signed, tried again, replayable."""
