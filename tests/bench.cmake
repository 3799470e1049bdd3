# Programs that measure; not tests.
add_executable(bench_kernels bench_kernels.c lib/hard.c)
target_include_directories(bench_kernels PRIVATE ${sees}/all)
target_link_libraries(bench_kernels PRIVATE pf_kernels)
