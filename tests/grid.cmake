# One hash over all layouts; golden outputs of real models.
add_library(pf_grid STATIC lib/grid.c ${CMAKE_SOURCE_DIR}/cluster.c)
target_include_directories(pf_grid PRIVATE ${sees}/all)
target_link_libraries(pf_grid PUBLIC pf_coordinator pf_worker pf_tiny PkgConfig::CMOCKA)
pilotfish_test(test_grid test_grid.c LIBS pf_grid LARGE)
pilotfish_test(test_golden test_golden.c lib/real.c LIBS pf_worker PkgConfig::JANSSON LARGE)
