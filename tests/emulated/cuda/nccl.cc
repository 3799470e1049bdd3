/* nccl.cc -- a fake NCCL for the emulated device: the calls that kernels/cuda/nccl.cuh makes, between threads or
 * processes of one machine. What a member sends is a file in a folder that the id names; so nothing here blocks.
 *
 *   call ─▶ a step of the stream ─▶ (the host waits) ─▶ files are written and read, until all are ─▶ the next step
 *
 * What is received is 0xff before it is there. It is as strict as a communicator that does not block: each call goes on
 * for a few questions about its state, and one that comes meanwhile, or pieces of two sizes, is an error. Steps whose
 * parts all are sends are done at once: nobody may ever wait for them here, but others do.
 *
 * FAKE_NCCL_FOLDER: where the folders are; /tmp. FAKE_NCCL_COUNTS=file gets a line for each communicator that ends.
 * FAKE_NCCL, words apart by commas: a fault of a member.
 *   refuse@M    it is refused when it opens        absent@M    it never comes
 *   error=N@M   an error with its N-th call        stop=N@M    its N-th call is never carried out
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "cuda_runtime.h"

enum result { OK, INTERNAL = 3, INVALID_ARGUMENT, INVALID_USAGE, REMOTE, IN_PROGRESS };
enum kind { GATHERS, BROADCASTS, SENDS, RECEIVES, N_KINDS };
enum { ID_BYTES = 128, FLOAT = 7, VERSION = 22809, LEAST_CONFIG = 21400, QUESTIONS = 2, OPENS = -1 };

struct id {
    char folder[ID_BYTES];
};

struct config {
    size_t size;
    unsigned magic, version;
    int blocking;
};

namespace
{

struct comm {
    std::string folder;
    int n, self;
    std::vector<unsigned> sent, received; /* [n] messages so far */
    uint64_t n_calls[N_KINDS] = {}, n_bytes = 0;
    int busy = 0; /* questions that are answered with IN_PROGRESS; OPENS: until all are there */
    enum result error = OK;
    bool over = false;
};

struct piece { /* of a step */
    bool send;
    int other;
    unsigned number;
    void *at;
    size_t n_bytes;
    bool done;
};

struct step {
    std::shared_ptr<comm> c;
    cudaStream_t stream;
    std::vector<piece> pieces;
    bool begun, stops;
};

thread_local int depth;
thread_local std::unique_ptr<step> group; /* of the calls between ncclGroupStart and ncclGroupEnd */

/* The N of a word for this member; 0: it has none; -1: it is not there. */
long fault(const char *word, int self)
{
    const char *all = getenv("FAKE_NCCL");
    for (const char *s = all; s && (s = strstr(s, word)); s++) {
        char *end = const_cast<char *>(s) + strlen(word);
        long n = *end == '=' ? strtol(end + 1, &end, 10) : 0;
        if (*end == '@' && strtol(end + 1, nullptr, 10) == self) return n;
    }
    return -1;
}

std::string name_of(const comm *c, int from, int to, unsigned number)
{
    return c->folder + "/" + std::to_string(from) + "-" + std::to_string(to) + "-" + std::to_string(number);
}

bool write_file(const std::string &name, const void *data, size_t n_bytes)
{
    std::string hidden = name + ".part";
    FILE *f = fopen(hidden.c_str(), "w");
    bool ok = f && fwrite(data, 1, n_bytes, f) == n_bytes;
    if (f) ok = fclose(f) == 0 && ok;
    return ok && rename(hidden.c_str(), name.c_str()) == 0;
}

/* Whether it is done. */
bool carry_out(comm *c, piece *p)
{
    std::string name = p->send ? name_of(c, c->self, p->other, p->number) : name_of(c, p->other, c->self, p->number);
    if (p->send) {
        if (!write_file(name, p->at, p->n_bytes)) c->error = INTERNAL;
        return true;
    }
    FILE *f = fopen(name.c_str(), "r");
    if (!f) return false;
    if (fread(p->at, 1, p->n_bytes, f) != p->n_bytes || fgetc(f) != EOF) c->error = INVALID_USAGE;
    fclose(f);
    remove(name.c_str());
    return true;
}

