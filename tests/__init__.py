"""Tests of gppf_mm; a package, so that they share `tests.stand_ins`."""
