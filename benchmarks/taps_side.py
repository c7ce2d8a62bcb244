"""The floor of a filter: bare loops in C over the same voxels and weights, one thread, vector instructions of this machine.

Nothing is padded (the array comes with its halo), nothing checked, no block is cut: what a compiler makes of the formula.
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SOURCE = r"""
#include <math.h>
#include <stdlib.h>
#include <string.h>
#define AT(i, j, k) (((size_t)(i) * m + (j)) * m + (k))

/* x has edge m = n + 2 r */
void bilateral(const float *x, float *out, int n, int r, float color, float space) {
    int m = n + 2 * r;
    float *total = malloc(n * sizeof(float)), *weight = malloc(n * sizeof(float));
    for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) {
        const float *centre = x + AT(i + r, j + r, r);
        memset(total, 0, n * sizeof(float)); memset(weight, 0, n * sizeof(float));
        for (int a = -r; a <= r; a++) for (int b = -r; b <= r; b++) for (int c = -r; c <= r; c++) {
            const float *other = x + AT(i + r + a, j + r + b, r + c);
            float far = (a * a + b * b + c * c) * space;
            for (int k = 0; k < n; k++) {
                float d = other[k] - centre[k], w = expf(-(d * d * color + far));
                total[k] += w * other[k]; weight[k] += w;
            }
        }
        for (int k = 0; k < n; k++) out[((size_t)i * n + j) * n + k] = total[k] / weight[k];
    }
    free(total); free(weight);
}

/* patches of three voxels; x has edge m = n + 2 (r + 1) */
void means(const float *x, float *out, int n, int r, float scale) {
    int m = n + 2 * (r + 1), p = n + 2;
    float *total = calloc((size_t)n * n * n, sizeof(float)), *weight = calloc((size_t)n * n * n, sizeof(float));
    float *planes = malloc(3 * (size_t)n * n * sizeof(float)), *row = malloc((size_t)p * n * sizeof(float));
    for (int a = -r; a <= r; a++) for (int b = -r; b <= r; b++) for (int c = -r; c <= r; c++)
        for (int i = 0; i < p; i++) {
            float *plane = planes + (size_t)(i % 3) * n * n;
            for (int j = 0; j < p; j++) {
                const float *here = x + AT(i + r, j + r, r), *there = x + AT(i + r + a, j + r + b, r + c);
                for (int k = 0; k < n; k++) {
                    float u = here[k] - there[k], v = here[k + 1] - there[k + 1], w = here[k + 2] - there[k + 2];
                    row[(size_t)j * n + k] = u * u + v * v + w * w;
                }
            }
            for (int j = 0; j < n; j++) for (int k = 0; k < n; k++)
                plane[(size_t)j * n + k] = row[(size_t)j * n + k] + row[(size_t)(j + 1) * n + k] + row[(size_t)(j + 2) * n + k];
            if (i < 2) continue;
            for (int j = 0; j < n; j++) {
                const float *other = x + AT(i - 1 + r + a, j + 1 + r + b, r + 1 + c);
                size_t at = ((size_t)(i - 2) * n + j) * n;
                for (int k = 0; k < n; k++) {
                    size_t q = (size_t)j * n + k, s = (size_t)n * n;
                    float d = (planes[q] + planes[q + s] + planes[q + 2 * s]) * scale;
                    float w = d > 5.0f ? 0.0f : expf(-d);
                    total[at + k] += w * other[k]; weight[at + k] += w;
                }
            }
        }
    for (size_t q = 0; q < (size_t)n * n * n; q++) out[q] = total[q] / weight[q];
    free(total); free(weight); free(planes); free(row);
}
"""
FLAGS = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]


def library():
    folder = Path(tempfile.mkdtemp())
    (folder / "taps.c").write_text(SOURCE)
    subprocess.run(["gcc", *FLAGS, "-o", folder / "taps.so", folder / "taps.c", "-lm"], check=True)
    return ctypes.CDLL(str(folder / "taps.so"))


def versions():
    return lambda: {"gcc": subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()}


def padded(values, edge, halo):
    array = np.ascontiguousarray(np.load(values, mmap_mode="r")[:edge, :edge, :edge])
    return np.pad(array, halo, mode="symmetric")


def pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def bilateral(values, edge, radius, sigma_color, sigma_spatial):
    function, x, out = library().bilateral, padded(values, edge, radius), np.empty((edge,) * 3, np.float32)
    color, space = (ctypes.c_float(0.5 / s**2) for s in (sigma_color, sigma_spatial))

    def run():
        function(pointer(x), pointer(out), edge, radius, color, space)
        return {"sum": float(out.sum(dtype=float))}

    return run


def non_local_means(values, edge, patch_distance, h):
    function, x = library().means, padded(values, edge, patch_distance + 1)
    out, scale = np.empty((edge,) * 3, np.float32), ctypes.c_float(1 / (27 * h**2))

    def run():
        function(pointer(x), pointer(out), edge, patch_distance, scale)
        return {"sum": float(out.sum(dtype=float))}

    return run


CASES = {"versions": versions, "bilateral": bilateral, "non_local_means": non_local_means}
