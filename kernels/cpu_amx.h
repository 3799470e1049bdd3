/* cpu_amx.h -- what kernels.c needs of cpu_amx.c beside its table. */
#ifndef KERNELS_CPU_AMX_H
#define KERNELS_CPU_AMX_H

#include <stdbool.h>

/* Whether this CPU, which has AVX-512, has tiles of int8 too. Requests them from the system, once for the process. */
bool amx_is_there(void);

#endif
