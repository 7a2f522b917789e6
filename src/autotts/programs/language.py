"""What a controller program may say: allow-lists, and what to write instead of the rest.

Everything is an allow-list: statements, builtins, parts of numpy, attributes. Sorting values
needs no `kind` (equal values look alike); sorting indices does, for there order is a decision.
`programs.checker` holds programs to it.
"""

import ast
from types import FunctionType

from autotts import votes
from autotts.control.env import METHODS as ENV_METHODS
from autotts.control.env import NAMES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENV = NAMES

VOTES = frozenset(
    name
    for name, value in vars(votes).items()
    if isinstance(value, FunctionType)
    and value.__module__ == votes.__name__
    and not name.startswith("_")
)

BUILTINS = _words(
    """abs all any bool dict divmod enumerate filter float int len list map max min pow print range
    reversed round sorted sum tuple zip True False None
    ArithmeticError AssertionError IndexError RuntimeError ValueError"""
)

NUMPY = _words(
    """abs absolute add all allclose amax amin any append arange arccos arcsin arctan arctan2 argmax
    argmin argsort argwhere around array array_equal asarray atleast_1d atleast_2d average bincount
    bool_ cbrt ceil clip column_stack concatenate convolve copy corrcoef cos cosh count_nonzero cov
    cross cumprod cumsum deg2rad delete diag diff digitize divide divmod dot e ediff1d equal
    euler_gamma exp exp2 expand_dims expm1 eye fabs finfo flatnonzero flip float64 floor
    floor_divide fmax fmin fmod full full_like gcd greater greater_equal heaviside histogram hstack
    hypot identity iinfo inf inner insert int64 interp intersect1d isclose isfinite isin isinf isnan
    lcm less less_equal lexsort linspace log log10 log1p log2 logaddexp logaddexp2 logical_and
    logical_not logical_or logical_xor logspace matmul max maximum mean median min minimum mod
    multiply nan nan_to_num nanargmax nanargmin nanmax nanmean nanmedian nanmin nanpercentile
    nanquantile nanstd nansum nanvar negative newaxis nonzero not_equal ones ones_like outer
    percentile pi polyfit polyval power prod ptp quantile ravel reciprocal remainder repeat reshape
    rint roll round searchsorted setdiff1d sign sin sinh size sort split sqrt square squeeze stack
    std subtract sum take tan tanh tile trace transpose tri tril triu trunc union1d unique vander
    var vstack where zeros zeros_like"""
)

NOT_ALIKE = {
    **dict.fromkeys(
        _words("float16 float32 int8 int16 int32 uint uint8 uint16 uint32 uint64"),
        "numbers of fewer bits, or without a sign, come out otherwise compiled; use np.int64 or"
        " np.float64",
    ),
    "kron": "of whole numbers and floats it comes out otherwise compiled; use np.outer",
    "resize": "it takes any size, and no check of it; use np.concatenate, or slices",
}
"""Parts of NumPy that a program might want, and why it can't have them."""

MATH = _words(
    """acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf
    erfc exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite
    isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm pi pow prod
    radians remainder sin sinh sqrt tan tanh tau trunc ulp"""
)

RANDOM = _words(
    """beta binomial choice exponential gamma geometric integers normal permutation poisson random
    shuffle standard_normal triangular uniform"""
)

METHODS = _words(
    """T all any append argmax argmin argsort astype clear clip copy count cumprod cumsum dot dtype
    eps extend fill flatten get index insert item items keys max mean min ndim nonzero pop prod
    ravel remove repeat reshape reverse round searchsorted setdefault shape size squeeze std sum
    take tolist transpose update values var"""
)
"""Attributes of arrays, lists, dicts and `np.finfo` that a program may use."""

IN_PLACE = _words("fill clear extend append insert remove pop reverse update setdefault")

STATEMENTS = (
    ast.FunctionDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While,
    ast.If, ast.Raise, ast.Assert, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Delete,
)  # fmt: skip

