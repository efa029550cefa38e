"""Studies, which compare training runs: runner, records and tables."""
