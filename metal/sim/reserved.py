"""Names that mean something in Metal: a kernel can give them to nothing of its own.

What Metal calls a keyword, a type, an attribute or a constant is told by the Metal Shading Language Specification:
types in chapter 2, address spaces in 4, functions and attributes in 5, constants and the library in 6; and by the C++
standard on which it stands (N4431, "Keywords" and "Alternative tokens"). Which of them a compiler really trips over is
known to translators, which rename what collides: naga (gfx-rs/wgpu, `naga/src/back/msl/keywords.rs`), SPIRV-Cross
(`get_reserved_keyword_set` and `get_illegal_func_names` in `spirv_msl.cpp`) and Tint (the renamer of Dawn). These
lists were read against each other and against the kernels of MLX, which compile on Macs. What MLX gives as names to
its own is not reserved here: `bias`, which SPIRV-Cross renames, `index` and `object`, which are attributes too.
"""

import functools
import itertools
from collections.abc import Iterator


def _words(text: str) -> list[str]:
    return text.split()


ADDRESS_SPACES = frozenset(_words("constant device object_data ray_data thread threadgroup threadgroup_imageblock"))
STAGES = frozenset(_words("fragment kernel vertex"))
"""Words that begin a function that a pipeline runs."""

CONTROL = frozenset(_words("break case catch continue default do else for goto if return switch throw try while"))
EXPRESSIONS = frozenset(
    _words("""
    alignof and bitand bitor compl const_cast delete dynamic_cast false new noexcept not nullptr or reinterpret_cast
    sizeof static_cast this true typeid xor and_eq not_eq or_eq xor_eq
    """)
)
SPECIFIERS = frozenset(
    _words("""
    alignas asm class const constexpr decltype enum explicit export extern friend inline mutable namespace operator
    private protected public register static static_assert struct template thread_local typedef typename union using
    virtual volatile
    """)
)
FUNDAMENTAL = frozenset(
    _words("auto bool char char16_t char32_t double float int long short signed unsigned void wchar_t half bfloat")
)
KEYWORDS = ADDRESS_SPACES | STAGES | CONTROL | EXPRESSIONS | SPECIFIERS | FUNDAMENTAL
"""Words of the grammar: C++14's, and those that Metal adds. They are identifiers nowhere."""


def _types() -> Iterator[str]:
    integers = ["char", "uchar", "short", "ushort", "int", "uint", "long", "ulong"]
    yield from ("llong", "uchar", "uint", "ullong", "ulong", "ushort", "ptrdiff_t", "size_t", "uintptr_t")
    yield from (f"{u}int{bits}_t" for u in ("", "u") for bits in (8, 16, 32, 64))
    for scalar, n in itertools.product(["bool", "half", "bfloat", "float", *integers], (2, 3, 4)):
        yield from (f"{scalar}{n}", f"packed_{scalar}{n}")
    yield from (f"{t}{c}x{r}" for t in ("half", "float", "bfloat") for c in (2, 3, 4) for r in (2, 3, 4))
    yield from (f"simdgroup_{t}8x8" for t in ("half", "float", "bfloat"))
    yield from (f"atomic_{t}" for t in ("bool", "flag", "float", "int", "long", "short", "uint", "ulong", "ushort"))
    for kind, dimension in itertools.product(("texture", "depth"), ("1d", "2d", "2d_ms", "cube")):
        yield from (f"{kind}{dimension}", f"{kind}{dimension}_array")
    yield from _words("texture3d texture_buffer sampler")
    yield from _words("matrix packed_vec simdgroup_matrix simd_vote quad_vote vec atomic")
    yield from _words("array_ref imageblock imageblock_data imageblock_slice interpolant uniform")
    yield from _words("patch_control_point per_vertex_value vertex_value mesh_grid_properties")
    yield from _words("acceleration_structure instance_acceleration_structure primitive_acceleration_structure")
    yield from _words("intersection_query intersection_function_table intersector visible_function_table ray")
    yield from _words("command_buffer compute_command compute_pipeline_state render_command render_pipeline_state")
    yield from _words("depth_stencil_state rasterization_rate_map_data rasterization_rate_map_decoder")
    yield from _words("tensor tensor_handle tensor_inline tensor_offset cooperative_tensor extents dextents")
    yield from _words("access coherence mem_flags memory_order thread_scope metal as_type complex imaginary quad")
    yield from _words("r8unorm r8snorm r16unorm r16snorm rg8unorm rg8snorm rg16unorm rg16snorm rgba8unorm")
    yield from _words("srgba8unorm rgba8snorm rgba16unorm rgba16snorm rgb10a2 rg11b10f rgb9e5")
    yield from _words("level gradient2d gradient3d gradientcube min_lod_clamp")


