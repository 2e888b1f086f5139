"""Telling other people's servers what happened: endpoints, deliveries, signatures, and the guarded way out."""
