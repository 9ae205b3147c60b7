"""What an embedding is worth: probes, rivals, intervals, model cards. torch is imported where it is used."""
