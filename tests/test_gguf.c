/* Hostile files are made from one good one by patching or cutting it; each row says the line it must give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"
#include "tests/lib/real.h"
#include "tests/lib/tiny.h"

/* ---- the good file ---- */

struct bytes {
    uint8_t at[2048];
    size_t n;
};

static void add(struct bytes *b, const void *from, size_t n)
{
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static void add_u32(struct bytes *b, uint32_t x)
{
    add(b, &x, sizeof x);
}
static void add_u64(struct bytes *b, uint64_t x)
{
    add(b, &x, sizeof x);
}

static void add_str(struct bytes *b, const char *s)
{
    add_u64(b, strlen(s));
    add(b, s, strlen(s));
}

static void add_key(struct bytes *b, const char *key, enum gguf_value type)
{
    add_str(b, key);
    add_u32(b, type);
}

static void add_tensor(struct bytes *b, const char *name, uint64_t n_in, uint64_t n_out, uint32_t type, uint64_t offset)
{
    add_str(b, name);
    add_u32(b, 2);
    add_u64(b, n_in);
    add_u64(b, n_out);
    add_u32(b, type);
    add_u64(b, offset);
}

/* Keys: general.alignment 32, a.name "toy", a.list ["x", "yz"], a.ints [-1, 2]. Tensors: F32 4 x 2 and Q4_K 256 x 1. */
static struct bytes good_file(void)
{
    struct bytes b = {.n = 0};
    add(&b, "GGUF", 4);
    add_u32(&b, 3);
    add_u64(&b, 2);
    add_u64(&b, 4);
    add_key(&b, "general.alignment", GGUF_U32);
    add_u32(&b, 32);
    add_key(&b, "a.name", GGUF_STR);
    add_str(&b, "toy");
    add_key(&b, "a.list", GGUF_ARR);
    add_u32(&b, GGUF_STR);
    add_u64(&b, 2);
    add_str(&b, "x");
    add_str(&b, "yz");
    add_key(&b, "a.ints", GGUF_ARR);
    add_u32(&b, GGUF_I16);
    add_u64(&b, 2);
    add(&b, (int16_t[]){-1, 2}, 4);
    add_tensor(&b, "w.one", 4, 2, 0, 0);
    add_tensor(&b, "w.two", 256, 1, 12, 32);
    while (b.n % 32) add(&b, "", 1);
    for (int i = 0; i < 8; i++) add(&b, (float[]){(float)i}, 4);
    for (int i = 0; i < 144; i++) add(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

static size_t find(const struct bytes *b, const char *anchor)
{
    const uint8_t *at = memmem(b->at, b->n, anchor, strlen(anchor));
    assert_non_null(at);
    return (size_t)(at - b->at) + strlen(anchor);
}

/* ---- hostile files ---- */

struct patch { /* n_bytes of value, `skip` bytes behind the anchor's end */
    const char *anchor;
    int skip, n_bytes;
    uint64_t value;
};

static const struct {
    const char *what;
    struct patch patch[2];
    size_t n_bytes; /* the file's new length, if not 0 */
    const char *line;
} hostile[] = {
    {"another magic",
     {{"", 0, 4, 0x4c4d4747}},
     0,
     "f: not a GGUF file (it does not begin with 'GGUF'); give a model in GGUF format, or the directory of its "
     "config.json and safetensors"},
    {"three bytes",
     {{0}},
     3,
     "f: not a GGUF file (it does not begin with 'GGUF'); give a model in GGUF format, or the directory of its "
     "config.json and safetensors"},
    {"cut in the header", {{0}}, 23, "f: the file ends at byte 23 inside its header; it is cut off: fetch it again"},
    {"version 1",
     {{"GGUF", 0, 4, 1}},
     0,
     "f: GGUF version 1, 2 and 3 can be read; convert the model again with a current converter"},
    {"version 4",
     {{"GGUF", 0, 4, 4}},
     0,
     "f: GGUF version 4 is newer than 2 and 3, which can be read; fetch a file of version 3"},
    {"a big-endian file",
     {{"GGUF", 0, 4, 0x03000000}},
     0,
     "f: a big-endian GGUF file; convert it to little-endian, or fetch a file made for x86"},
    {"billions of tensors",
     {{"GGUF", 4, 8, 5000000000}},
     0,
     "f: announces 5000000000 tensors in a file of 464 bytes; it is cut off or damaged: fetch it again"},
    {"every key there can be",
     {{"GGUF", 12, 8, UINT64_MAX}},
     0,
     "f: announces 18446744073709551615 keys in a file of 464 bytes; it is cut off or damaged: fetch it again"},
    {"cut in a value",
     {{0}},
     100,
     "f: the file ends at byte 100 inside key 2; it is cut off or damaged: fetch it again"},
    {"cut in the directory",
     {{0}},
     200,
     "f: the file ends at byte 200 inside tensor 0; it is cut off or damaged: fetch it again"},
    {"a string longer than the file",
     {{"a.name", 4, 8, 1000}},
     0,
     "f: the file ends at byte 464 inside key 1; it is cut off or damaged: fetch it again"},
    {"a string that wraps around",
     {{"a.name", 4, 8, UINT64_MAX - 7}},
     0,
     "f: the file ends at byte 464 inside key 1; it is cut off or damaged: fetch it again"},
    {"an empty key", {{"GGUF", 20, 8, 0}}, 0, "f: key 0 has an empty name; the file is damaged: fetch it again"},
    {"a value of an unknown type",
     {{"a.name", 0, 4, 13}},
     0,
     "f: key 'a.name' has a value of unknown type 13; convert the model again for GGUF 3"},
    {"an array of arrays",
     {{"a.list", 4, 4, 9}},
     0,
     "f: key 'a.list' is an array of arrays; convert the model again with a current converter"},
    {"an array of an unknown type",
     {{"a.list", 4, 4, 77}},
     0,
     "f: key 'a.list' is an array of values of an unknown type; convert the model again with a current converter"},
    {"an array longer than the file",
     {{"a.ints", 8, 8, 1ull << 62}},
     0,
     "f: key 'a.ints' announces 4611686018427387904 items where 299 bytes are left; the file is cut off or damaged: "
     "fetch it "
     "again"},
    {"a key that is there twice",
     {{"a.list", -4, 4, 0x656d616e}},
     0,
     "f: key 'a.name' is there twice; the file is damaged: fetch it again"},
    {"an alignment of 12",
     {{"alignment", 4, 4, 12}},
     0,
     "f: general.alignment is 12, must be a power of two from 8 to 2^31; convert the model again"},
    {"an alignment of 0",
     {{"alignment", 4, 4, 0}},
     0,
     "f: general.alignment is 0, must be a power of two from 8 to 2^31; convert the model again"},
    {"an alignment that is a number of another kind",
     {{"alignment", 0, 4, GGUF_F32}},
     0,
     "f: general.alignment has type f32, expected an integer"},
    {"an alignment past the file's end",
     {{"alignment", 4, 4, 1u << 31}},
     0,
     "f: tensor 'w.one' (32 bytes at offset 0) lies outside the file's 0 bytes of data; it is cut off or damaged: "
     "fetch it "
     "again"},
    {"a tensor without dimensions",
     {{"w.one", 0, 4, 0}},
     0,
     "f: tensor 'w.one' has 0 dimensions, 1 to 4 are possible; the file is damaged: fetch it again"},
    {"a tensor of five dimensions",
     {{"w.one", 0, 4, 5}},
     0,
     "f: tensor 'w.one' has 5 dimensions, 1 to 4 are possible; the file is damaged: fetch it again"},
    {"a dimension of 0",
     {{"w.one", 4, 8, 0}},
     0,
     "f: tensor 'w.one' has an impossible shape 0 x 2 x 1 x 1; the file is damaged: fetch it again"},
    {"a product of dimensions that overflows",
     {{"w.one", 4, 8, 1ull << 32}, {"w.one", 12, 8, 1ull << 32}},
     0,
     "f: tensor 'w.one' has an impossible shape 4294967296 x 4294967296 x 1 x 1; the file is damaged: fetch it again"},
    {"bytes that overflow",
     {{"w.one", 4, 8, 1ull << 62}, {"w.one", 12, 8, 1}},
     0,
     "f: tensor 'w.one' has an impossible shape 4611686018427387904 x 1 x 1 x 1; the file is damaged: fetch it again"},
    {"a withdrawn format",
     {{"w.one", 20, 4, 4}},
     0,
     "f: tensor 'w.one' is stored in unknown format 4; use a file quantized to Q4_K or Q8_0"},
    {"a format from the future",
     {{"w.one", 20, 4, 1000}},
     0,
     "f: tensor 'w.one' is stored in unknown format 1000; use a file quantized to Q4_K or Q8_0"},
    {"rows that end inside a block",
     {{"w.two", 4, 8, 128}, {"w.two", 12, 8, 2}},
     0,
     "f: tensor 'w.two' has rows of 128, not a multiple of Q4_K's block of 256; the file is damaged: fetch it again"},
    {"an offset beside the alignment",
     {{"w.two", 24, 8, 40}},
     0,
     "f: tensor 'w.two' lies at offset 40, not a multiple of the alignment 32; the file is damaged: fetch it again"},
    {"data past the file's end",
     {{"w.two", 24, 8, 64}},
     0,
     "f: tensor 'w.two' (144 bytes at offset 64) lies outside the file's 176 bytes of data; it is cut off or damaged: "
     "fetch it "
     "again"},
    {"an offset that wraps around",
     {{"w.two", 24, 8, UINT64_MAX - 31}},
     0,
     "f: tensor 'w.two' (144 bytes at offset 18446744073709551584) lies outside the file's 176 bytes of data; it is "
     "cut off or "
     "damaged: fetch it again"},
    {"a file without its last byte",
     {{0}},
     463,
     "f: tensor 'w.two' (144 bytes at offset 32) lies outside the file's 175 bytes of data; it is cut off or damaged: "
     "fetch it "
     "again"},
    {"a tensor that is there twice",
     {{"w.two", -3, 3, 0x656e6f}},
     0,
     "f: tensor 'w.one' is there twice; the file is damaged: fetch it again"},
    {"a name that would break the line",
     {{"w.one", 0, 4, 5}, {"w.one", -3, 3, 0x0a1bff}},
     0,
     "f: tensor 'w.\\xff\\x1b\\n' has 5 dimensions, 1 to 4 are possible; the file is damaged: fetch it again"},
};

static void a_hostile_file_costs_one_clear_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct bytes b = good_file();
        for (int k = 0; k < 2; k++) {
            const struct patch *p = &hostile[i].patch[k];
            if (p->anchor) memcpy(b.at + (ptrdiff_t)find(&b, p->anchor) + p->skip, &p->value, (size_t)p->n_bytes);
        }
        struct gguf g = {.n_kv = 77};
        struct err err = {0};
        print_message("  %s\n", hostile[i].what);
        assert_int_equal(gguf_parse(&g, "f", b.at, hostile[i].n_bytes ? hostile[i].n_bytes : b.n, &err), E_MODEL);
        assert_string_equal(err.text, hostile[i].line);
        assert_int_equal(err.code, E_MODEL);
        assert_int_equal(g.n_kv, 77); /* outputs are set on success only */
    }
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct bytes b = good_file();
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *cut = malloc(n ? n : 1); /* of its own size, for the sanitizer */
        struct gguf g;
        struct err err = {0};
        memcpy(cut, b.at, n);
        assert_int_equal(gguf_parse(&g, "f", cut, n, &err), E_MODEL);
        assert_null(strchr(err.text, '\n'));
        free(cut);
    }
}

