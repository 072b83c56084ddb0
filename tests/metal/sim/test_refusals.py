"""What the model refuses before a kernel runs: as Metal's compiler would, or because Metal or MLX sets a limit."""

from __future__ import annotations

import re
from pathlib import Path

import mlx.core as mx
import pytest

from metal.sim import SimError, simulate
from metal.sim.capture import capture
from metal.sim.lint import lint
from tests.metal.sim.kernels import MATRICES, refused, result

X = mx.arange(32, dtype=mx.float32)


def linted(header: str = "", body: str = "", of_mlx: dict[str, str] | None = None) -> None:
    """Lints what MLX would generate from these, without compiling it."""
    signature = "[[kernel]] void k(const device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {\n"
    lint("k", f"{header}\n{signature}{body}\n}}\n", of_mlx)


WORDS = [
    ("double d = 1;", "double"),
    ("float f = 1.5e3L;", "long double"),
    ("goto end; end:;", "goto"),
    ("thread int* p = new int;", "new"),
    ("delete p;", "delete"),
    ("try { } catch (...) { }", "exceptions"),
    ("throw 1;", "exceptions"),
    ("typeid(i);", "typeid"),
    ("dynamic_cast<thread float&>(i);", "dynamic_cast"),
    ("thread_local int t;", "thread_local"),
    ('asm("nop");', "assembly"),
    ("float f = std::max(1.0f, 2.0f);", "namespace std"),
    ("auto f = [&](int a) { return a; };", "lambda"),
    ("g([](int a) { return a; });", "lambda"),
    ("int (*f)(int) = g;", "pointers to functions"),
    ("static int calls = 0;", "static variable"),
    ("threadgroup float s[4] = {1, 2, 3, 4};", "cannot be initialised"),
    ("float4 v = (float4)i;", "C cast to a vector is not modelled"),
    ("float größe = 1;", "größe is not ASCII"),
    ("float e = 1 – 2;", "– is not ASCII"),
    ('static_assert(true, "…");', '"…" is not ASCII'),
]


@pytest.mark.parametrize(("body", "match"), WORDS)
def test_what_metal_has_not(body: str, match: str) -> None:
    with pytest.raises(SimError, match=f"^kernel k: line 3: .*{match}"):
        linted(body=body)


@pytest.mark.parametrize(("body", "match"), WORDS[:11])
def test_what_metal_has_not_in_a_macro(body: str, match: str) -> None:
    with pytest.raises(SimError, match=f"^kernel k: line 2: .*{match}"):
        linted(f"\n#define M {body}")


HEADERS = [
    ("struct A { virtual void f(); };", "virtual"),
    ("#include <cmath>", "includes <cmath>"),
    ("#include <stdint.h>", "includes <stdint.h>"),
    ('#include "mlx/backend/metal/kernels/utils.h"', "includes"),
    ("float f(float& x) { return x; }", "a parameter that is a pointer or reference needs an address space"),
    ("float f(const float* x);", "a parameter that is a pointer or reference needs an address space"),
    ("template <typename T> void f(int n, const T (&x)[4]) { }", "a parameter .* needs an address space"),
    ("template <typename... A> void f(A&&... a) { }", "a parameter .* needs an address space"),
    ("struct A { void f(int n, float* x) const { } };", "a parameter .* needs an address space"),
    ("struct A { A(float& x) : x(x) { } };", "a parameter .* needs an address space"),
    ("float* f(int n);", "result that is a pointer or reference needs an address space"),
    ("struct A { A& operator+=(int n); };", "result that is a pointer or reference needs an address space"),
    ("struct A { float* x; };", "a pointer or reference needs an address space"),
    ("struct A { const float& x; };", "a pointer or reference needs an address space"),
    ("using P = float*;", "a pointer or reference needs an address space"),
    ("int f(int n) { auto& m = n; return m; }", "a pointer or reference needs an address space"),
    ("int f(int n) { const int* m = 0; return *m; }", "a pointer or reference needs an address space"),
    ("int f(int n) { for (int* m = 0; m; ) { } return n; }", "a pointer or reference needs an address space"),
    ("int f(int n) { return *(int*)n; }", "a cast to a pointer needs an address space"),
    ("int f(int n) { return *reinterpret_cast<const int*>(n); }", "a cast to a pointer or reference needs"),
    ("int width = 4;", "program scope must be in address space constant"),
    ("constexpr int width = 4;", "program scope must be in address space constant"),
    ("static const int widths[2] = {4, 5};", "program scope must be in address space constant"),
    ("namespace a { int width; }", "program scope must be in address space constant"),
    ("struct A { static constexpr int width = 4; };", "program scope must be in address space constant"),
    ("template <int N> constexpr int width = N;", "program scope must be in address space constant"),
    ("threadgroup float s[4];", "threadgroup variables are declared in the kernel"),
    ("void f() { threadgroup float s[4]; }", "threadgroup variables are declared in the kernel"),
    ("[[max_total_threads_per_threadgroup(32)]] void f();", "miscompiles"),
]


