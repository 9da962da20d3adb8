//go:build cuda && !emu

// cublaslt.cc: finds cuBLASLt on the machine.
#include "cublaslt.h"

#include <dlfcn.h>
#include <stdlib.h>

#include <mutex>

namespace lt {

namespace {

// The newest first. A library that is too new for the driver loads, but gives no handle.
const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
const int versions = sizeof names / sizeof *names;

// Where the loader looks, and in the toolkit that the environment names. Else the loader's own words: a library that is there but lacks
// another one is not the same as none.
void *find(const std::string &name, std::string *why) {
    const char *home = getenv("CUDA_HOME");
    for (const std::string &path : {name, home ? std::string(home) + "/lib64/" + name : ""}) {
        if (path.empty()) continue;
        if (void *found = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL)) return found;
        const char *e = dlerror();
        *why += (why->empty() ? "" : ", ") + std::string(e ? e : path + " cannot be loaded");
    }
    return nullptr;
}

// What is wrong, or nothing.
std::string load(const std::string &name, library *l) {
    std::string why;
    void *found = find(name, &why);
    if (!found) return why;
#define X(result, f, parameters)                                                                            \
    if (!(l->f = reinterpret_cast<result(*) parameters>(dlsym(found, "cublasLt" #f)))) return name + " has no cublasLt" #f;
    CUBLASLT_FUNCTIONS(X)
#undef X
    if (l->GetVersion() < oldest) return name + " is older than 12.4";
    return "";
}

}  // namespace

const library *open(handle *h, std::string *error) {
    static std::mutex lock;
    static library loaded[versions];
    static bool ready[versions];  // written once: devices that are open read the table without the lock
    std::lock_guard<std::mutex> hold(lock);
    std::string all;
    for (int i = 0; i < versions; i++) {
        std::string wrong = ready[i] ? "" : load(names[i], &loaded[i]);
        if (wrong.empty()) {
            ready[i] = true;
            const int32_t e = loaded[i].Create(h);
            if (e == success) return &loaded[i];
            wrong = std::string(names[i]) + " does not start with this device and driver: " + loaded[i].GetStatusString(e);
        }
        all += (i ? "; " : "") + wrong;
    }
    *error = "matrix products need NVIDIA's cuBLASLt, 12.4 or newer (" + all +
             "). It comes with the CUDA toolkit and with pip install nvidia-cublas (nvidia-cublas-cu12 for drivers of CUDA 12); if it is "
             "installed, put the directory of libcublasLt.so on LD_LIBRARY_PATH";
    return nullptr;
}

}  // namespace lt