static void what_is_no_model_file_is_refused_before_it_is_read(void **state)
{
    (void)state;
    char folder[] = "/tmp/pilotfish-gguf-XXXXXX", path[64], line[256];
    struct gguf g;
    struct err err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);

    assert_int_equal(gguf_open(&g, path, &err), E_MODEL);
    snprintf(line, sizeof line, "%s: cannot be opened: No such file or directory", path);
    assert_string_equal(err.text, line);

    assert_int_equal(gguf_open(&g, folder, &err), E_MODEL);
    snprintf(
        line, sizeof line,
        "%s: a directory without config.json; give a GGUF file, or a directory of a model as transformers keeps it",
        folder);
    assert_string_equal(err.text, line);

    fclose(fopen(path, "w"));
    assert_int_equal(gguf_open(&g, path, &err), E_MODEL);
    snprintf(line, sizeof line, "%s: the file is empty; fetch it again", path);
    assert_string_equal(err.text, line);

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for somebody to write */
    assert_int_equal(gguf_open(&g, path, &err), E_MODEL);
    unlink(path);
    rmdir(folder);
}

/* ---- good files ---- */

static void values_and_tensors_are_views_of_the_file(void **state)
{
    (void)state;
    struct bytes b = good_file();
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf g;
        struct gguf_str s;
        memcpy(b.at + 4, &version, sizeof version);
        assert_int_equal(gguf_parse(&g, "f", b.at, b.n, NULL), OK);
        assert_int_equal(g.version, version);
        assert_true(gguf_get_str(&g, "a.name", &s) && gguf_str_is(s, "toy"));
        assert_ptr_equal(s.s, b.at + find(&b, "a.name") + 12);

        const struct gguf_kv *list = gguf_find(&g, "a.list"), *ints = gguf_find(&g, "a.ints");
        const uint8_t *cursor = list->data;
        assert_true(gguf_next_str(&g, &cursor, &s) && gguf_str_is(s, "x"));
        assert_true(gguf_next_str(&g, &cursor, &s) && gguf_str_is(s, "yz"));
        assert_int_equal(gguf_item_int(ints, 0), -1);
        assert_true(gguf_item_float(ints, 1) == 2);

        assert_true(gguf_array_hash(&g, "a.list") != gguf_array_hash(&g, "a.ints"));
        assert_true(gguf_array_hash(&g, "a.list") != 0 && gguf_array_hash(&g, "a.name") == 0);

        const struct gguf_tensor *one = gguf_tensor(&g, "w.one"), *two = gguf_tensor(&g, "w.two");
        assert_true(one->dim[0] == 4 && one->dim[1] == 2 && one->dim[2] == 1 && one->n_bytes == 32);
        assert_memory_equal(one->data, ((float[]){0, 1, 2, 3, 4, 5, 6, 7}), 32);
        assert_true(two->n_bytes == 144 && two->data[143] == 143);
        assert_null(gguf_tensor(&g, "w.o"));
        assert_null(gguf_find(&g, "a.nam"));
        gguf_close(&g);
        assert_null(g.kv);
        gguf_close(&g);
        gguf_close(NULL);
    }
}

