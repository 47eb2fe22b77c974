"""The problems a configuration can have: ids, messages, and how they are printed."""
