"""Why a run cannot begin or go on. Imports nothing."""


class RunError(Exception):
    """One line for people: what is wrong, and what to do."""
