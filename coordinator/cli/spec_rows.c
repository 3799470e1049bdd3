#include "coordinator/cli/spec_rows.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "coordinator/cli/csv.h"
#include "coordinator/cli/network.h"
#include "coordinator/cli/option_value.h"
#include "coordinator/text/json_text.h"

enum { FIELDS_MOST = 64, TEXT_ROOM = 1024 };

const char *const spec_mode_names[] = {"plain", "sequential", "pilotfish"};

/* ---- numbers ---- */

static double student(int freedom)
{
    static const double t[TEXTS_MOST - 1] = {
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
        2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042, 2.040};
    return t[freedom - 1];
}

/* Without text i_left_out; -1: of all. */
static double tokens_per_s(const struct spec_cost *c, int i_left_out)
{
    double tokens = 0, ns = 0;
    for (int i = 0; i < c->n_texts; i++)
        if (i != i_left_out) tokens += c->n_tokens[i], ns += c->ns[i];
    return tokens / (ns * 1e-9);
}

static double speed(const struct spec_cost *c, const struct spec_cost *other, int i_left_out)
{
    return tokens_per_s(c, i_left_out) / (other ? tokens_per_s(other, i_left_out) : 1);
}

struct spec_interval spec_speed(const struct spec_cost *c, const struct spec_cost *other)
{
    int n = c->n_texts;
    double mean = 0, squares = 0, without[TEXTS_MOST];
    struct spec_interval out = {speed(c, other, -1), NAN, NAN};
    if (n < 2) return out;
    for (int i = 0; i < n; i++) mean += (without[i] = speed(c, other, i)) / n;
    for (int i = 0; i < n; i++) squares += (without[i] - mean) * (without[i] - mean);
    double half = student(n - 1) * sqrt(squares * (n - 1) / n);
    out.low = out.mean - half;
    out.high = out.mean + half;
    return out;
}

/* A draft is a run of accepted tokens, ended by a correction, or by a token of big's own where all of it was right. */
static void add_draft(struct spec_use *use, int n_right, bool refuted)
{
    for (int j = 1; j <= SURVIVAL; j++) {
        bool right = n_right >= j;
        use->n_right[j] += right;
        use->n_tried[j] += right || (refuted && n_right == j - 1);
    }
}

void spec_use_add(struct spec_use *use, const struct seq *s)
{
    int n_right = 0;
    for (int i = s->n_prompt + 1; i < s->n_ids; i++) {
        if (s->origin[i] == ORIGIN_DRAFT) {
            n_right++;
            continue;
        }
        if (n_right || s->origin[i] == ORIGIN_CORRECTION) add_draft(use, n_right, s->origin[i] == ORIGIN_CORRECTION);
        n_right = 0;
    }
    use->whole_ns += (double)(s->stats.last_ns - s->stats.start_ns);
    use->n_tokens += seq_n_generated(s);
    use->n_verifies += s->stats.n_verifies;
    use->n_drafted += s->stats.n_drafted;
    use->n_accepted += s->stats.n_accepted;
}

/* ---- fields ---- */

enum field_kind { FIELD_TEXT, FIELD_COUNT, FIELD_NUMBER, FIELD_TRUTH };
struct field {
    const char *name;
    enum field_kind kind;
    const char *text;
    double number; /* NaN: there is none */
};

struct fields {
    int n, n_settings; /* the first ones are what a row is of */
    struct field list[FIELDS_MOST];
    char synthetic[TEXT_ROOM], right[TEXT_ROOM], accept[TEXT_ROOM], baseline[TEXT_ROOM];
};

static void put(struct fields *f, const char *name, enum field_kind kind, double number)
{
    f->list[f->n++] = (struct field){name, kind, NULL, number};
}

static void put_text(struct fields *f, const char *name, const char *text)
{
    f->list[f->n++] = (struct field){name, FIELD_TEXT, text, 0};
}

static void spell(const struct options *o, const char *option, char out[TEXT_ROOM])
{
    FILE *to = fmemopen(out, TEXT_ROOM, "w");
    out[0] = 0;
    if (!to) return;
    option_put(o, option_named(option), to);
    fclose(to);
}

/* As it was typed: a tenth is a tenth. */
static double decimal(float x)
{
    return round((double)x * 1e6) / 1e6;
}

