"""The services that the tests need, brought or found, on private ports."""