static const struct {
    const char *what;
    enum gguf_value type;
    uint64_t bits;
    bool is_int, is_float;
    int64_t as_int;
    double as_float;
} numbers[] = {
    {"u8", GGUF_U8, 0xff, true, true, 255, 255},
    {"i8", GGUF_I8, 0xff, true, true, -1, -1},
    {"u16", GGUF_U16, 0x8000, true, true, 32768, 32768},
    {"i16", GGUF_I16, 0x8000, true, true, -32768, -32768},
    {"u32", GGUF_U32, 0xffffffff, true, true, 4294967295, 4294967295.},
    {"i32", GGUF_I32, 0xfffffffe, true, true, -2, -2},
    {"u64", GGUF_U64, 1ull << 53, true, true, 1ll << 53, 0x1p53},
    {"u64 beyond i64 is no int", GGUF_U64, 1ull << 63, false, true, 0, 0x1p63},
    {"i64", GGUF_I64, 1ull << 63, true, true, INT64_MIN, -0x1p63},
    {"bool", GGUF_BOOL, 1, true, true, 1, 1},
    {"f32 is no int", GGUF_F32, 0x3f000000, false, true, 0, .5},
    {"f64 is no int", GGUF_F64, 0xbff0000000000000, false, true, 0, -1},
};

