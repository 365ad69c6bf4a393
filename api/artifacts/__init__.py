"""Results and previews of jobs: listed, fetched one by one or as one zip."""
