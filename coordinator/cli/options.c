#include "coordinator/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/config.h"
#include "coordinator/cli/misspelt.h"
#include "coordinator/cli/note.h"
#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/option_value.h"
#include "coordinator/cli/sweep.h"
#include "proto/plan.h"

static const float PLAN_ACCEPT_RATE = 0.8F; /* of drafts that are right: between code and answers (README.md) */

struct parser {
    struct options o;
    int argc, i; /* argv[i] is being read */
    char **argv;
    const char *positional;
    char name[64]; /* of a command of two words */
    char **owned;  /* NULL behind the last */
    int n_owned;
};

static const char *command_name(const struct parser *r)
{
    return command_texts[r->o.command].name;
}

/* -1: no such command. */
static int find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(name, command_texts[i].name)) return i;
    }
    return -1;
}

/* The command's name at argv[i]. Moves r->i past it. */
static const char *take_name(struct parser *r)
{
    const char *word = r->argv[r->i++];
    if (!command_is_group(word) || r->i == r->argc || *r->argv[r->i] == '-') return word;
    snprintf(r->name, sizeof r->name, "%s %s", word, r->argv[r->i++]);
    return r->name;
}

/* --- values --------------------------------------------------------------------------------------------------------
 */

/* A higher origin counts: the line is read first, then the environment, then the file. */
static int take_value(struct parser *r, const struct option *p, const char *value, enum value_origin origin,
                      struct err *err)
{
    enum value_origin *have = &r->o.origin[p - option_table];
    if (*have > origin) return OK;
    if (*have == origin && !option_has_many(p)) return err_set(err, E_USAGE, "--%s is given twice", p->name);
    *have = origin;
    if (!strcmp(p->name, "draft") && !strcmp(value, "ngram")) value = "suffix"; /* another name of it */
    return p->commands & OF_SWEEPS && options_sweep(&r->o) ? sweep_set(&r->o, p, value, err)
                                                           : option_set(&r->o, p, value, err);
}

/* --- one argument --------------------------------------------------------------------------------------------------
 */

/* Names come before aliases: where a command takes all, --model is one option's name and another's alias. */
static const struct option *find_option(const struct parser *r, const char *arg, const char **value)
{
    size_t n = strcspn(arg, "=");
    const struct option *found = NULL;
    for (size_t k = 0; k < n_options && arg[0] == '-'; k++) {
        const struct option *p = &option_table[k];
        if (!command_takes(r->o.command, p) || !option_is(p, arg, n)) continue;
        bool by_name = strlen(p->name) + 2 == n && !strncmp(arg + 2, p->name, n - 2);
        if (!found || by_name) found = p;
    }
    *value = found && arg[n] ? arg + n + 1 : NULL;
    return found;
}

static int take_option(struct parser *r, struct err *err)
{
    const char *arg = r->argv[r->i], *value, *unused;
    const struct option *p = find_option(r, arg, &value);
    if (!p) return misspelt_option(r->o.command, arg, err);
    if (p->kind == OPTION_HELP) {
        r->o.help_topic = command_name(r);
        r->o.command = CMD_HELP;
        return OK;
    }
    if (!p->value && value) return err_set(err, E_USAGE, "--%s takes no value", p->name);
    if (p->value && !value) {
        if (r->i + 1 >= r->argc)
            return err_set(err, E_USAGE, "--%s needs a value: --%s %s", p->name, p->name, p->value);
        value = r->argv[++r->i];
        if (find_option(r, value, &unused)) {
            return err_set(err, E_USAGE, "--%s needs a value, and %s is an option; if it is meant: --%s=%s", p->name,
                           value, p->name, value);
        }
    }
    return take_value(r, p, value, FROM_LINE, err);
}

static int take_positional(struct parser *r, struct err *err)
{
    const char *arg = r->argv[r->i], *what = command_texts[r->o.command].positional;
    if (!what) return err_set(err, E_USAGE, "%s takes no argument: %s", command_name(r), arg);
    if (r->positional) {
        return err_set(err, E_USAGE, "more than one %s: \"%s\" and \"%s\"; a text with spaces needs quotes", what,
                       r->positional, arg);
    }
    r->positional = arg;
    return OK;
}

