// Calls the driver before and after it is looked for, for TestJumps.
#include <stdio.h>

const char *criticrm_driver(void);
int cuInit(unsigned flags);
int cuDeviceGetCount(int *n);
int cuCtxGetCurrent(void *context);
int cuMemcpy3D_v2(long a, long b, long c, long d, long e, long f, long g, long h, double p, double q, double r, double s, double t, double u, double v, double w, int i, double x, short j, long k);

int main(void) {
    int n = 0, init = cuInit(0), before = cuDeviceGetCount(&n);
    const char *why = criticrm_driver();
    int (*volatile count)(int *) = cuDeviceGetCount;
    int after = count(&n);
    printf("%d %d, %s, %d %d, %d, %d\n", init, before, why ? why : "found", after, n, cuCtxGetCurrent(&n),
        cuMemcpy3D_v2(1, 2, 3, 4, 5, 6, 7, 8, .5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 9, 8.5, -10, 11));
    return 0;
}