bool carry_out(step *s)
{
    bool all = true;
    if (s->c->over || s->c->error != OK) return true;
    if (s->stops) return false;
    for (piece &p : s->pieces)
        if (!s->begun && !p.send) memset(p.at, 0xff, p.n_bytes);
    s->begun = true;
    for (piece &p : s->pieces) all = (p.done = p.done || carry_out(s->c.get(), &p)) && all;
    return all || s->c->error != OK;
}

void submit(std::unique_ptr<step> s)
{
    std::shared_ptr<step> shared(std::move(s));
    bool sends = true;
    for (const piece &p : shared->pieces) sends = sends && p.send;
    shared->c->busy = QUESTIONS;
    shared->stream->add(
        shared->stream, [shared] { return carry_out(shared.get()); }, sends);
}

void add(step *s, bool send, int other, void *at, size_t n_bytes)
{
    comm *c = s->c.get();
    if (other == c->self || n_bytes == 0) return;
    s->pieces.push_back(
        {send, other, send ? c->sent[(size_t)other]++ : c->received[(size_t)other]++, at, n_bytes, false});
}

} // namespace

struct ncclComm {
    std::shared_ptr<comm> c;
};

namespace
{

enum result begin(step **out, ncclComm *of, enum kind kind, int type, cudaStream_t stream)
{
    const std::shared_ptr<comm> &c = of->c;
    uint64_t n = 1;
    if (type != FLOAT) return INVALID_ARGUMENT;
    if (c->busy || c->error != OK || (depth && group && (group->c != c || group->stream != stream)))
        return INVALID_USAGE;
    c->n_calls[kind]++;
    for (uint64_t i : c->n_calls) n += i;
    if ((long)n == fault("error", c->self) + 1) c->error = REMOTE;
    if (!group) group.reset(new step{c, stream, {}, false, false});
    group->stops = group->stops || (long)n == fault("stop", c->self) + 1;
    *out = group.get();
    return OK;
}

enum result end()
{
    if (!depth) submit(std::move(group));
    return depth ? OK : IN_PROGRESS;
}

bool all_there(const comm *c)
{
    for (int i = 0; i < c->n; i++)
        if (access((c->folder + "/here-" + std::to_string(i)).c_str(), F_OK)) return false;
    return true;
}

void say_counts(const comm *c)
{
    const char *file = getenv("FAKE_NCCL_COUNTS");
    char line[200];
    int n = snprintf(line, sizeof line,
                     "member %d of %d: gathers %llu broadcasts %llu sends %llu receives %llu bytes %llu\n", c->self,
                     c->n, (unsigned long long)c->n_calls[GATHERS], (unsigned long long)c->n_calls[BROADCASTS],
                     (unsigned long long)c->n_calls[SENDS], (unsigned long long)c->n_calls[RECEIVES],
                     (unsigned long long)c->n_bytes);
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd < 0) return;
    if (write(fd, line, (size_t)n) != n) abort();
    close(fd);
}

} // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

PUBLIC int ncclGetVersion(int *version)
{
    *version = VERSION;
    return OK;
}

PUBLIC const char *ncclGetErrorString(int result)
{
    switch (result) {
    case OK: return "no error";
    case INVALID_ARGUMENT: return "invalid argument";
    case INVALID_USAGE: return "invalid usage";
    case REMOTE: return "remote process exited or there was a network error";
    case IN_PROGRESS: return "NCCL operation in progress";
    default: return "internal error";
    }
}

