"""A program and all that it calls, optimised and made machine code once, as one piece.

Numba does both for every function that a program calls, by itself, and again for each function
that calls it: half of the time that a program takes to compile. What comes of the parts is never
run, for a caller links their code before it is optimised:

    votes.outliers -+                             each is typed and lowered as ever
    np.zeros -------+-> weigh -+-> solve -> <entry>
    env.active -----+----------+                  here all is linked: optimised, made machine code
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from numba.core.codegen import CPUCodeLibrary
from numba.core.cpu import CPUContext, CPUTargetOptions

_optimize = CPUCodeLibrary._optimize_final_module
_finish = CPUCodeLibrary._finalize_final_module
_get_executable = CPUContext.get_executable


@contextmanager
def linked_once(outermost: str) -> Iterator[None]:
    """In the block, only the function of this qualified name becomes code that can be run.

    It can be called by its address alone, not from Python. What the others were compiled to serves
    to be linked, in the block and later, and for nothing else.
    """
    environments: list[tuple[str, Any]] = []
    fill_in = CPUTargetOptions.finalize

    def without_wrappers(options: Any, flags: Any, given: Any) -> None:
        fill_in(options, flags, given)
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True

    def optimize(library: Any) -> None:
        if library.name == outermost:
            _optimize(library)

    def finish(library: Any) -> None:
        if library.name == outermost:
            _finish(library)
            return
        library._finalize_dynamic_globals()
        library._verify_declare_only_symbols()
        library._finalized = True

    def get_executable(context: Any, library: Any, description: Any, environment: Any) -> Any:
        if library.name != outermost:
            environments.append((context.get_env_name(description), environment))
            # Numba wants a built-in function, another for each part, that it finds the part by.
            return [].index
        executable = _get_executable(context, library, description, environment)
        codegen = library.codegen
        for name, part in environments:
            if codegen._engine.is_symbol_defined(name):
                codegen.set_env(name, part)
        return executable

    with ExitStack() as stack:
        for owner, name, value in (
            (CPUCodeLibrary, "_optimize_final_module", optimize),
            (CPUCodeLibrary, "_finalize_final_module", finish),
            (CPUContext, "get_executable", get_executable),
            (CPUTargetOptions, "finalize", without_wrappers),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
