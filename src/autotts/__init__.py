"""Find, replay and judge controllers for test-time scaling."""

__version__ = "0.1.0"