static bool was_given(const struct parser *r, const char *name)
{
    return option_origin(&r->o, name) != FROM_DEFAULT;
}

/* --- the environment and the file ---------------------------------------------------------------------------------
 */

/* A copy that goes with the options. NULL: out of memory. */
static const char *keep(struct parser *r, const char *text)
{
    char **more = realloc(r->owned, ((size_t)r->n_owned + 2) * sizeof *more);
    if (!more) return NULL;
    r->owned = more;
    more[r->n_owned] = strdup(text);
    more[r->n_owned + 1] = NULL;
    return more[r->n_owned] ? more[r->n_owned++] : NULL;
}

/* Another option for the same thing, the prompt or the drafter, was given with a higher origin. */
static bool is_outdone(const struct parser *r, const struct option *p, enum value_origin origin)
{
    enum { DRAFT_PLAN = 2, DEPTH, N_DRAFTERS };
    static const char *const prompts[] = {"prompt", "file", "prompts"}, *const drafters[N_DRAFTERS] = {
                                                                            "draft", "no-draft", "draft-plan", "depth"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(p->name, prompts[i])) continue;
        for (int k = 0; k < 3; k++)
            if (r->positional || option_origin(&r->o, prompts[k]) > origin) return true;
    }
    for (int i = 0; i < N_DRAFTERS; i++) { /* --little chooses the drafter too; --no-draft may be given with it */
        if (strcmp(p->name, drafters[i])) continue;
        if (option_origin(&r->o, "little") > origin) return true;
        for (int k = 0; k < N_DRAFTERS; k++) /* --depth leaves the plan, whose exit it chooses */
            if (k != i && !(i == DRAFT_PLAN && k == DEPTH) && option_origin(&r->o, drafters[k]) > origin) return true;
    }
    bool suffix = r->o.draft == DRAFTER_SUFFIX && option_origin(&r->o, "draft") > origin;
    bool plan = option_origin(&r->o, "draft-plan") > origin || option_origin(&r->o, "depth") > origin;
    return !strcmp(p->name, "little") && (suffix || plan);
}

/* A file may have options that this command does not take. */
static int fill_in(void *arg, const struct option *p, const char *value, enum value_origin origin, struct err *err)
{
    struct parser *r = arg;
    if (!command_takes(r->o.command, p) || is_outdone(r, p, origin)) return OK;
    if (value && !(value = keep(r, value))) return err_set(err, E_FAIL, "out of memory");
    return take_value(r, p, value, origin, err);
}

/* --- what only the whole line says ---------------------------------------------------------------------------------
 */

static int finish_prompt(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (r->positional && (o->prompt || o->prompt_file || o->prompts_file)) {
        return err_set(err, E_USAGE, "two prompts: \"%s\" and %s", r->positional,
                       o->prompt        ? "--prompt"
                       : o->prompt_file ? "--file"
                                        : "--prompts");
    }
    if (r->positional && !strcmp(r->positional, "-"))
        o->prompt_file = "-";
    else if (r->positional)
        o->prompt = r->positional;
    if (!!o->prompt + !!o->prompt_file + !!o->prompts_file > 1) {
        return err_set(err, E_USAGE, "two prompts: only one of --prompt, --file, --prompts goes");
    }
    if (o->chat_template && o->raw)
        return err_set(err, E_USAGE, "--template and --raw, which leaves the chat template out: give only one of them");
    if (o->think != THINK_AUTO && o->raw)
        return err_set(err, E_USAGE,
                       "--think switches the chat template, which --raw leaves out: give only one of them");
    if (o->system && o->raw) {
        return err_set(err, E_USAGE,
                       "--system is a part of the chat template, which --raw leaves out: give only one of them");
    }
    return OK;
}