static void numbers_come_as_asked_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct bytes b = {.n = 0};
        struct gguf g;
        struct gguf_str s;
        int64_t as_int = 0;
        double as_float = 0;
        print_message("  %s\n", numbers[i].what);
        add(&b, "GGUF", 4);
        add_u32(&b, 3);
        add_u64(&b, 0);
        add_u64(&b, 1);
        add_key(&b, "k", numbers[i].type);
        add_u64(&b, numbers[i].bits); /* the bytes behind a smaller value are nobody's */
        assert_int_equal(gguf_parse(&g, "f", b.at, b.n, NULL), OK);
        assert_int_equal(gguf_get_int(&g, "k", &as_int), numbers[i].is_int);
        assert_int_equal(gguf_get_float(&g, "k", &as_float), numbers[i].is_float);
        assert_true(as_int == numbers[i].as_int && as_float == numbers[i].as_float);
        assert_false(gguf_get_str(&g, "k", &s));
        gguf_close(&g);
    }
}

static void a_toy_opens_from_disk_and_keeps_its_bytes_when_released(void **state)
{
    (void)state;
    char folder[] = "/tmp/pilotfish-gguf-XXXXXX", path[64];
    struct tiny_spec big = tiny_spec(QUANT_Q4_K), little = big;
    struct gguf g, h;
    little.left_out = 1;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/toy.gguf", folder);

    assert_int_equal(tiny_write(path, &big), 0);
    assert_int_equal(gguf_open(&g, path, NULL), OK);
    assert_int_equal(g.n_tensors, 3 + 4 * 12);
    assert_int_equal(unlink(path), 0); /* the map of the first outlives its name */
    assert_int_equal(tiny_write(path, &little), 0);
    assert_int_equal(gguf_open(&h, path, NULL), OK);
    assert_int_equal(h.n_tensors, 3 + 3 * 12);

    const struct gguf_tensor *a = gguf_tensor(&g, "blk.2.ffn_down.weight"),
                             *b = gguf_tensor(&h, "blk.1.ffn_down.weight");
    assert_int_equal(a->n_bytes, b->n_bytes);
    assert_memory_equal(a->data, b->data, a->n_bytes); /* the block left out is left out, the others are the same */
    gguf_release(&g, a);
    assert_memory_equal(a->data, b->data, a->n_bytes);
    gguf_close(&g);
    gguf_close(&h);
    unlink(path);
    rmdir(folder);
}