static void put_settings(struct fields *f, const struct spec_row *r)
{
    const struct options *o = r->point;
    const struct net net = network_of(o);
    const struct net_path *path = &net.to[ROLE_VERIFIER];
    bool synthetic = o->synthetic.n_pass_ms > 0;
    spell(o, "synthetic", f->synthetic);
    spell(o, o->accept_curve.n ? "accept-curve" : "accept-rate", f->right);
    spell(o, "accept", f->accept);
    spell(o, "baseline", f->baseline);
    put_text(f, "source", r->source);
    put_text(f, "mode", spec_mode_names[r->cost->mode]);
    put(f, "emulated", FIELD_TRUTH, synthetic || network_is_emulated(o));
    put_text(f, "synthetic", synthetic ? f->synthetic : NULL);
    put_text(f, "right", synthetic ? f->right : NULL);
    put_text(f, "big", o->big);
    put_text(f, "little", o->little);
    put_text(f, "prompts", o->prompts_file);
    put_text(f, "accept", f->accept);
    put(f, "fallback", FIELD_NUMBER, decimal(o->fallback));
    put(f, "rollback", FIELD_NUMBER, o->accept == ACCEPT_BILD ? decimal(o->rollback) : NAN);
    put(f, "net_delay_ms", FIELD_NUMBER, (double)path->delay_ns * 1e-6);
    put(f, "net_drafter_delay_ms", FIELD_NUMBER, (double)net.to[ROLE_DRAFTER].delay_ns * 1e-6);
    put(f, "net_jitter_ms", FIELD_NUMBER, (double)path->jitter_ns * 1e-6);
    put(f, "net_mbit_per_s", FIELD_NUMBER, (double)path->bits_per_s * 1e-6);
    put(f, "draft_max", FIELD_COUNT, o->draft_max);
    put(f, "draft_ahead", FIELD_COUNT, o->draft_ahead);
    put(f, "draft_block", FIELD_COUNT, o->draft_block);
    put_text(f, "baseline", f->baseline);
    put(f, "self_max", FIELD_COUNT, o->self_max);
    put(f, "n_predict", FIELD_COUNT, o->n_predict);
    put(f, "texts", FIELD_COUNT, o->texts);
    put(f, "warmup", FIELD_COUNT, o->warmup);
    put(f, "repeat", FIELD_COUNT, o->repeat);
    put(f, "seed", FIELD_COUNT, synthetic ? (double)o->synthetic.seed : o->seed);
    put(f, "tp", FIELD_COUNT, o->tp);
    put(f, "pp", FIELD_COUNT, o->pp);
    f->n_settings = f->n;
}

static double a_token(const struct spec_use *u, double n)
{
    return u->n_tokens > 0 ? n / u->n_tokens : NAN;
}

static struct spec_interval over(const struct spec_cost *other, const struct spec_cost *c)
{
    return other ? spec_speed(c, other) : (struct spec_interval){NAN, NAN, NAN};
}

static double rtt_measured_ms(const struct spec_use *u)
{
    return u->n_rtts > 0 ? u->rtt_ms / u->n_rtts : NAN;
}

static void put_interval(struct fields *f, const char *const names[3], struct spec_interval i)
{
    put(f, names[0], FIELD_NUMBER, i.mean);
    put(f, names[1], FIELD_NUMBER, i.low);
    put(f, names[2], FIELD_NUMBER, i.high);
}

static void put_survival(struct fields *f, const struct spec_use *u)
{
    static const char *const names[SURVIVAL] = {"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"};
    double chance = 1;
    for (int j = 1; j <= SURVIVAL; j++) {
        chance = u->n_tried[j] > 0 ? chance * u->n_right[j] / u->n_tried[j] : NAN;
        put(f, names[j - 1], FIELD_NUMBER, chance);
    }
}

static void put_results(struct fields *f, const struct spec_row *r)
{
    static const char *const speeds[] = {"tokens_per_s", "tokens_per_s_low", "tokens_per_s_high"},
                             *const plain[] = {"over_plain", "over_plain_low", "over_plain_high"},
                             *const sequential[] = {"over_sequential", "over_sequential_low", "over_sequential_high"};
    const struct spec_use *u = &r->cost->use;
    const struct net net = network_of(r->point);
    put(f, "draft_length", FIELD_COUNT, r->cost->draft_max);
    put(f, "rtt_ms", FIELD_NUMBER, 2e-6 * (double)net.to[ROLE_VERIFIER].delay_ns);
    put(f, "rtt_measured_ms", FIELD_NUMBER, rtt_measured_ms(u));
    put_interval(f, speeds, spec_speed(r->cost, NULL));
    put_interval(f, plain, over(r->plain, r->cost));
    put_interval(f, sequential, over(r->sequential, r->cost));
    put(f, "verifies_per_token", FIELD_NUMBER, a_token(u, u->n_verifies));
    put(f, "bytes_up_per_token", FIELD_NUMBER, a_token(u, u->bytes_up));
    put(f, "bytes_down_per_token", FIELD_NUMBER, a_token(u, u->bytes_down));
    put(f, "drafted_per_token", FIELD_NUMBER, a_token(u, u->n_drafted));
    put(f, "wasted_per_token", FIELD_NUMBER, a_token(u, u->n_drafted - u->n_accepted));
    put(f, "big_busy", FIELD_NUMBER, u->big_ns / u->whole_ns);
    put(f, "little_busy", FIELD_NUMBER, u->little_ns / u->whole_ns);
    put_survival(f, u);
}

static void row_fields(struct fields *f, const struct spec_row *r)
{
    f->n = 0;
    put_settings(f, r);
    put_results(f, r);
}

/* ---- forms ---- */

static json_t *field_json(const struct field *f)
{
    if (f->kind == FIELD_TEXT) return f->text ? json_string(f->text) : json_null();
    if (f->kind == FIELD_TRUTH) return json_boolean(f->number);
    if (isnan(f->number)) return json_null();
    return f->kind == FIELD_COUNT ? json_integer((json_int_t)f->number) : json_real(f->number);
}