FORBIDDEN: dict[type[ast.AST], str] = {
    ast.Try: "`try` is not allowed: an error in an episode is reported as it is; test before",
    ast.TryStar: "`try` is not allowed: an error in an episode is reported as it is; test before",
    ast.ClassDef: "classes are not allowed; use functions, arrays and tuples",
    ast.AsyncFunctionDef: "`async` is not allowed; a program is plain sequential code",
    ast.AsyncFor: "`async` is not allowed; a program is plain sequential code",
    ast.AsyncWith: "`async` is not allowed; a program is plain sequential code",
    ast.Await: "`await` is not allowed; a program is plain sequential code",
    ast.Yield: "`yield` is not allowed; call the actions of `env` directly",
    ast.YieldFrom: "`yield` is not allowed; call the actions of `env` directly",
    ast.With: "`with` is not allowed; a program opens nothing",
    ast.Global: "`global` is not allowed: a program keeps nothing from one episode to the next",
    ast.Nonlocal: "`nonlocal` is not allowed; pass values as arguments and return them",
    ast.Set: "sets are not allowed, their order is not defined; use a sorted list or an array",
    ast.SetComp: "sets are not allowed, their order is not defined; use a sorted list or an array",
    ast.Match: "`match` is not allowed; use if and elif",
    ast.Import: "imports stand at the top of the module",
    ast.ImportFrom: "imports stand at the top of the module",
}

REFUSED_BUILTINS = {
    "set": "sets are not allowed, their order is not defined; use a sorted list or an array",
    "frozenset": "sets are not allowed, their order is not defined; use a sorted list or an array",
    "open": "a program reads and writes no files",
    "input": "a program reads no input",
    "hash": "hashes differ from one process to the next; compare the values themselves",
    "id": "addresses differ from one process to the next; compare the values themselves",
    "str": "text has no place in a decision; use numbers",
    "repr": "text has no place in a decision; use numbers",
    "format": "text has no place in a decision; use numbers",
    "BaseException": "raise ValueError or RuntimeError",
    "Exception": "raise ValueError or RuntimeError",
    "iter": "use a for loop over a list, a range or an array",
    "next": "use a for loop over a list, a range or an array",
    "memoryview": "use numpy arrays",
    "bytes": "use numpy arrays",
    "bytearray": "use numpy arrays",
    "complex": "use float",
}
INTROSPECTION = _words(
    """__import__ breakpoint callable classmethod compile delattr dir eval exec exit getattr globals
    hasattr help isinstance issubclass locals object property quit setattr staticmethod super type
    vars"""
)

ANNOTATIONS = _words("typing collections.abc numpy.typing __future__")
"""Modules whose names a program may import, and use in annotations alone."""
TYPES = _words("int float bool str list dict tuple object None bytes complex set frozenset type")
HOW_TO_GET = {
    "np": 'write "import numpy as np" at the top',
    "numpy": 'write "import numpy as np" at the top, and np. here',
    "math": 'write "import math" at the top',
    "env": "give it to this function as an argument",
    "p": "give it to this function as an argument",
}
NO_ANSWER = {
    ast.JoinedStr: "text",
    ast.Dict: "a dict",
    ast.DictComp: "a dict",
    ast.List: "a list",
    ast.ListComp: "a list",
    ast.Tuple: "a tuple",
}
"""What `solve` can't return, by how it is written."""
PURE = _words("abs bool float int len max min print range round")
"""Builtins that change nothing a loop's condition could look at."""
READS = _words("active history note vote")
"""Methods of `env` that don't either."""
CALLED = frozenset(entry.name for entry in ENV_METHODS)

IN_ANNOTATIONS = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp, ast.BitOr,
    ast.Load,
)  # fmt: skip
SIGNATURES = {"schedule": ["beta"], "solve": ["env", "p"]}
IMPORTS = "a program may import numpy, math and autotts.votes"