@pytest.mark.parametrize(("header", "match"), HEADERS)
def test_declarations_that_metal_refuses(header: str, match: str) -> None:
    with pytest.raises(SimError, match=f"^kernel k: line 1: .*{match}"):
        linted(header)


def test_declarations_that_metal_accepts() -> None:
    linted(
        """
        #include <metal_simdgroup_matrix>
        #define CONST static constant constexpr const
        using namespace metal;
        // double, new and std::max in a comment; "goto" in a string
        constant float table[2] = {1, 2};
        constexpr constant int width = 4;
        template <typename T, int N = (3 > 2)> struct alignas(16) A {
            CONST int size = N * 2;
            int count = 0, more[2] = {1, 2};
            const device T* x;
            threadgroup T* s;
            A(const device T* x, threadgroup T* s) thread : count{1}, x(x), s(s) {}
            thread A& operator*=(const thread A& other) { count *= other.count; return *this; }
            int times(int n) const { return count * n & size; }
            A() = delete;
        };
        struct B;
        enum class Kind { one, two };
        template <typename T> void f(thread T (&x)[4], const constant int& n, int a = 3 * 4, threadgroup T* s = 0);
        inline float g(const device float* x [[buffer(0)]]) { return x[0] * width; }
        [[max_total_threads_per_threadgroup(128)]] void h();
        """,
        """
        threadgroup float s[4], t[2 * 8];
        threadgroup float* p = s;
        thread auto& q = i;
        const auto n = i * 2;
        int a[3] = {1, 2, 3};
        a[0] *= 2, a[1] = a[2] & 1;
        float4 v = float4(1) * (i & 3);
        for (const device float* y = x; y < x + 4; y++) { v[0] += *y * *x; }
        *p = *(const device float*)(x + i);
        uint size = sizeof(float4) * (i);
        """,
    )


def test_the_lint_finds_nothing_in_the_kernels_of_mlx() -> None:
    """They compile on Macs. Those for Metal 4 have lambda expressions; all include each other. A few of their names are
    of the implementation's forms, a risk that is theirs to take."""
    folder = Path(mx.__file__).parent / "include/mlx/backend/metal/kernels"
    files = sorted(folder.rglob("*.h"))
    assert len(files) > 50
    for file in files:
        text = file.read_text()
        if "[&](" not in text:
            lines = (line for line in text.splitlines() if not line.lstrip().startswith("#include"))
            text = re.sub(r"\b(?:__|_(?=[A-Z]))(?!METAL_)", "of_", "\n".join(lines))
            linted(f"#include <metal_simdgroup_matrix>\n{text}", of_mlx={})


@pytest.mark.parametrize("size", [8, 9])
def test_buffers_are_counted_with_shapes(size: int) -> None:
    """MLX passes a shape as a buffer of its own: with one, 30 inputs and an output are too many."""
    inputs = {f"a{i}": mx.zeros((8,)) for i in range(30)}
    body = "out[0] = a0[0];" + ("" if size == 8 else " out[0] += a1_shape[0];")
    kernel = mx.fast.metal_kernel(name="test", input_names=list(inputs), output_names=["out"], source=body)
    captured = capture(
        kernel,
        list(inputs.values()),
        None,
        grid=(1, 1, 1),
        threadgroup=(1, 1, 1),
        output_shapes=[(1,)],
        output_dtypes=[mx.float32],
    )
    if size == 8:
        lint("test", captured.source)
    else:
        with pytest.raises(SimError, match="kernel test: line 2: 32 buffer arguments; Metal allows 31"):
            lint("test", captured.source)