json_t *spec_row_json(const struct spec_row *r)
{
    struct fields f;
    json_t *line = json_object();
    int lost = !line;
    row_fields(&f, r);
    for (int i = 0; i < f.n; i++) lost |= json_object_set_new(line, f.list[i].name, field_json(&f.list[i]));
    return json_unless(lost, line);
}

bool spec_row_is(const struct spec_row *r, const json_t *line)
{
    struct fields f;
    bool same = true;
    f.n = 0;
    put_settings(&f, r);
    for (int i = 0; i < f.n_settings && same; i++) {
        const struct field *mine = &f.list[i];
        const json_t *its = json_object_get(line, mine->name);
        if (mine->kind == FIELD_TEXT)
            same = mine->text ? json_is_string(its) && !strcmp(json_string_value(its), mine->text) : json_is_null(its);
        else if (mine->kind == FIELD_TRUTH)
            same = json_is_boolean(its) && json_is_true(its) == (mine->number != 0);
        else if (isnan(mine->number))
            same = json_is_null(its);
        else
            same = json_is_number(its) && fabs(json_number_value(its) - mine->number) <= 1e-9 * fabs(mine->number);
    }
    return same;
}

static void put_csv_field(const struct field *f, FILE *to)
{
    if (f->kind == FIELD_TEXT)
        csv_put_text(f->text ? f->text : "", to);
    else if (f->kind == FIELD_TRUTH)
        fputs(f->number != 0 ? "true" : "false", to);
    else if (!isnan(f->number))
        fprintf(to, "%.9g", f->number);
}

/* head: the names. */
static void put_csv(const struct spec_row *r, bool head, FILE *to)
{
    struct fields f;
    row_fields(&f, r);
    for (int i = 0; i < f.n; i++) {
        if (i) fputc(',', to);
        if (head)
            fputs(f.list[i].name, to);
        else
            put_csv_field(&f.list[i], to);
    }
    fputc('\n', to);
}

static void put_table_row(const struct spec_row *r, FILE *to)
{
    const struct spec_use *u = &r->cost->use;
    const struct options *o = r->point;
    struct spec_interval s = spec_speed(r->cost, NULL), p = over(r->plain, r->cost), q = over(r->sequential, r->cost);
    char right[TEXT_ROOM] = "", drafts[8] = "", seen[16] = "";
    if (o->synthetic.n_pass_ms) spell(o, o->accept_curve.n ? "accept-curve" : "accept-rate", right);
    if (r->cost->draft_max) snprintf(drafts, sizeof drafts, "%d", r->cost->draft_max);
    if (!isnan(rtt_measured_ms(u))) snprintf(seen, sizeof seen, "%.4g", rtt_measured_ms(u));
    fprintf(to, "%-9s %-8.8s %7.4g %6s %6.4g %7.4g %-10s %6s %8.2f", r->source, right, 2 * (double)o->net_delay.ms,
            seen, (double)o->net_jitter_ms, (double)o->net_mbit_per_s, spec_mode_names[r->cost->mode], drafts, s.mean);
    fprintf(to, isnan(s.low) ? "      " : " %4.1f%%", 100 * (s.high / s.mean - 1));
    fprintf(to, " %7.3f", p.mean);
    fprintf(to, isnan(q.mean) ? "        " : " %7.3f", q.mean);
    fprintf(to, " %8.3f %6.1f %6.1f %7.2f %6.2f %4.0f%% %5.0f%%\n", a_token(u, u->n_verifies), a_token(u, u->bytes_up),
            a_token(u, u->bytes_down), a_token(u, u->n_drafted), a_token(u, u->n_drafted - u->n_accepted),
            100 * u->big_ns / u->whole_ns, 100 * u->little_ns / u->whole_ns);
}

void spec_rows_head(enum format format, FILE *to)
{
    if (format == FORMAT_TEXT)
        fprintf(to, "%-9s %-8s %7s %6s %6s %7s %-10s %6s %8s %5s %7s %7s %8s %6s %6s %7s %6s %5s %6s\n", "source",
                "right", "RTT ms", "seen", "jitter", "Mbit/s", "mode", "drafts", "token/s", "+-", "x plain", "x seq.",
                "verifies", "B up", "B down", "drafted", "wasted", "big", "little");
    if (format != FORMAT_CSV) return;
    static const struct spec_cost none;
    static const struct options no_options;
    put_csv(&(struct spec_row){.point = &no_options, .cost = &none}, true, to);
}

int spec_row_put(const struct spec_row *r, enum format format, FILE *to, struct err *err)
{
    if (format == FORMAT_JSONL) return json_put_line(spec_row_json(r), JSON_REAL_PRECISION(9), to, err);
    if (format == FORMAT_CSV)
        put_csv(r, false, to);
    else
        put_table_row(r, to);
    return fflush(to) ? err_set(err, E_FAIL, "standard output: %s", strerror(errno)) : OK;
}
