// cases.h: runs ops on cases that come from package spec. Included by what knows a device, which it calls
//
//     struct device {
//         device(const how &);                                   // of one run
//         kstream *stream();                                     // NULL: it does not open
//         void *send(const char *data, size_t n, size_t before); // n bytes that begin so many behind an aligned address, and end with their allocation
//         void receive(char *data, const void *p, size_t n);
//         std::string end();                                     // gives everything back; the first error, or ""
//     };
//
// Runs are read from the standard input (records_test.go and kerneltest/record.go write them) and answered on the standard output:
//
//     run:     order, async, seed, shared (numbers of 8 bytes)   op   args struct   buffers (a number)   buffer…
//     buffer:  offset of its pointer in the args, bytes before it (numbers)   data
//     answer:  error   data of all buffers
//
// where text and data have their length before them, as a number.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "../kernels.h"

struct how {
    uint64_t order, async, seed, shared;  // for the software GPU
};

namespace cases {

inline bool number(uint64_t *n) { return fread(n, sizeof *n, 1, stdin) == 1; }
inline uint64_t number() {
    uint64_t n;
    if (!number(&n)) exit(3);
    return n;
}
inline std::vector<char> data() {
    std::vector<char> x(number());
    if (fread(x.data(), 1, x.size(), stdin) != x.size()) exit(3);
    return x;
}
inline void answer(const char *p, uint64_t n) {
    fwrite(&n, sizeof n, 1, stdout);
    fwrite(p, 1, n, stdout);
}

template <class D> int run(const kernel_table &table) {
    how h;
    while (number(&h.order)) {
        h.async = number(), h.seed = number(), h.shared = number();
        const std::vector<char> op = data();
        std::vector<char> args = data();
        D device(h);
        kstream *s = device.stream();
        struct buffer {
            void *p;
            std::vector<char> bytes;
        };
        std::vector<buffer> buffers(number());
        for (buffer &b : buffers) {
            uint64_t at = number(), before = number();
            b.bytes = data();
            b.p = device.send(b.bytes.data(), b.bytes.size(), before);
            memcpy(args.data() + at, &b.p, sizeof b.p);
        }
        bool known = false;
#define X(name)                                                                                    \
    if (std::string(op.begin(), op.end()) == #name) {                                              \
        known = args.size() == sizeof(name##_args);                                                \
        if (known && s) table.name(s, (const name##_args *)args.data());                           \
    }
        KERNEL_OPS(X)
#undef X
        if (!known) return fprintf(stderr, "cases: no op %.*s with %zu bytes of arguments\n", (int)op.size(), op.data(), args.size()), 4;
        std::string error;
        if (const char *fault = s ? table.sync(s) : nullptr) error = fault;
        for (buffer &b : buffers) device.receive(b.bytes.data(), b.p, b.bytes.size());
        const std::string end = device.end();
        if (error.empty()) error = end;
        answer(error.data(), error.size());
        uint64_t total = 0;
        for (buffer &b : buffers) total += b.bytes.size();
        fwrite(&total, sizeof total, 1, stdout);
        for (buffer &b : buffers) fwrite(b.bytes.data(), 1, b.bytes.size(), stdout);
        fflush(stdout);
    }
    return 0;
}

}  // namespace cases
