/* cpu_amx.h -- between cpu_amx.c and kernels.c. */
#ifndef KERNELS_CPU_AMX_H
#define KERNELS_CPU_AMX_H

#include <stdbool.h>

/* Has this CPU, which has AVX-512, tiles of int8 too? Asks the system for them, once for the process. */
bool amx_is_there(void);

#endif
