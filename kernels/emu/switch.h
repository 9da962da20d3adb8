// switch.h: what the software GPU does in a processor's own terms, on x86-64 and arm64: for emu.cc, once.
#pragma once
#include <stdint.h>
#include <ucontext.h>

// Saves the registers that a call keeps on the stack, its pointer in *from, and goes on where `to` was saved: saved_words there, of
// which return_word is where it returns to.
extern "C" void emu_switch(void **from, void *to);
#define EMU_FUNCTION ".text\n.p2align 4\n.globl emu_switch\n.hidden emu_switch\n.type emu_switch, %function\n"
#if defined(__x86_64__)
const int saved_words = 8, return_word = 6;  // one to spare, so that the function begins with the stack as after a call
asm(EMU_FUNCTION R"(
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");
#else
const int saved_words = 20, return_word = 1;
asm(EMU_FUNCTION R"(
emu_switch:
    stp x29, x30, [sp, #-160]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #160
    ret
.size emu_switch, .-emu_switch
)");
#endif

// Lets a signal's handler return into f, which never does, on a stack that ends at top. context is the handler's.
static inline void go_on_at(void *context, void *top, void (*f)()) {
    mcontext_t &m = ((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    m.gregs[REG_RSP] = (greg_t)((void **)top - 1);  // as after a call
    m.gregs[REG_RIP] = (greg_t)f;
#else
    m.sp = (uintptr_t)top;
    m.pc = (uintptr_t)f;
#endif
}