const char *options_draft_plan(const struct options *o, int i, size_t *n_name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *given = o->draft_plans[i];
    size_t n = strspn(given, letters);
    *n_name = given[n] == '=' ? n : 0;
    return *n_name ? given + n + 1 : given;
}

int options_find_draft_plan(const struct options *o, const char *name, size_t n_name, int depth)
{
    for (int i = 0; i < o->n_draft_plans; i++) {
        size_t n;
        int its = plan_depth(options_draft_plan(o, i, &n));
        bool same = !n_name || (n == n_name && !strncmp(o->draft_plans[i], name, n));
        if (same && (!depth || depth == its)) return i;
    }
    return -1;
}

bool options_is_new_name(const struct options *o, int i)
{
    size_t n;
    options_draft_plan(o, i, &n);
    return n && options_find_draft_plan(o, o->draft_plans[i], n, 0) == i;
}

/* A plan with another exit takes the place of i; `given` may be NULL. */
static int set_depth(struct parser *r, int i, const char *given, size_t n_name, const char *depth, struct err *err)
{
    char *plan = NULL, *named = NULL;
    const char *spelled = given ? given + n_name + (n_name > 0) : NULL;
    int rc = plan_at_depth(&plan, spelled, depth, err);
    if (rc != OK) return rc;
    bool made = asprintf(&named, "%.*s%s%s", (int)n_name, n_name ? given : "", n_name ? "=" : "", plan) >= 0;
    r->o.draft_plans[i] = made ? keep(r, named) : NULL;
    free(plan);
    if (made) free(named);
    return r->o.draft_plans[i] ? OK : err_set(err, E_FAIL, "out of memory");
}

/* --depth goes into --draft-plan: of several exits each into one of its own. */
static int join_depth(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    size_t n_name = 0;
    const char *given = o->draft_plans[0], *at = o->depth;
    bool several = strchr(at, ',');
    if (given) options_draft_plan(o, 0, &n_name);
    if (o->n_draft_plans > 1)
        return err_set(err, E_USAGE, "--depth chooses the exit of one plan, and there are %d: give each its own",
                       o->n_draft_plans);
    int rc = OK;
    for (o->n_draft_plans = 0; rc == OK && at; o->n_draft_plans++) {
        char depth[32];
        size_t n = strcspn(at, ",");
        snprintf(depth, sizeof depth, "%.*s", n < sizeof depth ? (int)n : 0, at);
        if (o->n_draft_plans == DRAFT_PLANS_MOST)
            return err_set(err, E_USAGE, "--depth %.200s: at most %d exits", o->depth, DRAFT_PLANS_MOST);
        if (several && strchr(depth, '-'))
            return err_set(err, E_USAGE, "--depth %.200s: a search of exits goes alone", o->depth);
        rc = set_depth(r, o->n_draft_plans, given, n_name, depth, err);
        if (rc == OK && options_find_draft_plan(o, NULL, 0, atoi(depth)) >= 0)
            rc = err_set(err, E_USAGE, "--depth %.200s: an exit is given twice", o->depth);
        at = at[n] ? at + n + 1 : NULL;
    }
    return rc;
}

/* Requests tell several apart by their names. */
static int check_names(const struct options *o, struct err *err)
{
    for (int i = 0; i < o->n_draft_plans; i++) {
        size_t n;
        struct plan_search search;
        const char *given = o->draft_plans[i], *plan = options_draft_plan(o, i, &n);
        if (n == 4 && !strncmp(given, "none", n))
            return err_set(err, E_USAGE, "--draft-plan %s: by the name none a request asks for no drafts; use another",
                           given);
        if (o->n_draft_plans > 1 && !n)
            return err_set(err, E_USAGE, "--draft-plan %s: of several plans each has a name: NAME=%s", given, given);
        if (o->n_draft_plans > 1 && plan_search_read(&search, plan))
            return err_set(err, E_USAGE, "--draft-plan %s: a search of plans goes alone", given);
        if (n && !options_is_new_name(o, i))
            return err_set(err, E_USAGE, "--draft-plan %s: another one has this name", given);
    }
    return OK;
}

