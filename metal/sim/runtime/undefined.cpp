// Functions that clang leaves to its own runtime: those of its undefined-behaviour checks, for an index outside an
// array and a division by zero, and roundings.
#include "worker.h"

#include <cstdio>

using namespace metal_sim;

// The layout is clang's: a place in the source, then what the check is about.
struct SourcePlace {
    const char *file;
    u32 line, column;
};
struct TypeName {
    u16 kind, info;
    char text[1];
};
struct OutOfBounds {
    SourcePlace place;
    const TypeName *array, *index;
};
struct Overflow {
    SourcePlace place;
    const TypeName *type;
};

static Fault fault_at(FaultKind kind, const SourcePlace &place) {
    Fault fault{};
    fault.kind = kind;
    fault.site = kSite;
    fault.file = place.file;
    fault.line = place.line;
    fault.thread = sim_context->thread;
    fault.group = sim_context->group;
    return fault;
}

extern "C" [[noreturn]] void __ubsan_handle_out_of_bounds_abort(const OutOfBounds *data, i64 index) {
    Fault fault = fault_at(kIndexOutOfRange, data->place);
    std::snprintf(fault.text, sizeof fault.text, "index %ld into %s", index, data->array->text);
    this_worker().fail(fault);
}

extern "C" [[noreturn]] void __ubsan_handle_divrem_overflow_abort(const Overflow *data, u64, u64) {
    Fault fault = fault_at(kDivision, data->place);
    std::snprintf(fault.text, sizeof fault.text, "integer division by zero (%s)", data->type->text);
    this_worker().fail(fault);
}

// What the compiler calls where the processor has no such instruction: float to bfloat, to nearest, ties to even.
extern "C" __bf16 __truncsfbf2(float value) {
    u32 bits;
    __builtin_memcpy(&bits, &value, 4);
    bool nan = (bits & 0x7fffffff) > 0x7f800000;
    u16 upper = (u16)(nan ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    __bf16 result;
    __builtin_memcpy(&result, &upper, 2);
    return result;
}

// Likewise of double to half, as which newer versions of clang end a fused multiply-add of halves. The step at float
// rounds to odd, so that the second rounding sees on which side of a tie the number was.
extern "C" _Float16 __truncdfhf2(double value) {
    float stepped = (float)value;
    u32 bits;
    __builtin_memcpy(&bits, &stepped, 4);
    if (value == value && (double)stepped != value && !(bits & 1)) {
        bits += __builtin_fabs((double)stepped) > __builtin_fabs(value) ? -1 : 1;
        __builtin_memcpy(&stepped, &bits, 4);
    }
    return (_Float16)stepped;
}