def _attributes() -> Iterator[str]:
    threads = _words("thread threads threadgroup threadgroups simdgroup simdgroups quadgroup quadgroups")
    for a, b in itertools.product(threads, ("grid", "threadgroup", "simdgroup", "quadgroup")):
        yield from (f"{a}_position_in_{b}", f"{a}_index_in_{b}", f"{a}_per_{b}")
    yield from (f"dispatch_{t}_per_threadgroup" for t in ("threads", "simdgroups", "quadgroups"))
    yield from _words("grid_origin grid_size stage_in_grid_origin stage_in_grid_size thread_execution_width")
    yield from _words("max_total_threads_per_threadgroup max_total_threadgroups_per_mesh_grid")
    yield from _words("buffer texture function_constant host_name stage_in user visible stitchable mesh")
    yield from _words("vertex_id instance_id base_vertex base_instance amplification_id amplification_count")
    yield from _words("early_fragment_tests front_facing point_coord point_size position sample_id sample_mask")
    yield from _words("clip_distance color depth stencil raster_order_group render_target_array_index")
    yield from _words("viewport_array_index primitive_id barycentric_coord patch patch_id position_in_patch")
    yield from _words("flat center_perspective center_no_perspective centroid_perspective centroid_no_perspective")
    yield from _words("sample_perspective sample_no_perspective invariant intersection payload origin")
    yield from _words("direction min_distance max_distance accept_intersection continue_search opaque")
    yield from (f"{what}_intersection_function_table_offset" for what in ("geometry", "instance"))
    yield from _words("geometry_id triangle bounding_box curve world_space_data instancing triangle_data curve_data")
    yield from _words("required_threads_per_threadgroup dynamic_libraries imageblock_size")


def _constants() -> Iterator[str]:
    irrational = _words("E LOG2E LOG10E LN2 LN10 PI PI_2 PI_4 1_PI 2_PI 2_SQRTPI SQRT2 SQRT1_2")
    yield from (f"M_{name}{suffix}" for name in irrational for suffix in ("", "_F", "_H", "_BF"))
    limits = _words("DECIMAL_DIG DIG EPSILON MANT_DIG MAX MAX_10_EXP MAX_EXP MIN MIN_10_EXP MIN_EXP RADIX")
    yield from (f"{kind}_{name}" for kind in ("FLT", "DBL", "HALF", "BFLT") for name in limits)
    yield from (f"{kind}_{end}" for kind in ("CHAR", "INT", "LLONG", "LONG", "SCHAR", "SHRT") for end in ("MAX", "MIN"))
    yield from (f"{kind}_MAX" for kind in ("UCHAR", "UINT", "ULLONG", "ULONG", "USHRT"))
    yield from _words("CHAR_BIT FP_ILOGB0 FP_ILOGBNAN HUGE_VAL HUGE_VALF HUGE_VALH HUGE_VALBF INFINITY NAN")
    yield from _words("MAXDOUBLE MAXFLOAT MAXHALF MAXBFLOAT assert restrict main NULL")
    yield from _words("STATIC_DATA_TRACEPOINT STATIC_DATA_TRACEPOINT_V VARIABLE_TRACEPOINT")


def _library() -> Iterator[str]:
    yield from _words("abs absdiff addsat clamp clz ctz extract_bits hadd insert_bits mad24 madhi madsat max max3")
    yield from _words("median3 min min3 mul24 mulhi popcount reverse_bits rhadd rotate subsat")
    yield from _words("acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh cospi divide exp exp10 exp2")
    yield from _words("fabs fdim floor fma fmax fmax3 fmedian3 fmin fmin3 fmod fract frexp ilogb ldexp log log10")
    yield from _words("log2 modf nextafter pow powr rint round rsqrt sin sincos sinh sinpi sqrt tan tanh tanpi trunc")
    yield from _words("all any isfinite isinf isnan isnormal isordered isunordered not_equal select signbit")
    yield from _words("mix saturate sign smoothstep step cross determinant distance distance_squared dot")
    yield from _words("faceforward length length_squared normalize reflect refract transpose fence")
    yield from _words("threadgroup_barrier simdgroup_barrier atomic_thread_fence discard_fragment")
    yield from _words("make_filled_simdgroup_matrix simdgroup_load simdgroup_store simdgroup_multiply")
    yield from _words("simdgroup_multiply_accumulate is_function_constant_defined numeric_limits")
    across = _words("all and any ballot broadcast broadcast_first is_first max min or product sum xor")
    shuffles = _words("shuffle shuffle_down shuffle_up shuffle_xor shuffle_rotate_down shuffle_rotate_up")
    yield from (f"{group}_{name}" for group in ("simd", "quad") for name in [*across, *shuffles])
    yield from (f"simd_prefix_{end}_{name}" for end in ("exclusive", "inclusive") for name in ("product", "sum"))


@functools.cache
def reserved() -> dict[str, str]:
    """What each reserved name is; it can be declared nowhere."""
    kinds = {"a constant or macro": _constants(), "an attribute": _attributes(), "a type": _types()}
    found = {name: what for what, names in kinds.items() for name in names}
    return found | dict.fromkeys(KEYWORDS, "a keyword")


LIBRARY = frozenset(_library())
"""Functions of Metal's library, which no macro can be called. Functions can: they overload these, or hide them."""