COMPILED = [
    ("const threadgroup float* p = x; out[0] = p[0];", "", "cannot initialize a variable of type"),
    ("const thread float* p = x; out[0] = p[0];", "", "cannot initialize a variable of type"),
    ("device float* p = x; out[0] = p[0];", "", "cannot initialize a variable of type"),
    ("x[0] = 1;", "", "read-only"),
    ("x_shape[0] = 1;", "", "read-only"),
    ("out[0] = f(x);", "float f(threadgroup float* p) { return p[0]; }\n", "no matching function for call to 'f'"),
    ("float v = 1; out[0] = f(&v);", "float f(const device float* p) { return p[0]; }\n", "no matching function"),
    ("out[0] = f(x);", "template <typename T> T f(const constant T* p) { return p[0]; }\n", "no matching function"),
    ("float a[int(x[0])]; out[0] = a[0];", "", "variable length arrays"),
    ("float4 v = float4(1, 2); out[0] = v.x;", "", "wrong number of components"),
    ("out[0] = as_type<int>(half(1));", "", "as_type between types of different size"),
    ("simdgroup_matrix<float, 8, 4> m; out[0] = 0;", "", "simdgroup matrices are 8x8"),
    ("out[0] = y[0];", "", "use of undeclared identifier 'y'"),
    # C++17, which Metal has from version 4 on
    ("out[0] = Of<3>::n;", "template <auto N> struct Of { enum { n = N }; };", "'auto' not allowed"),
    ("Of p{1}; out[0] = p.n;", "template <class T> struct Of { T n; Of(T m) : n(m) {} };", "requires template"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "header", "match"), COMPILED)
def test_what_the_compiler_refuses(body: str, header: str, match: str) -> None:
    body = body if "x_shape" in body else body + " (void)x_shape;"
    message = refused(f"does not compile: .*(\n.*)*{match}", body, X, header=MATRICES + header)
    assert "custom_kernel_test_float" in message


@pytest.mark.parametrize(
    ("body", "header", "match"),
    [
        ("out[0] = ((thread float*)x)[0];", "", "casts a pointer to another address space"),
        ("out[0] = f(int(x[3]));", "int f(int n) { return n < 2 ? 1 : n * f(n - 1); }\n", "f calls itself"),
        (
            "out[0] = f(int(x[3]));",
            "int g(int);\nint f(int n) { return n < 1 ? 0 : g(n - 1); }\n"
            "int g(int n) { return n < 1 ? 0 : f(n - 2) + 2; }\n",
            "calls itself",
        ),
        (
            "using F = int (*)(int); F f[2] = {a, b}; out[0] = f[int(x[1])](3);",
            "int a(int n) { return n; }\nint b(int n) { return -n; }\n",
            "through a pointer",
        ),
("out[0] = __builtin_exp(x[0]);", "", "computes in double"),
    ],
)  # fmt: skip
def test_what_only_the_compiled_text_shows(body: str, header: str, match: str) -> None:
    refused(match, body, X, header=MATRICES + header)


def test_a_template_may_call_another_of_its_instances() -> None:
    header = "template <int N> struct Sum { static int of(int x) { return x + Sum<N - 1>::of(x); } };\n"
    header += "template <> struct Sum<0> { static int of(int) { return 0; } };\n"
    assert result("out[thread_index_in_threadgroup] = Sum<5>::of(3);", header=header)[0] == 15


def test_what_is_no_kernel_of_mlx() -> None:
    call = {"grid": (1, 1, 1), "threadgroup": (1, 1, 1), "output_shapes": [(1,)], "output_dtypes": [mx.float32]}
    with pytest.raises(SimError, match=r"is not a kernel made by mx\.fast\.metal_kernel"):
        simulate(lambda inputs, **_: [inputs[0] + 1], inputs=[X], **call)
