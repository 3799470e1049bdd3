/* pf_cuda.h -- the one function that pilotfish_cuda.so exports. The program opens the module at run time (dlopen), asks
 * for the table of its own version, and never links with it. C and C++.
 *
 *   pf_device(DEVICE_VERSION) ─▶ the table (kernels/device.h), static; NULL: the module does not have this version.
 *
 * Asking touches no driver: a machine without a card answers in open, by *why.
 */
#ifndef KERNELS_CUDA_PF_CUDA_H
#define KERNELS_CUDA_PF_CUDA_H

#ifdef __cplusplus
#include <stddef.h>
#include <stdint.h>
#define _Alignas alignas
extern "C" {
#endif

#include "kernels/device.h"

#define PF_CUDA_SYMBOL "pf_device"
enum { CUDA_ARITHMETIC_ID = 2 }; /* of kernels/ARITHMETIC.md */

__attribute__((visibility("default"))) const struct device_table *pf_device(int version);

#ifdef __cplusplus
}
#endif

#endif
