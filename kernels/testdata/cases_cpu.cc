// cases_cpu.cc: cases on the CPU with four threads, for the thread sanitizer (race_test.go).
#include "cases.h"

#include "../cpu.h"

static kstream *four;

struct device {
    std::vector<void *> made;

    explicit device(const how &) {}
    kstream *stream() { return four; }
    void *send(const char *data, size_t n, size_t before) {
        char *p = (char *)cpu_alloc(before + n + 1);
        made.push_back(p);
        cpu_copy(four, p + before, data, n);
        return p + before;
    }
    void receive(char *data, const void *p, size_t n) { cpu_copy(four, data, p, n); }
    std::string end() {
        for (void *p : made) cpu_free(p);
        return "";
    }
};

int main(int argc, char **) {
    const char *error = nullptr;
    four = cpu_open(4, &error);
    if (!four) return fprintf(stderr, "open: %s\n", error), 2;
    if (argc > 1) {  // a race on purpose: the sanitizer must see what the pool's threads do
        int sum = 0;
        parallel_for(four, 100000, [&](int64_t, arena &) { sum++; });
        return printf("%d\n", sum), 0;
    }
    int code = cases::run<device>(kernels_cpu);
    kernels_cpu.close(four);
    return code;
}
