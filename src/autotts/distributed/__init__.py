"""Programs on the machines of a Ray cluster: the driver, what is sent, and who runs it again."""
