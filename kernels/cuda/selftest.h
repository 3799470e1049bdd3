/* selftest.h -- a hash of a few products, norms and attention of a device, through its table: devices that add
 * otherwise (another generation of tensor cores, another arithmetic id) have another. It takes milliseconds. */
#ifndef KERNELS_CUDA_SELFTEST_H
#define KERNELS_CUDA_SELFTEST_H

#include "kernels/cuda/layout.h"

#include <string.h>

enum { SELFTEST_IN = 256, SELFTEST_ROWS = 9 };

struct selftest_state {
    uint64_t hash, random;
};

static uint32_t selftest_bits(selftest_state *t)
{
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->random >> 32);
}

/* A panel of random bytes; the upper bytes of 16-bit scales and floats keep them of a sane size. */
static int selftest_matrix(selftest_state *t, const device_table *table, device *d, enum quant type)
{
    static const struct {
        enum quant type;
        int n_bytes, at[2];
    } scales[] = {{QUANT_F16, 2, {1, 1}}, {QUANT_BF16, 2, {1, 1}}, {QUANT_Q8_0, 34, {1, 1}}, {QUANT_Q4_K, 144, {1, 3}}};
    uint8_t rows[PANEL][SELFTEST_IN * 2];
    const void *of[PANEL];
    for (int r = 0; r < PANEL; r++) {
        for (uint8_t &byte : rows[r]) byte = (uint8_t)selftest_bits(t);
        for (auto &s : scales)
            for (int at = 0; s.type == type && at + s.n_bytes <= SELFTEST_IN * 2; at += s.n_bytes)
                for (int i : s.at) rows[r][at + i] &= type == QUANT_BF16 ? 0xbf : 0xaf;
        of[r] = rows[r];
    }
    int matrix = table->matrix(d, type, SELFTEST_IN, PANEL);
    if (matrix >= 0) table->fill(d, matrix, 0, of);
    return matrix;
}

static void selftest_hash(selftest_state *t, const float *x, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        t->hash = (t->hash ^ bits) * 0x100000001b3u;
    }
}

/* Rows normed, then read as q, k and v. */
static void selftest_pass(selftest_state *t, const device_table *table, device *d, const int *matrices, int n)
{
    float x[SELFTEST_ROWS * SELFTEST_IN], cs[2 * SELFTEST_ROWS * 16], out[SELFTEST_ROWS * PANEL], ones[SELFTEST_IN];
    device_row rows[SELFTEST_ROWS];
    for (float &v : ones) v = 1.0f;
    for (float &v : x) v = (float)((int32_t)selftest_bits(t) >> 16) * 0x1p-12f;
    for (int i = 0; i < 2 * SELFTEST_ROWS * 16; i++) cs[i] = i % 2 ? 0.6f : 0.8f;
    for (int i = 0; i < SELFTEST_ROWS; i++) rows[i] = {0, i, -1};
    device_op op = {};
    op.norm = table->vector(d, ones, SELFTEST_IN);
    for (int &bias : op.bias) bias = DEVICE_NONE;
    op.norm_q = op.norm_k = DEVICE_NONE;
    op.buffer = DEVICE_X;
    table->begin(d, rows, SELFTEST_ROWS, x, cs);
    op.kind = DEVICE_READY;
    table->record(d, &op);
    op.kind = DEVICE_PRODUCT;
    op.norm = DEVICE_NONE;
    for (int i = 0; i < 3; i++) {
        op.buffer = i == 0 ? DEVICE_Q : i == 1 ? DEVICE_K : DEVICE_V;
        op.matrix = matrices[i];
        table->record(d, &op);
    }
    op.kind = DEVICE_PLACE;
    table->record(d, &op);
    op.kind = DEVICE_ATTEND;
    table->record(d, &op);
    table->run(d);
    while (table->poll(d, 0) == 0) continue;
    table->get(d, out, PANEL, DEVICE_ATTN, SELFTEST_ROWS, PANEL);
    selftest_hash(t, out, SELFTEST_ROWS * PANEL);
    for (int i = 0; i < n; i++) {
        table->logits(d, out, PANEL, matrices[i], 0, SELFTEST_ROWS, 0, PANEL);
        selftest_hash(t, out, SELFTEST_ROWS * PANEL);
    }
}

/* 0: the device cannot be opened, or is lost. */
static uint64_t selftest(const device_table *table, int i_device)
{
    static const enum quant types[] = {QUANT_F16, QUANT_Q8_0, QUANT_Q4_K, QUANT_BF16};
    selftest_state t = {0xcbf29ce484222325u + CUDA_ARITHMETIC_ID, 1};
    device_shape s = {};
    s.max_rows = SELFTEST_ROWS;
    s.n_embd = SELFTEST_IN;
    s.n_head = s.n_head_kv = s.group = s.n_caches = s.n_slots = 1;
    s.d_head = s.n_ff = s.n_attn = s.n_ff_all = s.n_ctx = PANEL;
    s.eps = 1e-6f;
    s.q_scale = 0.01f;
    s.device = i_device;
    const char *why;
    int matrices[4];
    device *d = table->open(&s, &why);
    if (!d) return 0;
    for (int i = 0; i < 4; i++) matrices[i] = selftest_matrix(&t, table, d, types[i]);
    selftest_pass(&t, table, d, matrices, 4);
    if (table->poll(d, 0) < 0) t.hash = 0;
    table->close(d);
    return t.hash;
}

#endif
