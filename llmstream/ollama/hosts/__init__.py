"""Several model servers of a kind as one: each question goes to the host that is likely to answer it first."""
