"""What every test can use: golden files (`--accept` renews them) and the lab, started once for a run."""

pytest_plugins = ["tests.golden_files", "tests.lab_fixture"]
