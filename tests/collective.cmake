# Shards putting their parts together, as threads and (under mpirun) as ranks; and the worker's small pure parts.
pilotfish_test(test_collective test_collective.c lib/gathers.c LIBS pf_worker)
pilotfish_test(test_memory test_memory.c LIBS pf_worker)
pilotfish_test(test_ngram test_ngram.c LIBS pf_worker)

add_executable(mpi_collective mpi_collective.c lib/gathers.c)
target_include_directories(mpi_collective PRIVATE ${sees}/all ${MPI_C_INCLUDE_DIRS})
target_link_libraries(mpi_collective PRIVATE pf_worker)
add_test(NAME mpi_collective
         COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 4 $<TARGET_FILE:mpi_collective>)
# Open MPI's own settings by variables, so that another launcher is not confused by options that it does not know. Its own
# leaks are not ours to count.
set_tests_properties(mpi_collective PROPERTIES ENVIRONMENT
    "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;\
PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe;OMPI_MCA_hwloc_base_binding_policy=none;\
OMPI_MCA_mpi_yield_when_idle=1;ASAN_OPTIONS=detect_leaks=0")
pilotfish_test(test_doctor test_doctor.c LIBS pf_worker pf_tiny)
