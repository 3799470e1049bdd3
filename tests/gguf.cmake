# Model files: the reader's tests, and toy models for everybody's tests (library pf_tiny, command `tiny`).
add_library(pf_tiny STATIC lib/tiny.c)
target_include_directories(pf_tiny PRIVATE ${sees}/all)
target_link_libraries(pf_tiny PUBLIC pf_proto m)

pilotfish_program(tiny lib/tiny_main.c LIBS pf_tiny)

include(fuzz/fuzz.cmake)
pilotfish_fuzz(gguf LIBS pf_proto)
pilotfish_fuzz(hf LIBS pf_proto)
pilotfish_fuzz(side LIBS pf_proto)
pilotfish_test(test_cut_off test_cut_off.c ${CMAKE_SOURCE_DIR}/cut_off.c LIBS pf_tiny)
pilotfish_test(test_gguf test_gguf.c lib/real.c LIBS pf_tiny PkgConfig::JANSSON)

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
    add_test(NAME test_fetch COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/test_fetch.py)
endif()
pilotfish_test(test_random_weights test_random_weights.c lib/hard.c LIBS pf_proto pf_kernels m)