/* Only requests of a server say which: the others would take memory for nothing. */
static void keep_first_plan(struct options *o)
{
    if (o->n_draft_plans < 2 || o->command == CMD_SERVE || o->command == CMD_CONFIG) return;
    note_keep(&o->notes, "of %d plans for drafts the first drafts: only requests of serve ask for another",
              o->n_draft_plans);
    o->n_draft_plans = 1;
}

/* --no-draft may stand beside --little: the same command line, the big model alone. */
static int finish_drafter(struct parser *r, struct err *err)
{
    bool draft_given = was_given(r, "draft");
    struct options *o = &r->o;
    enum drafter draft = r->o.draft;
    if (draft_given && draft == DRAFTER_SUFFIX && o->little) {
        return err_set(err, E_USAGE, "--draft suffix drafts without a model: leave --little out, or --draft");
    }
    if (draft_given && draft != DRAFTER_NONE && r->o.no_draft) {
        return err_set(err, E_USAGE, "--draft and --no-draft: give only one of them");
    }
    if ((o->n_draft_plans || o->depth) && (o->little || draft_given))
        return err_set(err, E_USAGE, "%s and %s: two drafters, give only one of them",
                       o->n_draft_plans ? "--draft-plan" : "--depth", o->little ? "--little" : "--draft");
    const struct options given = *o;
    int rc = check_names(o, err);
    if (rc == OK && o->depth) rc = join_depth(r, err);
    if (rc != OK) return rc;
    keep_first_plan(o);
    o->drafter = o->little ? DRAFTER_LITTLE : o->n_draft_plans ? DRAFTER_PLAN : DRAFTER_NONE;
    if (o->command == CMD_CONFIG) { /* it shows what can be read again */
        memcpy(o->draft_plans, given.draft_plans, sizeof o->draft_plans);
        o->n_draft_plans = given.n_draft_plans;
    }
    if (draft_given) o->drafter = draft;
    if (o->no_draft) o->drafter = DRAFTER_NONE;
    return OK;
}

static int need_little(const struct options *o, struct err *err)
{
    if (o->drafter != DRAFTER_LITTLE || o->little) return OK;
    return err_set(err, E_USAGE, "--draft little needs the little model: --little FILE");
}

/* Only of options on the line: a file and the environment may have options of methods that are not in use. */
static int refuse_strays(const struct options *o, struct err *err)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        bool of_method = o->origin[i] == FROM_LINE && (p->needs == NEEDS_SAMPLING || p->needs == NEEDS_BILD);
        const char *why = of_method ? option_lacks(o, p->needs) : NULL;
        if (why) return err_set(err, E_USAGE, "--%s: %s", p->name, why);
    }
    return OK;
}

/* A line of --prompts, or a request, may have a method of its own. */
static bool has_rows(const struct options *o)
{
    return o->prompts_file || o->command == CMD_SERVE;
}

/* After finish_drafter. */
static int finish_method(struct parser *r, struct err *err)
{
    int rc = options_settle(&r->o, err);
    if (rc == OK && !has_rows(&r->o)) rc = refuse_strays(&r->o, err);
    if (rc == OK && r->o.check && r->o.accept == ACCEPT_BILD)
        rc = err_set(err, E_USAGE,
                     "--check compares with the big model alone, whose text --accept bild does not promise");
    return rc;
}

/* Of the line alone, as above. What the method decides is seen with the lines of --prompts, where there are some. */
static void note_idle(struct parser *r)
{
    struct options *o = &r->o;
    for (size_t i = 0; i < n_options && o->command != CMD_CONFIG; i++) {
        const struct option *p = &option_table[i];
        bool known = !has_rows(o) || !option_depends_on_method(p->needs);
        const char *why = known && o->origin[i] == FROM_LINE ? option_lacks(o, p->needs) : NULL;
        if (why) note_keep(&o->notes, "--%s has no effect: %s", p->name, why);
    }
}

/* --- the whole ----------------------------------------------------------------------------------------------------
 */

