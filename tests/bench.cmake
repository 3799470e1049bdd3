# Programs that measure; not tests.
pilotfish_program(bench_kernels bench_kernels.c lib/hard.c LIBS pf_kernels)
