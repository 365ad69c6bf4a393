"""Jobs over HTTP: made, watched, cancelled, tried again; how far they are and how long they still take."""