static int finish_help(struct parser *r, struct err *err)
{
    if (!r->positional) return OK;
    if (find_command(r->positional) < 0) return misspelt_command(r->positional, err);
    r->o.help_topic = command_texts[find_command(r->positional)].name; /* not r's copy: it goes with r */
    return OK;
}

/* Of commands that generate. */
static int finish_generation(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    bool many = o->command == CMD_COMPARE || o->command == CMD_BENCH_PAIR || o->command == CMD_BENCH_SPEC;
    if (many && !o->prompts_file)
        return err_set(err, E_USAGE, "%s needs prompts: --prompts FILE.jsonl", command_name(r));
    int rc = finish_prompt(r, err);
    if (rc == OK) rc = finish_drafter(r, err);
    if (rc != OK) return rc;
    if (o->command == CMD_BENCH_PAIR && o->drafter == DRAFTER_NONE)
        return err_set(err, E_USAGE, "bench pair needs a drafter: --little FILE, --draft suffix, or --draft-plan PLAN");
    return finish_method(r, err);
}

/* The models and workers are the server's; what api_body.h sends with a request may be given. */
static int refuse_own(const struct options *o, struct err *err)
{
    static const char *const taken[] = {"url", "api-key", "api-key-file", "system", "output", "config"};
    for (size_t i = 0; i < n_options; i++) {
        bool is_sent = option_table[i].commands & OF_ROWS && option_table[i].kind != OPTION_CHOICE;
        bool is_taken = is_sent || o->origin[i] != FROM_LINE;
        for (size_t k = 0; k < sizeof taken / sizeof *taken && !is_taken; k++)
            is_taken = !strcmp(taken[k], option_table[i].name);
        if (!is_taken)
            return err_set(err, E_USAGE, "--%s: with --url it is the server's to choose: leave it out",
                           option_table[i].name);
    }
    return OK;
}

static int finish_chat(struct parser *r, struct err *err)
{
    static const char *const keys[] = {"api-key", "api-key-file"};
    struct options *o = &r->o;
    if (o->url) {
        int rc = refuse_own(o, err);
        return rc == OK ? options_settle(o, err) : rc;
    }
    for (int i = 0; i < 2; i++)
        if (option_origin(o, keys[i]) == FROM_LINE)
            return err_set(err, E_USAGE, "--%s is for a server: --url URL", keys[i]);
    return finish_generation(r, err);
}

static int finish_bench_serve(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!o->url) return err_set(err, E_USAGE, "bench serve needs a server: --url http://HOST:PORT");
    if (!o->prompts_file) return err_set(err, E_USAGE, "bench serve needs prompts: --prompts FILE.jsonl");
    if (!was_given(r, "n-predict")) o->n_predict = 128;
    if (o->request_rate <= 0) return err_set(err, E_USAGE, "--request-rate 0: nothing would begin");
    if (o->min_goodput > 0 && !o->goodput)
        return err_set(err, E_USAGE, "--min-goodput needs limits: --goodput ttft:MS,tpot:MS,e2el:MS");
    return options_settle(o, err);
}

static int check_rising(const char *name, const struct numbers *n, struct err *err)
{
    for (int i = 1; i < n->n; i++)
        if (n->list[i] <= n->list[i - 1])
            return err_set(err, E_USAGE, "--%s: %d after %d: they must rise", name, n->list[i], n->list[i - 1]);
    return OK;
}

static int finish_bench_step(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    int rc = finish_drafter(r, err);
    if (rc != OK) return rc;
    if (!o->big) return err_set(err, E_USAGE, "%s needs a model: --big FILE.gguf", command_name(r));
    return check_rising("contexts", &o->contexts, err);
}

