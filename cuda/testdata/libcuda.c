// A driver of three entry points, as libcuda.so.1 for TestJumps.
int cuInit(unsigned flags) { return flags != 0; }
int cuDeviceGetCount(int *n) { return *n = 3, 0; }

// Takes what no call of the driver takes: every register for arguments, and more on the stack.
int cuMemcpy3D_v2(long a, long b, long c, long d, long e, long f, long g, long h, double p, double q, double r, double s, double t, double u, double v, double w, int i, double x, short j, long k) {
    return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8 && i == 9 && j == -10 && k == 11 &&
        p == .5 && q == 1.5 && r == 2.5 && s == 3.5 && t == 4.5 && u == 5.5 && v == 6.5 && w == 7.5 && x == 8.5 ? 42 : -1;
}
