/* What may be in a file's rows: whatever makes a weight that is not finite is found, in every format. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/hard.h"
#include "worker/engine/check.h"

enum { N_IN = 256 };

static bool row_is_finite(enum quant type, const uint8_t *row)
{
    for (int i = 0; i < N_IN; i++)
        if (!isfinite(hard_value(type, row, i))) return false;
    return true;
}

static void what_is_not_finite_is_found_in_every_format(void **state)
{
    (void)state;
    for (int f = 0; kernels_format(f); f++) {
        enum quant type = *kernels_format(f);
        struct hard h = {7};
        uint8_t row[N_IN * 4];
        size_t n_bytes = hard_row_bytes(type, N_IN), n_found = 0;
        hard_weights(&h, row, type, N_IN);
        if (type == QUANT_F32 || type == QUANT_BF16) memset(row, 0, n_bytes); /* some are too large */
        assert_true(check_row(type, row, N_IN));
        for (size_t at = 0; at + 2 <= n_bytes; at++) {
            static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e01, 0x7f80, 0xffc0}; /* of both kinds */
            for (int k = 0; k < 5; k++) {
                uint8_t before[2];
                memcpy(before, row + at, 2);
                memcpy(row + at, &halves[k], 2);
                bool finite = row_is_finite(type, row), ok = check_row(type, row, N_IN);
                if (!finite && ok) fail_msg("format %d, byte %zu: not found", (int)type, at);
                n_found += !ok;
                memcpy(row + at, before, 2);
            }
        }
        assert_true(n_found > 0);
    }
}

static void floats_are_bounded(void **state)
{
    (void)state;
    static const struct {
        float x;
        bool ok;
    } rows[] = {{0, true},       {-1e6f, true}, {1e6f, true},      {1.01e6f, false},
                {-1e30f, false}, {NAN, false},  {-INFINITY, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float row[3] = {1, 2, rows[i].x};
        uint16_t halves[3] = {0, 0, 0};
        uint32_t bits;
        memcpy(&bits, &row[2], sizeof bits);
        halves[2] = (uint16_t)(bits >> 16);
        assert_int_equal(check_row(QUANT_F32, (const uint8_t *)row, 3), rows[i].ok);
        assert_int_equal(check_row(QUANT_BF16, (const uint8_t *)halves, 3), rows[i].ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_finite_is_found_in_every_format),
        cmocka_unit_test(floats_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
