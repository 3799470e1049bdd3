# Shards putting their parts together, as threads and (under mpirun) as ranks; and the worker's small pure parts.
pilotfish_test(test_collective test_collective.c lib/gathers.c LIBS pf_worker)
pilotfish_test(test_memory test_memory.c LIBS pf_worker)
pilotfish_test(test_suffix test_suffix.c LIBS pf_proto)

pilotfish_program(mpi_collective mpi_collective.c lib/gathers.c LIBS pf_worker)
pilotfish_ranks(mpi_collective 4 mpi_collective)
