"""Whether a capture will connect, foretold in a minute from small copies of its images."""
