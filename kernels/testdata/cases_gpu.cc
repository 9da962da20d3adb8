// cases_gpu.cc: cases on the software GPU, for planted mistakes (emu_mutation_test.go) and the thread sanitizer (emu_race_test.go).
#include "cases.h"

#include "../emu/device.h"

struct device {
    void *queue, *workspace;
    kstream *s = nullptr;
    std::vector<void *> made;
    std::string error;

    explicit device(const how &h) : queue(emu_stream({(emu_order)h.order, (emu_async)h.async, h.seed})) {
        const size_t bytes = 2 << 20;
        if (h.shared) emu_lower_shared(queue, h.shared);
        workspace = emu_malloc(bytes);
        const char *e = nullptr;
        s = cuda_open(0, queue, workspace, bytes, &e);
        note(e);
    }
    kstream *stream() { return s; }
    void note(const char *e) {
        if (e && error.empty()) error = e;
    }
    void *send(const char *data, size_t n, size_t before) {
        char *p = (char *)emu_malloc(before + n + (before + n == 0));
        made.push_back(p);
        if (n) emu_copy(queue, p + before, data, n);
        note(emu_wait(queue));
        return p + before;
    }
    void receive(char *data, const void *p, size_t n) {
        if (n) emu_copy(queue, data, p, n);
        note(emu_wait(queue));
    }
    std::string end() {
        for (void *p : made) note(emu_release(p));
        if (s) kernels_cuda.close(s);
        note(emu_release(workspace));
        emu_stream_end(queue);
        return error;
    }
};

int main() { return cases::run<device>(kernels_cuda); }
