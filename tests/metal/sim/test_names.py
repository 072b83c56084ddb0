"""Names that a kernel can give to nothing: keywords, types, attributes and constants of Metal, and names of MLX's."""

from __future__ import annotations

import pytest

from metal.sim import SimError
from metal.sim.identifiers import names, preamble_names
from metal.sim.reserved import KEYWORDS, LIBRARY, reserved
from metal.sim.tokens import tokens
from tests.metal.sim.test_refusals import linted

FORMS = {
    "function": "float {}(float a) {{ return a; }}",
    "variable": "void f() {{ float {} = 1.0f; }}",
    "member": "struct A {{ float {}; }};",
    "used member": "float f(A a) {{ return a.{} + 1.0f; }}",
    "macro": "#define {} 1",
}
MORE_FORMS = {
    "second variable": "void f() {{ int first = 0, {} = 1; }}",
    "pointer": "void f(const device float* p) {{ const device float* {} = p; }}",
    "array": "void f() {{ float {}[4]; }}",
    "parameter": "float f(float {}) {{ return 1.0f; }}",
    "pointer as parameter": "float f(const device float* {}, int n) {{ return n; }}",
    "array as parameter": "float f(thread float (&{})[4]) {{ return 1.0f; }}",
    "method": "template <typename T> struct A {{ METAL_FUNC vec<T, 4> {}(int n) const {{ return n; }} }};",
    "template parameter": "template <typename T, int {}> struct A {{ int n; }};",
    "template type": "template <typename {}> struct A {{ int n; }};",
    "struct": "struct {} {{ int n; }};",
    "alias": "template <typename T> using {} = T;",
    "typedef": "typedef float {};",
    "enumeration": "enum {} {{ ONE }};",
    "enumerator": "enum class Kind {{ ONE = 1, {} }};",
    "constant": "constant constexpr int {} = 4;",
    "index of a loop": "void f() {{ for (int {} = 0; ; ) {{ }} }}",
    "variable under a condition": "void f(int n) {{ if (n > 0) int {} = 1; }}",
}
OTHERS = sorted(set(reserved()) - KEYWORDS)


def refused(text: str, what: str) -> None:
    """At the line and in the file that the text says it is from."""
    with pytest.raises(SimError, match=rf"^kernel k: conv/some\.h, line 7: the name {what} of Metal$"):
        linted(f'#line 7 "conv/some.h"\n{text}')


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_no_identifier_is_a_keyword(word: str, form: str) -> None:
    if form == "used member" and word in ("operator", "template"):
        return  # a.operator+(b) and a.template f<1>() are no names
    with pytest.raises(SimError, match=r"^kernel k: conv/some\.h, line 7: "):  # of several reasons the first is told
        linted(f'#line 7 "conv/some.h"\n{FORMS[form].format(word)}')


@pytest.mark.parametrize("form", ["function", "variable", "member", "used member", "macro"])
@pytest.mark.parametrize("word", ["fragment", "vertex", "kernel", "device", "constant", "thread", "ray_data", "half"])
def test_a_keyword_is_called_one(word: str, form: str) -> None:
    refused(FORMS[form].format(word), f"{word} is a keyword")


@pytest.mark.parametrize("form", [f for f in FORMS | MORE_FORMS if f != "used member"])
def test_no_identifier_is_a_type_an_attribute_or_a_constant(form: str) -> None:
    for word in OTHERS:
        refused((FORMS | MORE_FORMS)[form].format(word), f"{word} is {reserved()[word]}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("void f() { int _Big = 1; }", "of a form that Metal's headers keep for themselves"),
        ("void f() { int __n = 1; }", "of a form that Metal's headers keep for themselves"),
        ("#define METAL_THING 1", "of a form that Metal's headers keep for themselves"),
        ("void f() { int instantiate_kernel = 1; }", "a macro of MLX's, in front of every kernel"),
        ("struct Limits { int n; };", "a name of MLX's, in front of every kernel"),
        ("#define elem_to_loc 1", "a name of MLX's, in front of every kernel"),
    ],
)
def test_names_that_others_have(text: str, what: str) -> None:
    with pytest.raises(SimError, match=rf"^kernel k: line 1: the name \w+ is {what}$"):
        linted(text)


@pytest.mark.parametrize("word", sorted(LIBRARY))
def test_no_macro_is_called_as_a_function_of_the_library(word: str) -> None:
    with pytest.raises(
        SimError, match=f"^kernel k: line 1: the macro {word} is called as a function of Metal's library"
    ):
        linted(f"#define {word}(x) x")


def test_what_mlx_puts_in_front_is_known() -> None:
    found = preamble_names()
    assert found["instantiate_kernel"] == "a macro" and found["Limits"] == found["elem_to_loc"] == "a name"
    assert "bfloat16_t" in found  # of a header that utils.h includes


def test_reserved_names_are_used_as_what_they_are() -> None:
    linted(
        """
        #include <metal_simdgroup_matrix>
        using namespace metal;
        #define CONST static constant constexpr const
        namespace mine { struct Limits { int n; }; float elem_to_loc(int n) { return n; } }
        template <typename T, int N> struct A {
            CONST int size = sizeof(half4) * N;
            metal::simdgroup_matrix<T, 8, 8> m;
            const device T* x;
            threadgroup half2* pairs;
            A(const device T* x, threadgroup half2* p) thread : x(x), pairs(p) {}
            float2 both() const thread { return float2(*x, INFINITY); }
            explicit operator bool() const { return this->x != nullptr; }
            T operator()(int n) const { return x[n]; }
            A(const thread A& other) = default;
        };
        typedef vec<float, 4> four;
        float f(const threadgroup float4x4& a, const constant uint* b, float, const half, unsigned int);
        float g(const thread float (&a)[4], const device uchar* x [[buffer(0)]], uint3 position_of [[stage_in]]);
        template <> struct Other<device float> { enum { count = 4 }; };
        inline constexpr int rounded(int n) { return n / 2 * 2; }
        """,
        """
        const half a = half(1), b = true ? a : half(i), c = INFINITY * a;
        float4 v = as_type<float4>(uint4(1)) * half(2) + M_PI_F;
        for (uint index = 0; index < sizeof(float4); index++) { v[index] = not (i & uint(1)) and a > half(0); }
        threadgroup float memory[4][uint(2)];
        threadgroup float* p = memory[i % uint(4)];
        const device float4* y = reinterpret_cast<const device float4*>(x);
        if (i > uint(3)) return; else p[i] = y[0].x;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        unsigned int n = static_cast<unsigned int>(v.x), m = ~uint(0);
        do { n -= 1; } while (n);
        switch (n) { case 1: default: break; }
        """,
    )


def test_all_names_of_a_text_are_found() -> None:
    text = """
        #define MACRO(x) x
        namespace space {
        enum Kind { ONE, TWO = 2 };
        template <typename T, int N> struct Type {
            static constant constexpr const int A = 1, B = 2;
            T member[N], *const other;
            METAL_FUNC explicit Type(int count_) : member{count_} {}
            template <typename U> METAL_FUNC vec<U, 4> method(thread U (&array)[N], int = 3) const;
        };
        }
        using Alias = float;
        float function(const device float* pointer) {
            for (int loop = 0, end = 4; loop < end; loop++)
                if (loop > 1)
                    const auto inner = Type<float, 2>(loop);
            function(pointer), Alias * 2;
            return pointer[0] * end;
        }
    """
    found = {name.token.text for name in names(text, tokens(text))}
    expected = """
        MACRO space Kind ONE TWO Type T N A B member other count_ U method array Alias function pointer loop end inner
    """
    assert found == {*expected.split()}
