"""What runs on board: engines, the encode path, and the export of a trained encoder."""
