"""Behaviour: what each kind of participant decides. Agents read views and return intents."""
