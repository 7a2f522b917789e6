"""Programs that somebody else wrote: checked, sealed, run, audited and stopped."""
