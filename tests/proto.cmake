# What ranks agree on: the layout, the rule, messages, mailboxes. Benches are built, not run.

# pilotfish_mpi_test(name n source...): a program run as n ranks by the launcher of the MPI that we are linked with. Its first
# line says its ranks.
function(pilotfish_mpi_test name n_ranks)
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${sees}/all ${MPI_C_INCLUDE_DIRS})
    target_link_libraries(${name} PRIVATE pf_proto)
    add_test(NAME ${name} COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --allow-run-as-root --bind-to none
                                  ${MPIEXEC_NUMPROC_FLAG} ${n_ranks} $<TARGET_FILE:${name}>
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT OMPI_MCA_mpi_yield_when_idle=1 PROCESSORS ${n_ranks} TIMEOUT 120)
endfunction()

pilotfish_mpi_test(mpi_mail 3 mpi_mail.c)

set(letters lib/letters.c)
pilotfish_test(test_layout test_layout.c LIBS pf_proto)
pilotfish_test(test_rule test_rule.c LIBS pf_proto)
pilotfish_test(test_mail_local test_mail_local.c LIBS pf_proto)
pilotfish_test(test_wire test_wire.c ${letters} LIBS pf_proto)

add_executable(letters lib/letters_main.c ${letters})
target_include_directories(letters PRIVATE ${sees}/all)
target_link_libraries(letters PRIVATE pf_proto)
include(fuzz/fuzz.cmake)
pilotfish_fuzz(wire ${letters})
