"""Webhooks that the sandbox sends: rules, requests, Billing's events, and the sender."""