static int finish_score(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!r->positional)
        return err_set(err, E_USAGE, "%s needs a text: a file, or - for standard input", command_name(r));
    if (o->agreement && !o->plan)
        return err_set(err, E_USAGE, "--agreement compares --plan with another plan: give --plan as well");
    if (o->command == CMD_PARETO && !o->plans)
        return err_set(err, E_USAGE, "eval pareto needs plans: --plans FILE, a plan on each line");
    if (o->command == CMD_ROWS && !o->exits.n)
        return err_set(err, E_USAGE, "eval rows needs the blocks before the exit: --exit E");
    int rc = check_rising("exit", &o->exits, err);
    if (rc != OK) return rc;
    if (!o->save) o->save = o->command == CMD_ROWS ? "rows.bin" : "plan.json";
    o->text = r->positional;
    o->ctx = o->window; /* a slot holds no more */
    return OK;
}

static int finish_sweep(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    int rc = sweep_settle(o, command_name(r), err);
    if (rc == OK && !o->synthetic.n_pass_ms) rc = finish_generation(r, err);
    if (rc == OK && o->drafter != DRAFTER_LITTLE)
        rc = err_set(err, E_USAGE, "bench spec needs a little model: --little FILE");
    return rc;
}

static int finish_worker(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!o->model) return err_set(err, E_USAGE, "worker needs a model: --model FILE.gguf");
    o->big = o->little = o->model;
    return OK;
}

static int finish_config(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!r->o.show) return err_set(err, E_USAGE, "config needs an option: pilotfish config --show");
    int rc = finish_drafter(r, err);
    if (rc == OK) rc = finish_method(r, err);
    if (rc != OK) return rc;
    if (o->drafter != DRAFTER_PLAN) o->draft = o->drafter; /* --draft has no word for a plan: --draft-plan says it */
    o->settings = config_text(&r->o, r->o.config);
    return o->settings ? OK : err_set(err, E_FAIL, "out of memory");
}

static int finish_doctor(struct parser *r, struct err *err)
{
    int rc = finish_drafter(r, err);
    return rc == OK ? need_little(&r->o, err) : rc;
}

static int finish_plan(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!o->hosts == !o->measure)
        return err_set(err, E_USAGE, "plan needs hosts: %s--hosts FILE or --measure", o->hosts ? "only one of " : "");
    if (!o->synthetic.n_pass_ms && !o->big)
        return err_set(err, E_USAGE, "plan needs models: --big FILE [--little FILE], or --synthetic tD=MS,tT=MS");
    if (o->synthetic.n_pass_ms && option_origin(o, "slope") == FROM_LINE)
        return err_set(err, E_USAGE, "--slope: --synthetic has its own: tD=MS,tT=MS,slope=P");
    if (o->synthetic.beside > 0) return err_set(err, E_USAGE, "--synthetic beside=: only simulate has it");
    if (!was_given(r, "accept-rate")) o->accept_rate = PLAN_ACCEPT_RATE;
    if (!was_given(r, "parallel") && o->goal == GOAL_LATENCY) o->parallel = 1;
    return options_settle(o, err);
}

static int finish_tokenize(struct parser *r, struct err *err)
{
    if (!r->o.model) return err_set(err, E_USAGE, "tokenize needs a model: --model FILE.gguf");
    r->o.text = r->positional;
    return OK;
}

static int finish_inspect(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    if (!r->positional && !o->model) return err_set(err, E_USAGE, "inspect needs a file: pilotfish inspect FILE.gguf");
    if (r->positional && option_origin(&r->o, "model") == FROM_LINE)
        return err_set(err, E_USAGE, "two files: %s and --model", r->positional);
    if (r->positional) o->model = r->positional;
    return OK;
}

static bool is_list(const char *share)
{
    return share && !layout_share_is_auto(share);
}

static int check_share(const struct options *o, struct err *err)
{
    int share[SHARDS_MOST];
    int rc = is_list(o->stage_share) ? layout_read_share(o->stage_share, "stages", o->pp, share, err) : OK;
    if (rc != OK) return err_wrap(err, "--stage-share");
    rc = is_list(o->shard_share) ? layout_read_share(o->shard_share, "shards", o->tp, share, err) : OK;
    return rc == OK ? OK : err_wrap(err, "--shard-share");
}

