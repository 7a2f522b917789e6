"""Every exception a user can catch. Each names the boundary that broke."""


class AutottsError(Exception):
    """Base of all errors that `autotts` raises on purpose."""


class ControlError(AutottsError):
    """An action that the state of the episode does not admit."""


class BudgetSpent(AutottsError):
    """A batch that does not fit the budget; it ends the episode with the vote so far."""


class SpecError(AutottsError):
    """A controller SPEC, draw SPEC or option that can't be understood."""


class ProgramError(AutottsError):
    """A controller program that can't be loaded: its source, its schedule or its compilation."""


class ControllerError(AutottsError):
    """A controller that failed in an episode: it raised, looped, or answered something unseen."""


class TookTooLong(ControllerError):
    """A controller that did not get on with an episode, or to its end, in the time it is given."""


class StoreError(AutottsError):
    """A store, or a file to import, that is damaged, incomplete or of another schema."""


class SandboxError(AutottsError):
    """The sandbox can't be set up, or a sealed worker broke its protocol."""


class ClusterError(AutottsError):
    """A Ray cluster that can't be reached, or a machine of it that can't do what it is asked."""


class ProposalError(AutottsError):
    """An explorer brought no program: none came, or none could be read or sent."""


class RunError(AutottsError):
    """A run folder that can't be created, read, locked or resumed."""


class ServerError(ProposalError):
    """A model server that refuses what it is asked, and would again: a key, a model, a limit."""
