"""Discovery: an explorer proposes controllers, replay scores them, the next round learns."""
