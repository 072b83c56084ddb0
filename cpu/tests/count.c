/* A plugin for qemu-user that counts what a program for aarch64 executes: all instructions, and those that multiply and
 * accumulate vectors of four floats. It prints both when the program ends. qemu's own header is not packaged; these are
 * the few declarations of it that are needed, of its interface's first version. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void ended(qemu_plugin_id_t id, void *own);
enum { ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated *callback);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, ended *callback, void *own);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int op, void *sum, uint64_t added);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

static uint64_t instructions, fmas;

/* fmla or fmls of 4 floats, by a vector or by one of its elements. */
static int is_fma(uint32_t code) { return (code & 0xff60fc00u) == 0x4e20cc00u || (code & 0xffc0b400u) == 0x4f801000u; }

static void count(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    const size_t n = qemu_plugin_tb_n_insns(block);
    uint64_t of_block = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof code);
        of_block += is_fma(code);
    }
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, n);
    if (of_block)
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &fmas, of_block);
}

static void print(qemu_plugin_id_t id, void *own) {
    (void)id, (void)own;
    fprintf(stderr, "%" PRIu64 " instructions, %" PRIu64 " FMAs\n", instructions, fmas);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count);
    qemu_plugin_register_atexit_cb(id, print, NULL);
    return 0;
}
