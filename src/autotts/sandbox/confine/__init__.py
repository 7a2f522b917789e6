"""How a process is confined: the seal, an agent's jail, and what this machine reaches."""