PUBLIC int ncclGetUniqueId(id *out)
{
    const char *folder = getenv("FAKE_NCCL_FOLDER");
    *out = {};
    snprintf(out->folder, sizeof out->folder, "%s/fake-nccl-XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(out->folder) ? OK : INTERNAL;
}

PUBLIC int ncclCommInitRankConfig(ncclComm **out, int n, id of_all, int self, config *k)
{
    if (k->magic != 0xcafebeefu || k->version < LEAST_CONFIG || k->size < sizeof *k || k->blocking)
        return INVALID_ARGUMENT;
    if (self < 0 || self >= n || fault("refuse", self) == 0) return INVALID_USAGE;
    std::shared_ptr<comm> c(new comm);
    c->folder = of_all.folder;
    c->n = n;
    c->self = self;
    c->sent.resize((size_t)n);
    c->received.resize((size_t)n);
    c->busy = OPENS;
    if (fault("absent", self) < 0 && !write_file(c->folder + "/here-" + std::to_string(self), "", 0)) return INTERNAL;
    *out = new ncclComm{c};
    return IN_PROGRESS;
}

PUBLIC int ncclCommGetAsyncError(ncclComm *of, int *result)
{
    comm *c = of->c.get();
    if (c->busy == OPENS && all_there(c)) c->busy = QUESTIONS;
    *result = c->error != OK ? c->error : c->busy ? IN_PROGRESS : OK;
    if (c->busy > 0) c->busy--;
    return OK;
}

/* The last one removes the folder, but where something was sent that nobody has received. */
PUBLIC int ncclCommAbort(ncclComm *of)
{
    const comm *c = of->c.get();
    of->c->over = true;
    say_counts(c);
    remove((c->folder + "/here-" + std::to_string(c->self)).c_str());
    rmdir(c->folder.c_str());
    delete of;
    return OK;
}

PUBLIC int ncclGroupStart()
{
    depth++;
    return OK;
}

PUBLIC int ncclGroupEnd()
{
    if (--depth || !group) return OK;
    return end();
}

PUBLIC int ncclAllGather(const void *from, void *to, size_t n, int type, ncclComm *of, cudaStream_t stream)
{
    step *s;
    enum result rc = begin(&s, of, GATHERS, type, stream);
    const comm *c = of->c.get();
    size_t n_bytes = n * sizeof(float);
    char *all = (char *)to;
    if (rc != OK) return rc;
    if (from != all + (size_t)c->self * n_bytes) return INVALID_ARGUMENT; /* the module's are in place */
    for (int i = 0; i < c->n; i++) {
        add(s, true, i, const_cast<void *>(from), n_bytes);
        add(s, false, i, all + (size_t)i * n_bytes, n_bytes);
    }
    of->c->n_bytes += n_bytes;
    return end();
}

PUBLIC int ncclBroadcast(const void *from, void *to, size_t n, int type, int root, ncclComm *of, cudaStream_t stream)
{
    step *s;
    enum result rc = begin(&s, of, BROADCASTS, type, stream);
    const comm *c = of->c.get();
    size_t n_bytes = n * sizeof(float);
    if (rc != OK) return rc;
    if (from != to || root < 0 || root >= c->n) return INVALID_ARGUMENT;
    for (int i = 0; i < c->n && root == c->self; i++) add(s, true, i, to, n_bytes);
    if (root != c->self) add(s, false, root, to, n_bytes);
    if (root == c->self) of->c->n_bytes += n_bytes;
    return end();
}

PUBLIC int ncclSend(const void *from, size_t n, int type, int other, ncclComm *of, cudaStream_t stream)
{
    step *s;
    enum result rc = other < 0 || other >= of->c->n ? INVALID_ARGUMENT : begin(&s, of, SENDS, type, stream);
    if (rc != OK) return rc;
    add(s, true, other, const_cast<void *>(from), n * sizeof(float));
    of->c->n_bytes += n * sizeof(float);
    return end();
}

PUBLIC int ncclRecv(void *to, size_t n, int type, int other, ncclComm *of, cudaStream_t stream)
{
    step *s;
    enum result rc = other < 0 || other >= of->c->n ? INVALID_ARGUMENT : begin(&s, of, RECEIVES, type, stream);
    if (rc != OK) return rc;
    add(s, false, other, to, n * sizeof(float));
    return end();
}