/* ---- real files ---- */

static const struct {
    const char *name;
    size_t n_bytes, n_kv, n_tensors;
    const char *tensor, *type;
    uint64_t n_in, n_out;
    const char *key;
    int64_t value;
} real[] = {
    {"SmolLM2-135M-Instruct.Q4_1", 98362432, 33, 272, "blk.29.attn_k.weight", "Q4_1", 576, 192, "llama.block_count",
     30},
    {"qwen2.5-coder-0.5b-instruct-q4_k_m", 491400064, 26, 291, "token_embd.weight", "Q5_0", 896, 151936,
     "qwen2.block_count", 24},
    {"qwen2.5-coder-1.5b-instruct-q4_k_m", 1117320768, 26, 339, "output.weight", "Q6_K", 1536, 151936,
     "tokenizer.ggml.eos_token_id", 151645},
};

static void real_models_open_with_the_right_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        struct gguf g;
        int64_t value = 0;
        real_open(&g, real[i].name);
        const struct gguf_tensor *t = gguf_tensor(&g, real[i].tensor);
        assert_int_equal(g.n_bytes, real[i].n_bytes);
        assert_int_equal(g.n_kv, real[i].n_kv);
        assert_int_equal(g.n_tensors, real[i].n_tensors);
        assert_non_null(t);
        assert_true(t->dim[0] == real[i].n_in && t->dim[1] == real[i].n_out);
        assert_string_equal(gguf_type(t->type)->name, real[i].type);
        assert_true(gguf_get_int(&g, real[i].key, &value) && value == real[i].value);
        gguf_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_file_costs_one_clear_line),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(what_is_no_model_file_is_refused_before_it_is_read),
        cmocka_unit_test(values_and_tensors_are_views_of_the_file),
        cmocka_unit_test(numbers_come_as_asked_or_not_at_all),
        cmocka_unit_test(a_toy_opens_from_disk_and_keeps_its_bytes_when_released),
        cmocka_unit_test(real_models_open_with_the_right_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
