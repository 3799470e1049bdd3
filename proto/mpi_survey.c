#include "proto/mpi_survey.h"

#include <dirent.h>
#include <linux/tcp.h>
#include <mpi.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/deadline.h"
#include "proto/mail_mpi.h"

enum { SHORT = 16, N_SHORT = 50, LONG = 1 << 20, N_LONG = 8, TAG = 0, BUSY_NS = 1000000000 };

static int failed(int code, struct err *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    return err_set(err, E_PEER, "MPI: a message between ranks: %s", text);
}

/* That went through this process's connections by TCP so far, both ways. */
static uint64_t tcp_bytes(void)
{
    DIR *fds = opendir("/proc/self/fd");
    uint64_t n = 0;
    for (struct dirent *d; fds && (d = readdir(fds));) {
        struct tcp_info info = {0};
        socklen_t size = sizeof info;
        if (getsockopt(atoi(d->d_name), IPPROTO_TCP, TCP_INFO, &info, &size)) continue;
        n += info.tcpi_bytes_acked + info.tcpi_bytes_received;
    }
    if (fds) closedir(fds);
    return n;
}

static struct mpi_rank here(const struct mpi_rank *own)
{
    struct mpi_rank r = {.threads = own->threads,
                         .memory_bytes = own->memory_bytes,
                         .read_bytes_per_s = own->read_bytes_per_s,
                         .products_per_s = own->products_per_s,
                         .host_cores = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    cpu_set_t set;
    gethostname(r.host, sizeof r.host - 1);
    r.cores = sched_getaffinity(0, sizeof set, &set) ? r.host_cores : CPU_COUNT(&set);
    return r;
}

/* A request is over, by the other's part too. within_s 0: it waits for ever. */
static int await(MPI_Request *request, int other, int within_s, struct err *err)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    uint64_t looked_ns = clock_now_ns(), waited_ns = 0;
    for (;;) {
        int done, code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return failed(code, err);
        if (done) return OK;
        if (waited_ns > BUSY_NS)
            nanosleep(&nap, NULL);
        else
            sched_yield(); /* a sleep would be in what is measured */
        uint64_t now_ns = clock_now_ns();
        if (now_ns - looked_ns < AWAY_MS * UINT64_C(1000000)) waited_ns += now_ns - looked_ns;
        looked_ns = now_ns;
        if (within_s && waited_ns > (uint64_t)within_s * 1000000000)
            return err_set(err, E_PEER, "rank %d on host %s does not answer: nothing came from it within %d s", other,
                           mpi_host_of(other), within_s);
    }
}

static int send_to(int other, const void *bytes, int n_bytes, int within_s, struct err *err)
{
    MPI_Request request;
    int code = MPI_Isend(bytes, n_bytes, MPI_BYTE, other, TAG, MPI_COMM_WORLD, &request);
    return code == MPI_SUCCESS ? await(&request, other, within_s, err) : failed(code, err);
}

static int receive_from(int other, void *bytes, int n_bytes, int within_s, struct err *err)
{
    MPI_Request request;
    int code = MPI_Irecv(bytes, n_bytes, MPI_BYTE, other, TAG, MPI_COMM_WORLD, &request);
    return code == MPI_SUCCESS ? await(&request, other, within_s, err) : failed(code, err);
}

/* n messages to the other and back: the least time, in us. */
static int ping(int other, void *bytes, int n_bytes, int n, int within_s, double *least_us, struct err *err)
{
    int rc = OK;
    *least_us = 0;
    for (int i = 0; i < n && rc == OK; i++) {
        uint64_t start = clock_now_ns();
        rc = send_to(other, bytes, n_bytes, within_s, err);
        if (rc == OK) rc = receive_from(other, bytes, n_bytes, within_s, err);
        double us = (double)(clock_now_ns() - start) * 1e-3;
        if (i == 0 || us < *least_us) *least_us = us;
    }
    return rc;
}

static int answer(void *bytes, int n_bytes, int n, struct err *err)
{
    int rc = OK;
    for (int i = 0; i < n && rc == OK; i++) {
        rc = receive_from(0, bytes, n_bytes, 0, err);
        if (rc == OK) rc = send_to(0, bytes, n_bytes, 0, err);
    }
    return rc;
}

static int measure(int other, void *bytes, const char *here, int within_s, struct mpi_rank *r, struct err *err)
{
    double short_us, long_us;
    uint64_t before = tcp_bytes();
    int rc = ping(other, bytes, SHORT, N_SHORT, within_s, &short_us, err);
    if (rc == OK) rc = ping(other, bytes, LONG, N_LONG, within_s, &long_us, err);
    if (rc != OK) return rc;
    bool tcp = tcp_bytes() - before >= N_LONG * (uint64_t)LONG, same_host = !strcmp(r->host, here);
    snprintf(r->transport, sizeof r->transport, "%s", tcp ? "TCP" : same_host ? "shared memory" : "not by TCP");
    r->round_trip_us = short_us;
    r->bytes_per_s = long_us > short_us ? LONG / ((long_us - short_us) / 2 * 1e-6) : 0;
    return OK;
}

int mpi_survey(struct mpi_rank *ranks, int within_s, struct err *err)
{
    int size = 0, code = MPI_Comm_size(MPI_COMM_WORLD, &size);
    void *bytes = calloc(1, LONG);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory");
    ranks[0] = here(&ranks[0]);
    int rc = code == MPI_SUCCESS ? OK : failed(code, err);
    for (int i = 1; i < size && rc == OK; i++) rc = receive_from(i, &ranks[i], sizeof ranks[i], within_s, err);
    for (int i = 1; i < size && rc == OK; i++) rc = measure(i, bytes, ranks[0].host, within_s, &ranks[i], err);
    if (rc == OK) free(bytes); /* else MPI may still use it, and ranks: the process is about to end */
    return rc;
}

int mpi_survey_answer(const struct mpi_rank *own, struct err *err)
{
    struct mpi_rank mine = here(own);
    void *bytes = calloc(1, LONG);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory");
    int rc = send_to(0, &mine, sizeof mine, 0, err);
    if (rc == OK) rc = answer(bytes, SHORT, N_SHORT, err);
    if (rc == OK) rc = answer(bytes, LONG, N_LONG, err);
    free(bytes);
    return rc;
}

int mpi_survey_hosts(struct host out[HOSTS_MOST], const struct mpi_rank *ranks, int n_ranks)
{
    int n = 0;
    for (int i = 0; i < n_ranks; i++) {
        const struct mpi_rank *r = &ranks[i];
        int k = 0;
        while (k < n && strcmp(out[k].name, r->host)) k++;
        if (k == HOSTS_MOST) break;
        struct host *h = &out[k];
        double ms = r->round_trip_us * 1e-3, rate = 8 * r->bytes_per_s;
        if (k == n) {
            *h = (struct host){.round_trip_ms = ms};
            snprintf(h->name, sizeof h->name, "%s", r->host);
            n++;
        }
        if (r->cores > h->cores) h->cores = r->cores;
        if ((double)r->memory_bytes > h->memory_bytes) h->memory_bytes = (double)r->memory_bytes;
        if (r->read_bytes_per_s > h->read_bytes_per_s) h->read_bytes_per_s = r->read_bytes_per_s;
        if (r->products_per_s > h->products_per_s) h->products_per_s = r->products_per_s;
        if (k > 0 && ms < h->round_trip_ms) h->round_trip_ms = ms;
        if (k > 0 && rate > h->bits_per_s) h->bits_per_s = rate;
    }
    return n;
}
