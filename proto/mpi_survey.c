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
#include <unistd.h>

#include "proto/clock.h"

enum { SHORT = 16, N_SHORT = 50, LONG = 1 << 20, N_LONG = 8, TAG = 0 };

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

/* n messages to the other and back. Returns the least time, in us. */
static int ping(int other, void *bytes, int n_bytes, int n, bool answers, double *least_us)
{
    int code = MPI_SUCCESS;
    *least_us = 0;
    for (int i = 0; i < n && code == MPI_SUCCESS; i++) {
        uint64_t start = clock_now_ns();
        if (!answers) code = MPI_Send(bytes, n_bytes, MPI_BYTE, other, TAG, MPI_COMM_WORLD);
        if (code == MPI_SUCCESS)
            code = MPI_Recv(bytes, n_bytes, MPI_BYTE, other, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (answers && code == MPI_SUCCESS) code = MPI_Send(bytes, n_bytes, MPI_BYTE, other, TAG, MPI_COMM_WORLD);
        double us = (double)(clock_now_ns() - start) * 1e-3;
        if (i == 0 || us < *least_us) *least_us = us;
    }
    return code;
}

static int measure(int other, void *bytes, bool answers, const char *here, struct mpi_rank *r)
{
    double short_us, long_us;
    uint64_t before = tcp_bytes();
    int code = ping(other, bytes, SHORT, N_SHORT, answers, &short_us);
    if (code == MPI_SUCCESS) code = ping(other, bytes, LONG, N_LONG, answers, &long_us);
    if (code != MPI_SUCCESS || !r) return code;
    bool tcp = tcp_bytes() - before >= N_LONG * (uint64_t)LONG, same_host = !strcmp(r->host, here);
    snprintf(r->transport, sizeof r->transport, "%s", tcp ? "TCP" : same_host ? "shared memory" : "not by TCP");
    r->round_trip_us = short_us;
    r->bytes_per_s = long_us > short_us ? LONG / ((long_us - short_us) / 2 * 1e-6) : 0;
    return code;
}

int mpi_survey(struct mpi_rank *ranks, struct err *err)
{
    int size = 0, code = MPI_Comm_size(MPI_COMM_WORLD, &size);
    struct mpi_rank mine = here(&ranks[0]);
    void *bytes = calloc(1, LONG);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory");
    if (code == MPI_SUCCESS)
        code = MPI_Gather(&mine, sizeof mine, MPI_BYTE, ranks, sizeof mine, MPI_BYTE, 0, MPI_COMM_WORLD);
    for (int i = 1; i < size && code == MPI_SUCCESS; i++) code = measure(i, bytes, false, mine.host, &ranks[i]);
    free(bytes);
    return code == MPI_SUCCESS ? OK : failed(code, err);
}

int mpi_survey_answer(const struct mpi_rank *own, struct err *err)
{
    struct mpi_rank mine = here(own);
    void *bytes = calloc(1, LONG);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory");
    int code = MPI_Gather(&mine, sizeof mine, MPI_BYTE, NULL, 0, MPI_BYTE, 0, MPI_COMM_WORLD);
    if (code == MPI_SUCCESS) code = measure(0, bytes, true, mine.host, NULL);
    free(bytes);
    return code == MPI_SUCCESS ? OK : failed(code, err);
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
