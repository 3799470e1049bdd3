# One hash over all layouts; golden outputs of real models; what a rank keeps of one.
add_library(pf_grid STATIC lib/grid.c ${CMAKE_SOURCE_DIR}/cluster.c)
target_include_directories(pf_grid PRIVATE ${sees}/all)
target_link_libraries(pf_grid PUBLIC pf_coordinator pf_worker pf_tiny PkgConfig::CMOCKA)
pilotfish_test(test_grid test_grid.c lib/grid_toys.c LIBS pf_grid LARGE)
pilotfish_test(test_grid_plans test_grid_plans.c lib/grid_toys.c LIBS pf_grid LARGE)
pilotfish_test(test_sampling test_sampling.c LIBS pf_grid m LARGE)
pilotfish_test(test_grid_real test_grid_real.c lib/real.c LIBS pf_grid PkgConfig::JANSSON LARGE)
pilotfish_test(test_golden test_golden.c lib/real.c LIBS pf_coordinator pf_worker PkgConfig::JANSSON LARGE)
if(TARGET pilotfish_cuda_emulated)
    add_test(NAME cuda_golden COMMAND test_golden $<TARGET_FILE:pilotfish_cuda_emulated>
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    target_link_libraries(test_golden PRIVATE ${CMAKE_DL_LIBS})
    add_dependencies(test_golden pilotfish_cuda_emulated)
endif()
pilotfish_test(test_share test_share.c lib/real.c LIBS pf_worker PkgConfig::JANSSON LARGE)

# Random clusters, networks and requests, for as long as it is told; scripts/test runs it under sanitizers too.
pilotfish_program(soak soak.c lib/soak_toy.c lib/at_rest.c LIBS pf_grid m)
add_test(NAME soak COMMAND soak 10)

# The same hash over ranks: each (tp, pp) of at most 8 ranks, with drafts of a little model, of earlier text, of a plan.
set(toys ${CMAKE_CURRENT_BINARY_DIR}/toys)
file(MAKE_DIRECTORY ${toys})
add_test(NAME toy_big COMMAND tiny ${toys}/big.gguf)
add_test(NAME toy_little COMMAND tiny ${toys}/little.gguf --left-out 2)
add_test(NAME toy_idle COMMAND tiny ${toys}/idle.gguf --idle 6)
add_test(NAME toy_side COMMAND tiny ${toys}/side.gguf --side ${toys}/big.gguf)
set_tests_properties(toy_side PROPERTIES DEPENDS toy_big)
set_tests_properties(toy_big toy_little toy_idle toy_side PROPERTIES FIXTURES_SETUP toys)
add_executable(mpi_grid mpi_grid.c)
target_include_directories(mpi_grid PRIVATE ${sees}/all)
target_link_libraries(mpi_grid PRIVATE pf_grid)

# grid_ranks(name layout drafter arg...): mpi_grid over TPxPP or GROUPSxTPxPP. Its ranks are a coordinator, the
# layout's, and the drafter of a little model.
function(grid_ranks name layout drafter)
    string(REPLACE x * n_verifiers ${layout})
    math(EXPR n_ranks "1 + ${n_verifiers}")
    if(drafter STREQUAL little)
        math(EXPR n_ranks "${n_ranks} + 1")
    elseif(drafter STREQUAL drafters)
        math(EXPR n_ranks "${n_ranks} + 2")
    endif()
    string(REGEX REPLACE "x([0-9]+)$" ";\\1" sizes ${layout}) # [GROUPSx]TP, and PP
    pilotfish_ranks(${name} ${n_ranks} mpi_grid ${sizes} ${drafter} ${toys} ${ARGN})
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED toys)
endfunction()

# grid_over(DRAFTERS drafter... LAYOUTS layout...): each drafter over each layout.
function(grid_over)
    cmake_parse_arguments(G "" "" "DRAFTERS;LAYOUTS" ${ARGN})
    foreach(layout ${G_LAYOUTS})
        foreach(drafter ${G_DRAFTERS})
            grid_ranks(mpi_grid_${layout}_${drafter} ${layout} ${drafter})
        endforeach()
    endforeach()
endfunction()

grid_over(DRAFTERS little suffix plan LAYOUTS 1x1 2x1 3x1 1x2 1x3 2x2 2x3 3x2)
grid_over(DRAFTERS little suffix LAYOUTS 2x1x1 3x1x1 2x2x1 2x1x2)
# Two drafters of one group, and one of each of two.
grid_over(DRAFTERS drafters LAYOUTS 1x2 2x1x1)
# Two stages of two shards, each by a device of its own (the reference), which exchange rows by way of their hosts.
grid_over(DRAFTERS device LAYOUTS 2x2)
# Ranks with a device each, which exchange rows over the fake NCCL.
if(TARGET pilotfish_cuda_emulated)
    foreach(layout 2x1 1x2 2x2)
        grid_ranks(mpi_grid_${layout}_cuda ${layout} cuda)
        set_property(TEST mpi_grid_${layout}_cuda APPEND PROPERTY ENVIRONMENT CUDA_EMULATED_DEVICES=4
                     PILOTFISH_DEVICE_MODULE=${CMAKE_BINARY_DIR}/pilotfish_cuda_emulated.so
                     FAKE_NCCL_FOLDER=${CMAKE_CURRENT_BINARY_DIR})
        set_tests_properties(mpi_grid_${layout}_cuda PROPERTIES
                             ENVIRONMENT_MODIFICATION LD_LIBRARY_PATH=path_list_prepend:${CMAKE_BINARY_DIR}/nccl)
    endforeach()
endif()
# A side file's drafts, behind the first block of the first stage.
grid_over(DRAFTERS side LAYOUTS 2x1 1x3 2x2)
# Drafts of a side file and of a part of the blocks, in turn.
grid_over(DRAFTERS plans LAYOUTS 2x1 2x2)
# Drafts by a plan that is looked for meanwhile.
grid_over(DRAFTERS swift LAYOUTS 2x2)
# Stages and shards by weights, also in two and three groups.
grid_over(DRAFTERS uneven LAYOUTS 2x1 3x1 2x2 2x2x1 3x1x2)
# What slots copy from one another.
grid_over(DRAFTERS copies LAYOUTS 2x2)

# And some points of it over an emulated network: a cell, and how far the leader writes by itself.
grid_ranks(mpi_grid_1x1_little_network 1x1 little 1 0)
grid_ranks(mpi_grid_2x1_suffix_network 2x1 suffix 2 5)
grid_ranks(mpi_grid_1x2_little_network 1x2 little 3 64)
grid_ranks(mpi_grid_2x2_little_network 2x2 little 6 5)
grid_ranks(mpi_grid_3x1_suffix_network 3x1 suffix 7 0)
grid_ranks(mpi_grid_1x3_suffix_network 1x3 suffix 4 64)
grid_ranks(mpi_grid_1x3_little_network 1x3 little 5 64)

# And as people launch the real pair.
add_test(NAME real_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/real_ranks.sh $<TARGET_FILE:pilotfish>
         ${CMAKE_SOURCE_DIR}/scripts
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
