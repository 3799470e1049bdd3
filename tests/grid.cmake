# One hash over all layouts; golden outputs of real models; what a rank keeps of one.
add_library(pf_grid STATIC lib/grid.c ${CMAKE_SOURCE_DIR}/cluster.c)
target_include_directories(pf_grid PRIVATE ${sees}/all)
target_link_libraries(pf_grid PUBLIC pf_coordinator pf_worker pf_tiny PkgConfig::CMOCKA)
pilotfish_test(test_grid test_grid.c LIBS pf_grid LARGE)
pilotfish_test(test_sampling test_sampling.c LIBS pf_grid m LARGE)
pilotfish_test(test_grid_real test_grid_real.c lib/real.c LIBS pf_grid PkgConfig::JANSSON LARGE)
pilotfish_test(test_golden test_golden.c lib/real.c LIBS pf_coordinator pf_worker PkgConfig::JANSSON LARGE)
pilotfish_test(test_share test_share.c lib/real.c LIBS pf_worker PkgConfig::JANSSON LARGE)

# Random clusters, networks and requests, for as long as it is told; scripts/test runs it under sanitizers too.
pilotfish_program(soak soak.c lib/soak_toy.c lib/at_rest.c LIBS pf_grid m)
add_test(NAME soak COMMAND soak 10)
set_tests_properties(soak PROPERTIES TIMEOUT 180)

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
foreach(layout 1x1 2x1 3x1 1x2 1x3 2x2 2x3 3x2)
    string(REPLACE x ";" sizes ${layout})
    list(GET sizes 0 tp)
    list(GET sizes 1 pp)
    math(EXPR with_suffix "1 + ${tp} * ${pp}")
    math(EXPR with_little "${with_suffix} + 1")
    pilotfish_ranks(mpi_grid_${layout}_little ${with_little} mpi_grid ${tp} ${pp} little ${toys})
    pilotfish_ranks(mpi_grid_${layout}_suffix ${with_suffix} mpi_grid ${tp} ${pp} suffix ${toys})
    pilotfish_ranks(mpi_grid_${layout}_plan ${with_suffix} mpi_grid ${tp} ${pp} plan ${toys})
    set_tests_properties(mpi_grid_${layout}_little mpi_grid_${layout}_suffix mpi_grid_${layout}_plan
                         PROPERTIES FIXTURES_REQUIRED toys)
endforeach()

# And several groups of verifiers: groups, tp, pp.
foreach(layout 2x1x1 3x1x1 2x2x1 2x1x2)
    string(REPLACE x ";" sizes ${layout})
    list(GET sizes 0 groups)
    list(GET sizes 1 tp)
    list(GET sizes 2 pp)
    math(EXPR with_suffix "1 + ${groups} * ${tp} * ${pp}")
    math(EXPR with_little "${with_suffix} + 1")
    pilotfish_ranks(mpi_grid_${layout}_little ${with_little} mpi_grid ${groups}x${tp} ${pp} little ${toys})
    pilotfish_ranks(mpi_grid_${layout}_suffix ${with_suffix} mpi_grid ${groups}x${tp} ${pp} suffix ${toys})
    set_tests_properties(mpi_grid_${layout}_little mpi_grid_${layout}_suffix PROPERTIES FIXTURES_REQUIRED toys)
endforeach()

# Two stages of two shards, each by a device of its own (the reference), which exchange rows by way of their hosts.
pilotfish_ranks(mpi_grid_2x2_device 5 mpi_grid 2 2 device ${toys})
set_tests_properties(mpi_grid_2x2_device PROPERTIES FIXTURES_REQUIRED toys)
# A side file's drafts, behind the first block of the first stage.
foreach(layout 2x1 1x3 2x2)
    string(REPLACE x ";" sizes ${layout})
    list(GET sizes 0 tp)
    list(GET sizes 1 pp)
    math(EXPR n_ranks "1 + ${tp} * ${pp}")
    pilotfish_ranks(mpi_grid_${layout}_side ${n_ranks} mpi_grid ${tp} ${pp} side ${toys})
    set_tests_properties(mpi_grid_${layout}_side PROPERTIES FIXTURES_REQUIRED toys)
endforeach()

# Drafts by a plan that is looked for meanwhile.
pilotfish_ranks(mpi_grid_2x2_swift 5 mpi_grid 2 2 swift ${toys})
set_tests_properties(mpi_grid_2x2_swift PROPERTIES FIXTURES_REQUIRED toys)

# Stages and shards by weights.
foreach(layout 2x1 3x1 2x2)
    string(REPLACE x ";" sizes ${layout})
    list(GET sizes 0 tp)
    list(GET sizes 1 pp)
    math(EXPR n_ranks "1 + ${tp} * ${pp}")
    pilotfish_ranks(mpi_grid_${layout}_uneven ${n_ranks} mpi_grid ${tp} ${pp} uneven ${toys})
    set_tests_properties(mpi_grid_${layout}_uneven PROPERTIES FIXTURES_REQUIRED toys)
endforeach()

# What slots copy from one another.
pilotfish_ranks(mpi_grid_2x2_copies 5 mpi_grid 2 2 copies ${toys})
set_tests_properties(mpi_grid_2x2_copies PROPERTIES FIXTURES_REQUIRED toys)

# And some points of it over an emulated network: tp pp drafter, a cell, and how far the leader writes by itself.
foreach(point "1 1 little 1 0" "2 1 suffix 2 5" "1 2 little 3 64" "2 2 little 6 5" "3 1 suffix 7 0" "1 3 suffix 4 64")
    string(REPLACE " " ";" p ${point})
    list(GET p 0 tp)
    list(GET p 1 pp)
    list(GET p 2 drafter)
    list(SUBLIST p 3 2 cell)
    math(EXPR n_ranks "1 + ${tp} * ${pp}")
    if(drafter STREQUAL little)
        math(EXPR n_ranks "${n_ranks} + 1")
    endif()
    pilotfish_ranks(mpi_grid_${tp}x${pp}_${drafter}_network ${n_ranks} mpi_grid ${tp} ${pp} ${drafter} ${toys} ${cell})
    set_tests_properties(mpi_grid_${tp}x${pp}_${drafter}_network PROPERTIES FIXTURES_REQUIRED toys)
endforeach()

# And as people launch the real pair.
add_test(NAME real_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/real_ranks.sh $<TARGET_FILE:pilotfish>
         ${CMAKE_SOURCE_DIR}/scripts
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(real_ranks PROPERTIES TIMEOUT 600)