static int finish(struct parser *r, struct err *err)
{
    struct options *o = &r->o;
    int rc = check_share(o, err);
    if (rc != OK) return rc;
    o->ctx_given = option_origin(&r->o, "ctx") == FROM_LINE;
    if (o->format == FORMAT_CSV && !options_sweep(o) && o->command != CMD_PARETO)
        return err_set(err, E_USAGE, "-o csv is of bench spec, simulate and eval pareto");
    if (o->format == FORMAT_JSON && o->command != CMD_INSPECT && o->command != CMD_CONFIG) o->format = FORMAT_JSONL;
    switch (o->command) {
    case CMD_HELP: return finish_help(r, err);
    case CMD_GENERATE:
    case CMD_SERVE:
    case CMD_COMPARE:
    case CMD_BENCH_PAIR: return finish_generation(r, err);
    case CMD_CHAT: return finish_chat(r, err);
    case CMD_BENCH_SERVE: return finish_bench_serve(r, err);
    case CMD_BENCH_STEP: return finish_bench_step(r, err);
    case CMD_BENCH_SPEC:
    case CMD_SIMULATE: return finish_sweep(r, err);
    case CMD_PLAN_SEARCH:
    case CMD_ROWS:
    case CMD_PARETO:
    case CMD_PERPLEXITY: return finish_score(r, err);
    case CMD_WORKER: return finish_worker(r, err);
    case CMD_CONFIG: return finish_config(r, err);
    case CMD_DOCTOR: return finish_doctor(r, err);
    case CMD_PLAN: return finish_plan(r, err);
    case CMD_TOKENIZE: return finish_tokenize(r, err);
    case CMD_INSPECT: return finish_inspect(r, err);
    case CMD_BENCH_KERNELS:
    case CMD_VERSION: break;
    }
    return OK;
}

/* `pilotfish`, `pilotfish --help` and `pilotfish --version` are commands too. */
static int take_command(struct parser *r, struct err *err)
{
    const char *word = "help";
    r->i = 1;
    if (r->argc > 1) word = take_name(r);
    if (!strcmp(word, "-h") || !strcmp(word, "--help")) word = "help";
    if (!strcmp(word, "--version")) word = "version";
    int command = find_command(word);
    if (command < 0) return misspelt_command(word, err);
    r->o.command = (enum command)command;
    if (command == CMD_HELP && r->i < r->argc && *r->argv[r->i] != '-') r->positional = take_name(r);
    return OK;
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
    struct parser r = {
        .argc = argc,
        .argv = argv,
    };
    bool only_positional = false;
    int rc = options_set_presets(&r.o, err);
    if (rc == OK) rc = take_command(&r, err);
    for (; rc == OK && r.i < argc && !r.o.help_topic; r.i++) {
        const char *arg = argv[r.i];
        if (!only_positional && !strcmp(arg, "--"))
            only_positional = true;
        else if (only_positional || arg[0] != '-' || !arg[1])
            rc = take_positional(&r, err);
        else
            rc = take_option(&r, err);
    }
    bool works = rc == OK && !r.o.help_topic && r.o.command != CMD_HELP && r.o.command != CMD_VERSION;
    if (!r.o.config) r.o.config = getenv("PILOTFISH_CONFIG");
    if (works) rc = config_fill(r.o.config, fill_in, &r, &r.o.notes, err);
    if (rc == OK && !r.o.help_topic) rc = finish(&r, err);
    if (rc == OK && works) note_idle(&r);
    r.o.owned = r.owned;
    if (rc == OK)
        *o = r.o;
    else
        options_free(&r.o);
    return rc;
}

int options_need_models(const struct options *o, struct err *err)
{
    if (!o->big) return err_set(err, E_USAGE, "%s needs a model: --big FILE.gguf", command_texts[o->command].name);
    return need_little(o, err);
}

void options_free(struct options *o)
{
    for (char **text = o->owned; text && *text; text++) free(*text);
    free(o->owned);
    free(o->settings);
    free(o->notes);
    o->owned = NULL;
    o->settings = o->notes = NULL;
}
