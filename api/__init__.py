"""The service over HTTP: uploads, jobs, events, results. Everything that computes is in workers/ and recon/."""
