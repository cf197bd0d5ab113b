"""Providers are data: rules, routes, limits and prices read from JSON files. Nothing here talks to a network."""
