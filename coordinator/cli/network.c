#include "coordinator/cli/network.h"

#include <math.h>

static const double ns_of_ms = 1e6, bits_of_mbit = 1e6;

static struct net_path path_of(const struct options *o, float delay_ms)
{
    return (struct net_path){.delay_ns = (uint64_t)llround((double)delay_ms * ns_of_ms),
                             .jitter_ns = (uint64_t)llround((double)o->net_jitter_ms * ns_of_ms),
                             .bits_per_s = (uint64_t)llround((double)o->net_mbit_per_s * bits_of_mbit)};
}

struct net network_of(const struct options *o)
{
    struct net net = {.to = {[ROLE_VERIFIER] = path_of(o, o->net_delay.ms)}};
    if (o->net_delay.to_drafter) net.to[ROLE_DRAFTER] = path_of(o, o->net_delay.drafter_ms);
    return net;
}

bool network_is_emulated(const struct options *o)
{
    const struct net net = network_of(o);
    return !net_path_is_zero(&net.to[ROLE_VERIFIER]) || !net_path_is_zero(&net.to[ROLE_DRAFTER]);
}

void network_line(const struct options *o, FILE *to)
{
    if (!network_is_emulated(o)) return;
    fprintf(to, "emulated network: %g ms each way", (double)o->net_delay.ms);
    if (o->net_delay.to_drafter) fprintf(to, ", %g ms to the drafter", (double)o->net_delay.drafter_ms);
    if (o->net_jitter_ms > 0) fprintf(to, ", jitter %g ms", (double)o->net_jitter_ms);
    if (o->net_mbit_per_s > 0) fprintf(to, ", %g Mbit/s", (double)o->net_mbit_per_s);
    fputc('\n', to);
}

int network_json(const struct options *o, json_t *to)
{
    if (!network_is_emulated(o)) return 0;
    const struct net net = network_of(o); /* whole numbers: 0.1 ms stays so */
    const struct net_path *p = &net.to[ROLE_VERIFIER];
    json_t *network = json_pack("{sf sf sf}", "delay_ms", (double)p->delay_ns / ns_of_ms, "jitter_ms",
                                (double)p->jitter_ns / ns_of_ms, "mbit_per_s", (double)p->bits_per_s / bits_of_mbit);
    int lost = 0;
    if (o->net_delay.to_drafter)
        lost = json_object_set_new(network, "drafter_delay_ms",
                                   json_real((double)net.to[ROLE_DRAFTER].delay_ns / ns_of_ms));
    return lost | json_object_set_new(to, "network", network);
}
