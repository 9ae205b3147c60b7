"""The rate–utility harness: what every method costs in real bytes, and what is left of every task's use."""
