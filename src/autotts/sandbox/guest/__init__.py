"""What runs in a sealed worker, where nothing is trusted once a program has been loaded."""
