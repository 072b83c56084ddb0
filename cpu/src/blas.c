#include "blas.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "isa.h"

static _Atomic(sige_sgemm *) in_use;

sige_sgemm *sige_blas(void) { return atomic_load_explicit(&in_use, memory_order_relaxed); }

/* POSIX has functions in objects' place; ISO C does not let one become the other. */
static void *find(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    *(void **)function = symbol;
    return symbol;
}

int sige_use_blas(const char *path) {
    sige_sgemm *sgemm = NULL;
    if (path) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* stays: functions of it may be running */
        if (!library || !find(library, "cblas_sgemm", (void *)&sgemm)) {
            const char *said = library ? "it has no cblas_sgemm" : dlerror();
            sige_set_error("%s is no BLAS that can be used: %s", path, said ? said : "");
            return ENOENT;
        }
        void (*set_threads)(int);
        if (find(library, "openblas_set_num_threads", (void *)&set_threads))
            set_threads(1); /* the pool's threads call it */
    }
    atomic_store_explicit(&in_use, sgemm, memory_order_relaxed);
    return 0;
}
