"""Adapters: one folder a framework, looked at only if the framework is already imported."""
