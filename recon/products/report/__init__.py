"""What is said of a run: the facts (``report.json``) and the page (``report.html``)."""
