// What clang's undefined-behaviour checks call: an index outside an array, a division by zero.
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
