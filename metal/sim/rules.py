"""What the lint refuses, a sentence for each rule."""

from typing import NamedTuple

from .tokens import Token

RULES = {
    # the text as MLX makes it and hands it over
    "ascii": "{} is not ASCII, as which MLX hands the text to Metal",
    "include": "includes {}; MLX gives a kernel no headers but Metal's",
    "include in braces": "includes {} inside of braces; Metal's headers are for outside of everything",
    "matrices": "{} needs #include <metal_simdgroup_matrix>, which <metal_stdlib> does not include",
    "buffers": "{} buffer arguments; Metal allows 31",
    "kernel's name": "the kernel's name holds {}: MLX made it of template arguments, of which none can be negative",
    # the language
    "word": "Metal has no {}",
    "long double": "Metal has no long double",
    "std": "Metal has no namespace std",
    "lambda": "Metal has no lambda expressions before version 4",
    "function pointer": "Metal has no pointers to functions",
    "miscompiled": "Apple's compiler miscompiles matrix products of max_total_threads_per_threadgroup(32)",
    # address spaces
    "cast": "a cast to a pointer needs an address space",
    "named cast": "a cast to a pointer or reference needs an address space",
    "result": "a function's result that is a pointer or reference needs an address space",
    "parameter": "a parameter that is a pointer or reference needs an address space",
    "pointer": "a pointer or reference needs an address space",
    "threadgroup variable": "threadgroup variables are declared in the kernel function",
    "initial value": "a threadgroup variable cannot be initialised",
    "static variable": "a static variable of a function must be constant",
    "program variable": "a variable of program scope must be in address space constant",
    # names
    "keyword": "the name {} is a keyword of Metal",
    "reserved": "the name {} is {} of Metal",
    "form": "the name {} is of a form that Metal's headers keep for themselves",
    "library": "the macro {} is called as a function of Metal's library",
    "mlx": "the name {} is {} of MLX's, in front of every kernel",
    # the model
    "vector cast": "a C cast to a vector is not modelled: write {}(…)",
}


class Finding(NamedTuple):
    """A place where a rule is broken."""

    token: Token
    rule: str
    arguments: tuple[object, ...] = ()

    @property
    def sentence(self) -> str:
        return RULES[self.rule].format(*self.arguments)
